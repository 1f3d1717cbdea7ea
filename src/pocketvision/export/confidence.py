"""What is settled on validation answers before a file is written: int8's own temperature, and when it refuses."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.temperature import with_temperature
from pocketvision.errors import UsageError
from pocketvision.graph.graph import Graph
from pocketvision.metrics.calibration import TEMPERATURES
from pocketvision.metrics.refusal import Threshold, choose_threshold, given_threshold, top
from pocketvision.tasks import load
from pocketvision.values import Confidence, TaskSpec
from pocketvision.values.ranges import share

Probabilities = NDArray[np.float32]
Labels = NDArray[np.int64]
Abstain = float | Literal["auto", "off"]

MOVED = 1.05
"""Rounding that changed the best temperature by less than this factor is left alone: noise."""


@dataclass(frozen=True, eq=False)
class Settled:
    """A graph whose probabilities mean what they say, with its answers to the validation images."""

    graph: Graph
    probabilities: Probabilities
    confidence: Confidence | None
    spec: TaskSpec
    """With the thresholds that these probabilities ask for."""
    temperature: float = 1.0
    """What the logits were divided by."""
    before: Confidence | None = None
    """Without it; None where nothing was divided."""


def settle(graph: Graph, probabilities: Probabilities, targets: Labels, spec: TaskSpec, *, folded: float) -> Settled:
    """Fit an int8 graph's temperature anew where rounding moved it; a float graph keeps the one folded in training.

    `probabilities` are the graph's answers to the validation images [N, C], on which the task settles what else there
    is; `folded` is the trained net's own temperature: both together stay within `TEMPERATURES`.
    """
    task = load(spec.name)
    now = task.confidence(probabilities, targets)
    value = 1.0
    if graph.quant is not None and task.TEMPERED:
        wanted = folded * task.temperature(task.logits(probabilities), targets)
        value = float(np.clip(wanted, *TEMPERATURES)) / folded
    if 1 / MOVED < value < MOVED:
        return Settled(graph, probabilities, now, task.settle(probabilities, targets, spec))
    better = task.probabilities(task.logits(probabilities) / value, spec)
    settled = task.settle(better, targets, spec)
    return Settled(with_temperature(graph, value), better, task.confidence(better, targets), settled, value, now)


def abstain_of(text: str | float) -> Abstain:
    """Read `off`, `auto`, or a probability such as 0.6 or 60%; raises UsageError for anything else."""
    word = str(text).strip().lower()
    if word == "auto":
        return "auto"
    if word == "off":
        return "off"
    return share("abstain", text)


def require_refusable(abstain: Abstain, spec: TaskSpec) -> None:
    """Raise UsageError where refusing is asked for by a probability, and the task has no answer to refuse."""
    if isinstance(abstain, float) and load(spec.name).KIND != "classes":
        raise UsageError("--abstain is for one class an image; what else nets find has thresholds: leave it away")


def threshold_for(abstain: Abstain, probabilities: Probabilities, labels: Labels, spec: TaskSpec) -> Threshold | None:
    """Return the threshold asked for, with what it does on the validation answers; None for none."""
    require_refusable(abstain, spec)
    if abstain == "off" or len(labels) == 0 or spec.thresholds:
        return None
    confidence, right = top(probabilities, labels)
    if abstain == "auto":
        return choose_threshold(confidence, right)
    return given_threshold(confidence, right, abstain)


def reason_of(abstain: Abstain, threshold: Threshold | None, spec: TaskSpec) -> str:
    """Say which threshold was taken, and why."""
    if spec.thresholds:
        return load(spec.name).rule(spec)
    if threshold is not None:
        return f"answers below {threshold.below:.4g} count as not sure: {threshold.reason}"
    if abstain == "off":
        return "the file never refuses, as asked"
    return "the file never refuses: the validation images are too few, or all answered alike, to choose a threshold"
