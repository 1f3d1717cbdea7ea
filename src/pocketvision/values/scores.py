"""What answers are worth: the task's figure with its interval, attribute by attribute, calibration and refusal."""

from dataclasses import dataclass, field

from pocketvision.values.records import UNSAID


@dataclass(frozen=True)
class Score:
    """What a net is worth on some images by its task's metric, with a 95% interval; all in 0..1."""

    value: float
    """Share of right answers."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    count: int
    """Number of images."""
    macro: float | None = None
    """The mean over the classes, each counting the same however rare; None where it was not asked for."""
    metric: str = field(default="accuracy", metadata=UNSAID)
    """What `value` is: `accuracy`, the share of right answers, or `mean average precision` over the attributes."""
    others: dict[str, float] = field(default_factory=dict, metadata=UNSAID)
    """Further figures of the same answers by name, such as `macro F1`; the task says which."""

    def __str__(self) -> str:
        name = "" if self.metric == "accuracy" else f"{self.metric} "
        return f"{name}{self.value:.1%} (95% interval {self.low:.1%} to {self.high:.1%}, {self.count} images)"


@dataclass(frozen=True)
class Confidence:
    """How far probabilities can be trusted on some images; shares in 0..1."""

    count: int
    """Number of images."""
    ece: float
    """Expected calibration error of the top probability, over bins of equally many answers."""
    ece_low: float
    """Lower end of its 95% bootstrap interval."""
    ece_high: float
    """Upper end of that interval."""
    ece_by_chance: float
    """What perfectly calibrated answers of these probabilities would show on as many images."""
    brier: float
    """Squared distance of the probabilities from the truth, 0..2."""
    nll: float
    """Mean of -log(probability of the true class)."""
    aurc: float
    """Area under the risk-coverage curve: the mean error over all shares of surest answers."""


@dataclass(frozen=True)
class AttributeScore:
    """How one attribute fared on some images; figures in 0..1, None where there is nothing to divide by."""

    name: str
    """Of the attribute."""
    known: int
    """Images of which it is known whether they have it."""
    positives: int
    """Of those, the ones that have it; their share is the average precision of chance."""
    average_precision: float | None
    """Mean precision over the steps of recall, equal probabilities as one point."""
    low: float
    """Lower end of its 95% bootstrap interval."""
    high: float
    """Upper end of that interval."""
    threshold: float
    """The probability from which on the file says that it is there."""
    precision: float | None
    """At the threshold, the share of images that have it among those said to."""
    recall: float | None
    """At the threshold, the share of images said to have it among those that do."""
    f1: float | None
    """Of the two, the harmonic mean."""


@dataclass(frozen=True)
class CurvePoint:
    """What is found from one score on, at an overlap of a half."""

    recall: float
    """Share of the true boxes that are found."""
    precision: float
    """Share of the found boxes that are right."""
    score: float
    """The least score that counts."""


@dataclass(frozen=True)
class Curve:
    """Precision against recall of one class, from the highest score down."""

    label: str
    """The class."""
    points: tuple[CurvePoint, ...]
    """A hundred at most; empty where nothing is found."""


@dataclass(frozen=True)
class Refusal:
    """What refusing unsure answers costs and gains on some images."""

    coverage: Score
    """Share of images still answered."""
    right: Score | None
    """Share of right answers among those; None where all are refused."""
