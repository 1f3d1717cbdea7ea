"""One class an image: softmax, the most probable label, the share of right answers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pocketvision.graph.endings import Ends, softmax_ending
from pocketvision.graph.real import softmax
from pocketvision.metrics import calibration
from pocketvision.metrics.accuracy import accuracy, macro_accuracy, wilson
from pocketvision.metrics.confusion import confusion as counted
from pocketvision.tasks import Decisions, Evaluation, Floats, Integers, Judgment
from pocketvision.tasks.whole import decided, fitted, found, resolution, stand_in
from pocketvision.values import (
    Confidence,
    Example,
    Kind,
    Score,
    Target,
    TaskSpec,
)

__all__ = ["decided", "fitted", "found", "resolution", "stand_in"]
WORD = "classification"
KIND: Kind = "classes"
METRIC = "accuracy"
WATCHED = "accuracy"
TEMPERED = True
CROPS = True
PREDICTED = True


def ending(spec: TaskSpec) -> Ends:
    """Return a softmax."""
    return softmax_ending


def read(text: str, labels: Sequence[str]) -> Target:
    """Return the number of a class by its name."""
    return labels.index(text)


def write(target: Target, labels: Sequence[str]) -> str:
    """Return the name of a class."""
    assert isinstance(target, int)
    return labels[target]


def contradict(one: str, other: str) -> bool:
    """Tell whether two classes differ."""
    return one != other


def targets(examples: Sequence[Example]) -> Integers:
    """Return the examples' classes [N]."""
    return np.array([example.target for example in examples], np.int64)


def probabilities(logits: Floats, spec: TaskSpec) -> NDArray[np.float32]:
    """Return the softmax."""
    return softmax(logits.astype(np.float64))


def logits(probabilities: Floats) -> NDArray[np.float64]:
    """Return logits that have these probabilities; each row's are known up to a constant only."""
    return calibration.as_logits(probabilities)


def temperature(logits: Floats, targets: Integers) -> float:
    """Return the temperature of least cross-entropy."""
    return calibration.temperature(logits, targets)


def confidence(probabilities: Floats, targets: Integers) -> Confidence:
    """Return how far the top probability can be trusted."""
    return calibration.measured(probabilities, targets)


def evaluate(logits: Floats, targets: Integers, weights: Floats | None, spec: TaskSpec) -> Evaluation:
    """Return losses at the best temperature, the share of right answers and its mean over the classes."""
    answers = logits.argmax(1)
    cooled = logits.astype(np.float64) / temperature(logits, targets)
    losses = np.logaddexp.reduce(cooled, axis=1) - cooled[np.arange(len(targets)), targets]
    if weights is not None and weights[targets].any():
        losses = losses * weights[targets] / weights[targets].mean()
    return Evaluation(losses, float((answers == targets).mean()), macro_accuracy(targets, answers, logits.shape[1]))


def settle(probabilities: Floats, targets: Integers, spec: TaskSpec) -> TaskSpec:
    """Return the spec: the largest probability decides, and nothing has to be settled."""
    return spec


def rule(spec: TaskSpec) -> str:
    """Return nothing."""
    return ""


def decide(probabilities: Floats, spec: TaskSpec) -> Decisions:
    """Take the most probable label."""
    best = np.asarray(probabilities.argmax(axis=1), np.int64)
    chances = np.take_along_axis(probabilities, best[:, None], axis=1)[:, 0]
    return Decisions(tuple(spec.labels[column] for column in best), chances.astype(np.float64), best)


def told(target: Target, spec: TaskSpec) -> str:
    """Return the name of a class."""
    return write(target, spec.labels)


def wrong(choices: Integers, target: Target, spec: TaskSpec) -> tuple[str, ...] | None:
    """Return None: there is one decision."""
    return None


def score(probabilities: Floats, targets: Integers, spec: TaskSpec) -> Score:
    """Return the share of right answers with its Wilson interval, and its mean over the classes."""
    return accuracy(probabilities, targets)


def judge(probabilities: Floats, targets: Integers, spec: TaskSpec) -> Judgment:
    """Return the score and the confusions, which say more of classes that exclude each other than figures of each."""
    matrix = counted(targets, probabilities.argmax(axis=1), len(spec.labels))
    rows = tuple(tuple(int(cell) for cell in row) for row in matrix)
    return Judgment(score(probabilities, targets, spec), confusion=rows)


def clearly_lost(ours: Floats, theirs: Floats, spec: TaskSpec, *, tie: float) -> NDArray[np.bool_]:
    """Tell where the other net holds its own label above ours by more than `tie` [N]."""
    chosen = np.take_along_axis(theirs, ours.argmax(axis=1)[:, None], axis=1)[:, 0]
    lost: NDArray[np.bool_] = theirs.max(axis=1) - chosen > tie
    return lost


def gaps(ours: Floats, theirs: Floats) -> NDArray[np.float64]:
    """Return the largest difference of a probability of each image."""
    found: NDArray[np.float64] = np.abs(ours.astype(np.float64) - theirs).max(axis=1, initial=0.0)
    return found


def below(measured: Score, stated: Score) -> bool:
    """Compare by the interval, images that are gone counted as right."""
    wrong = measured.count - round(measured.value * measured.count)
    total = max(stated.count, measured.count)
    return wilson(total - wrong, total).high < stated.low
