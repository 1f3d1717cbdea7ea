"""Cost, budget and choice."""

from dataclasses import dataclass, field
from typing import Literal

from pocketvision.values.nets import ModelSpec
from pocketvision.values.records import UNSAID
from pocketvision.values.scores import Score

Precision = Literal["float", "float16", "int8", "palette8", "palette6", "palette4", "palette2"]
"""`float16` is of the stored weights only; such a net computes in 32 bits."""


Amount = str | float | int | None
"""A limit as people write it, such as '2MB', or as a number; None for no limit."""


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
    norm_params: int = 0
    """How many of `params` are batch norms'."""


@dataclass(frozen=True)
class Latency:
    """Time of one image, batch 1, input in memory."""

    median_ms: float
    """Median of the calls that counted."""
    p90_ms: float
    """90th percentile of them."""
    runs: int
    """Calls that counted."""
    threads: int
    """Threads of the runtime."""
    runtime: str
    """Name and version."""
    machine: str
    """Processor and system."""
    reference_ms: float
    """Median of the reference net, timed in turns with this one."""
    quiet: float | None = field(default=None, metadata=UNSAID)
    """Share of the reference net's calls that nothing else slowed down; None where nobody listened, as in browsers."""
    margin: float | None = field(default=None, metadata=UNSAID)
    """Share by which the median may be off: half its 95% interval, from how the rounds differ."""

    @property
    def ratio(self) -> float:
        """Return median over the reference net's median."""
        return self.median_ms / self.reference_ms


@dataclass(frozen=True)
class PredictedLatency:
    """Time of one image on a device, predicted from a profile of it, not measured."""

    device: str
    """What the profile calls the device."""
    runtime: str
    """Name and version, there."""
    threads: int
    """Threads of the runtime."""
    median_ms: float
    """The median that is expected."""
    low_ms: float
    """Lower end of its 90% interval."""
    high_ms: float
    """Upper end of it."""
    covered: bool = True
    """Whether nets of this kind were in the profile; what the interval says holds for those only."""


@dataclass(frozen=True)
class Budget:
    """The contract: what was asked for, by the option's name, each in the unit of its limit."""

    limits: dict[str, float] = field(default_factory=dict)
    profile: str | None = field(default=None, metadata=UNSAID)
    """File with the profile of the device that `max_latency` is for; None for this machine."""
    compressor: str | None = field(default=None, metadata=UNSAID)
    """What `max_download` is judged under; None for deflate."""

    @property
    def empty(self) -> bool:
        """Whether nothing is limited."""
        return not self.limits


StartKind = Literal["own", "cut", "sliced", "scratch"]
"""How a training begins: with weights of this very net, of a deeper one, of a wider one, or with fresh ones."""


@dataclass(frozen=True)
class Estimate:
    """A figure that was predicted, not measured."""

    middle: float
    """As likely too high as too low."""
    low: float
    """Nine times out of ten the truth lies from here."""
    high: float
    """To here."""


@dataclass(frozen=True)
class Probed:
    """What a head on a pretrained net's frozen features reached on the user's own validation images."""

    origin: str
    """Name of the weights."""
    spec: ModelSpec
    """The net, with the depth and the resolution that it was read at."""
    macs: int
    """Multiply-adds of one image."""
    params: int
    """Learned values."""
    validation: Score
    """Of the head, by frozen features."""


@dataclass(frozen=True)
class Candidate:
    """One net at one precision, and what became of it."""

    spec: ModelSpec
    """The net."""
    precision: Precision
    """Of the file."""
    cost: Cost
    """What one inference takes, counted."""
    size_bytes: int
    """Of the exported file, of several formats the largest: estimated from the count, exact once it was written."""
    suggested_top1: float
    """ImageNet top-1 in percent that the published figures suggest: an order, not a promise."""
    status: Literal["taken", "trained", "tried", "over budget", "too slow", "not needed"]
    """`trained` to the end and `tried` for a few epochs were others than the taken one."""
    reason: str
    """Why, in words."""
    latency: Latency | None = None
    """Of the file with fresh weights, on this machine; None where it was not written."""
    download_bytes: int | None = None
    """Of the file with fresh weights after deflate; None where it was not written."""
    start: StartKind = "scratch"
    """How its training begins."""
    origin: str = ""
    """Name of the weights that it begins with; empty from scratch."""
    accuracy: Estimate | None = None
    """Predicted before any training, as a share of the user's validation images; None where nothing was probed."""
    predicted_ms: Estimate | None = None
    """Latency predicted; None where it was not needed, or measured."""
    tried: Score | None = None
    """On validation after a short training."""
    validation: Score | None = None
    """On validation after the whole training."""
    predicted: PredictedLatency | None = field(default=None, metadata=UNSAID)
    """Where the budget names the profile of a device, the time there; None where the time of this machine counts."""

    @property
    def latency_ms(self) -> float | None:
        """Return the time that counts: predicted for the budget's device, or measured here."""
        known = self.predicted or self.latency
        return known.median_ms if known else None


@dataclass(frozen=True)
class Choice:
    """The outcome of choosing."""

    budget: Budget
    taken: Candidate
    candidates: tuple[Candidate, ...]
    """The taken one, those that were trained beside it, the best at every cost, and the nearest that break the budget;
    in older records every one that was considered."""
    notes: tuple[str, ...] = ()
    shortlist: tuple[Candidate, ...] = ()
    """Those to train, the best predicted first."""
    considered: int = 0
    """Settings that were counted and held against the budget."""
    kept: int = 0
    """Of these, settings that keep it as far as could be told without training."""
    steps: tuple[str, ...] = ()
    """What raising each limit would bring, in words."""
    probed: tuple[Probed, ...] = ()
    """What frozen features told, by which accuracies were predicted."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of each step."""
