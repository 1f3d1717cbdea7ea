"""What compressing a trained net gives: its precisions, and the choices of weights that were tried."""

from dataclasses import dataclass

from pocketvision.values.costs import Latency, Precision
from pocketvision.values.scores import Confidence, Score


@dataclass(frozen=True)
class Variant:
    """The same trained net at one precision, judged on the validation images."""

    precision: Precision
    validation: Score
    size_bytes: int
    """Of several formats the largest file's."""
    latency: Latency
    confidence: Confidence | None = None
    """On the validation images, as the file is delivered."""
    temperature: float = 1.0
    """What this precision's logits were divided by, beside the trained net's own temperature."""
    as_rounded: Confidence | None = None
    """Before that; None where nothing was divided."""
    download_bytes: int | None = None
    """Of the file after deflate, or the compressor that the budget names."""


@dataclass(frozen=True)
class Trial:
    """The net with int8 weights that were chosen more or less strongly for the bytes that they cost."""

    strength: float | None
    """How strongly; None where weights are as rounded."""
    download_bytes: int
    """Of the file as it is sent."""
    accuracy: float
    """Share of right answers, 0..1, on validation images; of the float net's answers where those have no labels."""
    taken: bool
    """Whether it is the one that was delivered."""


@dataclass(frozen=True)
class Compression:
    """Which precision was delivered, and why."""

    taken: Precision
    reason: str
    variants: tuple[Variant, ...]
    temperature: float = 1.0
    """The trained net's, folded into its weights."""
    untempered: Confidence | None = None
    """The trained net without its temperature, on the validation images."""
    abstain: str = ""
    """Which threshold for refusing was taken, and why; empty in older runs."""
    trials: tuple[Trial, ...] = ()
    """Choices of int8 weights that were tried, the largest download first; empty where none were chosen."""
    compressor: str = ""
    """What downloads are packed with; empty where no weights were chosen."""
