"""What a run of `fit` comes to."""

from dataclasses import dataclass, field

from pocketvision.values.costs import Precision
from pocketvision.values.nets import ModelSpec
from pocketvision.values.records import UNSAID
from pocketvision.values.results import Verdict


@dataclass(frozen=True)
class FurtherFile:
    """The delivered net in a further format, judged by itself."""

    file: str
    """Path of the file."""
    size_bytes: int
    """Of the file."""
    latency_ms: float
    """Median time of one image on one thread."""
    verdicts: tuple[Verdict, ...]
    """One for each limit that was set."""


@dataclass(frozen=True)
class Summary:
    """The end of a run: what `fit --json` prints."""

    artefact: str
    """Path of the delivered file."""
    test_accuracy: float
    """Share of right answers on the test images, by the delivered file, or what else `metric` says."""
    interval: tuple[float, float]
    """95% interval of that accuracy."""
    size_bytes: int
    """Of the file."""
    latency_ms: float
    """Median time of one image on one thread."""
    verdicts: tuple[Verdict, ...]
    """One for each limit that was set."""
    run: str
    """Path of the run's folder."""
    model: ModelSpec
    """The net."""
    precision: Precision
    """Of the file."""
    report: str
    """Path of the report page."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of each stage."""
    test_macro: float | None = None
    """Test accuracy as the mean over the classes."""
    metric: str = field(default="accuracy", metadata=UNSAID)
    """What `test_accuracy` is, such as `AP50` of a detector."""
    further: tuple[FurtherFile, ...] = field(default=(), metadata=UNSAID)
    """The other formats that were asked for and can be run here."""
