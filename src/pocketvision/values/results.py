"""What training, compressing, exporting and proving give."""

from dataclasses import dataclass, field
from typing import Literal

from pocketvision.values.costs import Latency, Precision
from pocketvision.values.nets import ImageSpec, ModelSpec


@dataclass(frozen=True)
class Accuracy:
    """A share of right answers with its 95% Wilson interval; all in 0..1."""

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.value:.1%} (95% interval {self.low:.1%} to {self.high:.1%}, {self.count} images)"


@dataclass(frozen=True)
class Variant:
    """The same trained net at one precision, judged on the validation images."""

    precision: Precision
    validation: Accuracy
    size_bytes: int
    latency: Latency


@dataclass(frozen=True)
class Compression:
    """Which precision was delivered, and why."""

    taken: Precision
    reason: str
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class Probe:
    """A small picture inside the file with the answer expected for it."""

    png_base64: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Manifest:
    """What a file needs to be used and judged; travels inside it and beside it."""

    format_version: int
    name: str
    task: str
    labels: tuple[str, ...]
    image: ImageSpec
    model: ModelSpec
    precision: Precision
    data_digest: str
    splits: dict[str, float | int]
    """`seed`, `val`, `test`: the split's rule, so that the test images can be found again."""
    figures: dict[str, Accuracy]
    """Measured on the trained net before export: `validation`, `test`."""
    probes: tuple[Probe, ...]
    versions: dict[str, str]
    created: str  # UTC, ISO 8601


@dataclass(frozen=True)
class Verdict:
    """One line of the budget, judged on the delivered file."""

    limit: str
    """The option's name, such as `max_size`."""
    allowed: float
    measured: float
    unit: str
    passed: bool


@dataclass(frozen=True)
class Answer:
    """What the file said of one test picture."""

    file: str
    label: str
    predicted: str
    probability: float


@dataclass(frozen=True)
class Agreement:
    """The delivered file against the trained net on the same pictures."""

    same_answer: float
    """Share of pictures with the same top label, 0..1."""
    largest_gap: float
    """Largest difference of any probability."""
    count: int


@dataclass(frozen=True)
class Proof:
    """What `verify` measured on the delivered file."""

    file: str
    sha256: str
    size_bytes: int
    accuracy: Accuracy
    agreement: Agreement | None
    probe_gap: float
    """Largest difference of a probability from those stored in the file's probes."""
    latency: Latency
    verdicts: tuple[Verdict, ...]
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows are true labels, columns answers."""
    answers: tuple[Answer, ...]
    failures: tuple[str, ...] = ()
    """Sentences; empty when the file answers as the trained net does."""
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True)
class Epoch:
    """One line of results.csv."""

    epoch: int
    """Counted through both phases, from 1."""
    phase: Literal["head", "all"]
    learning_rate: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    """Cross-entropy at the best temperature."""
    val_accuracy: float
    images_per_s: float
    seconds: float


@dataclass(frozen=True)
class Trained:
    """What training left beside the weights."""

    spec: ModelSpec
    image: ImageSpec
    start: str
    """Where the weights came from before training: a file's name, or `from scratch`."""
    epochs: int
    """Epochs of the whole net that were run."""
    validation: Accuracy
    temperature: float
    """What the logits were divided by, so that probabilities mean what they say; folded into the weights."""
    data_digest: str
    splits: dict[str, float | int]


@dataclass(frozen=True)
class Summary:
    """The end of a run: what `fit --json` prints."""

    artefact: str
    """Path of the delivered file."""
    test_accuracy: float
    interval: tuple[float, float]
    size_bytes: int
    latency_ms: float
    verdicts: tuple[Verdict, ...]
    run: str
    """Path of the run's folder."""
    model: ModelSpec
    precision: Precision
    report: str
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of each stage."""
