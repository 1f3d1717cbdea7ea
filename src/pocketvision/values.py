"""Frozen records that cross rooms, and their way to JSON and back. Units stand in the names."""

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

Split = Literal["train", "val", "test"]
Precision = Literal["float", "int8"]
CropMode = Literal["squash", "crop"]

# ---------------------------------------------------------------- what a net is and eats


@dataclass(frozen=True)
class ModelSpec:
    """One net of the catalogue at one setting of its dials."""

    name: str
    width: float = 1.0
    resolution: int = 224
    num_classes: int = 1000
    padding: Literal["symmetric", "same"] = "symmetric"
    """`same` is TensorFlow's rule, which pads an even input on the far side only; its weights need it."""
    groups: int | None = None
    """Of the pointwise convolutions, for the family that offers a choice; None is the paper's own."""
    in_channels: int = 3
    dropout: float | None = None  # None is the paper's own

    def __str__(self) -> str:
        return f"{self.name} {self.width:g} @ {self.resolution}px"


@dataclass(frozen=True)
class ImageSpec:
    """How a decoded picture becomes the net's input: resized to uint8 RGB [resolution, resolution, 3], then
    normalised as (pixel / 255 - mean) / std, which the file itself does."""

    resolution: int
    crop_mode: CropMode = "squash"
    """`squash` resizes the whole picture to a square of resolution / crop_pct a side, `crop` its short side to as much;
    both take the centre."""
    crop_pct: float = 1.0
    interpolation: Literal["bilinear"] = "bilinear"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)


# ---------------------------------------------------------------- the data


@dataclass(frozen=True)
class Example:
    """One readable picture of the data set."""

    file: str
    """Path below the data set's root, with forward slashes."""
    label: int
    split: Split
    sha256: str  # of the file's bytes, in hex


@dataclass(frozen=True)
class Dataset:
    """Pictures with labels and splits; `labels` in the order of the net's outputs."""

    root: str
    labels: tuple[str, ...]
    examples: tuple[Example, ...]
    mirror_safe: bool = True
    """False where a mirrored picture means something else, as with digits."""

    def of(self, split: Split) -> tuple[Example, ...]:
        """Return the examples of one split."""
        return tuple(example for example in self.examples if example.split == split)

    def path(self, example: Example) -> Path:
        """Return where the example's file lies."""
        return Path(self.root, example.file)


@dataclass(frozen=True)
class Problem:
    """One thing `check` found; `left_out` tells whether the file is kept out of training."""

    file: str
    kind: Literal["unreadable", "conflict", "duplicate", "suffix", "not an image", "animated", "empty file"]
    detail: str
    left_out: bool


@dataclass(frozen=True)
class Health:
    """What `check` found in a data set."""

    root: str
    labels: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    """Per label, the number of pictures in train, val and test."""
    problems: tuple[Problem, ...]
    median_short_side: int
    smallest_short_side: int
    largest_long_side: int
    digest: str
    """SHA-256 over the sorted (label, content hash) pairs: names the training data."""
    notes: tuple[str, ...] = ()
    """Sentences for the reader: imbalance, few images, and so on."""


# ---------------------------------------------------------------- cost, budget, choice


@dataclass(frozen=True)
class Cost:
    """What one inference and the stored net cost, counted, not measured."""

    params: int
    """Learned values: weights, biases, and gamma and beta of batch norms; moving statistics left out."""
    macs: int
    """Multiply-adds of convolutions and fully connected layers."""
    weight_bytes: int
    """Weights and biases as stored in a file of this precision, batch norms folded."""
    peak_activation_bytes: int
    """Largest sum of activations alive at once, in the best order of layers."""
    norm_params: int = 0  # how many of `params` are batch norms'
    uncounted: tuple[str, ...] = ()  # layers that nothing is known of, with their class: their costs come on top


@dataclass(frozen=True)
class Latency:
    """Time of one picture, batch 1, input in memory."""

    median_ms: float
    p90_ms: float
    runs: int
    threads: int
    runtime: str
    machine: str
    reference_ms: float
    """Median of the reference net, timed in turns with this one."""

    @property
    def ratio(self) -> float:
        """Return median over the reference net's median."""
        return self.median_ms / self.reference_ms


@dataclass(frozen=True)
class Budget:
    """The contract; None means no limit."""

    max_size_bytes: int | None = None
    max_latency_ms: float | None = None
    max_macs: int | None = None
    max_memory_bytes: int | None = None
    max_params: int | None = None
    min_accuracy: float | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is limited."""
        return all(getattr(self, item.name) is None for item in dataclasses.fields(self))


@dataclass(frozen=True)
class Candidate:
    """One net at one precision, and what became of it."""

    spec: ModelSpec
    precision: Precision
    cost: Cost
    size_bytes: int
    """Of the exported file: estimated from the count, exact once it was written."""
    suggested_top1: float
    """ImageNet top-1 in percent that the published figures suggest: an order, not a promise."""
    status: Literal["taken", "over budget", "too slow", "not needed"]
    reason: str
    latency: Latency | None = None


@dataclass(frozen=True)
class Choice:
    """The outcome of choosing: every candidate with its reason, the taken one first in mind."""

    budget: Budget
    taken: Candidate
    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...] = ()


# ---------------------------------------------------------------- results


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


# ---------------------------------------------------------------- JSON

R = TypeVar("R")


def to_json(value: Any) -> Any:
    """Turn records, tuples, paths and numpy scalars into what `json` can write."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_json(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    return value.item() if hasattr(value, "item") else value


def from_json(kind: type[R], value: Any) -> R:
    """Rebuild a record written by `to_json`; an unknown or missing field is a `TypeError`."""
    return typing.cast(R, _restore(kind, value))


def _restore(kind: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return kind(**{key: _restore(hints.get(key, Any), item) for key, item in value.items()})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _restore(next(a for a in arguments if a is not type(None)), value)
    if origin is tuple:
        return tuple(_restore(arguments[0], item) for item in value)
    if origin is dict:
        return {key: _restore(arguments[1], item) for key, item in value.items()}
    return value
