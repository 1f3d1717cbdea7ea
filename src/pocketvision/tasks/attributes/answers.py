"""Several 0/1 attributes an image: a sigmoid each, one threshold each, the mean of their average precisions."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import DataError
from pocketvision.graph.endings import Ends, sigmoid_ending
from pocketvision.metrics import multilabel
from pocketvision.metrics.multilabel import UNKNOWN
from pocketvision.tasks import Decisions, Evaluation, Floats, Integers, Judgment
from pocketvision.tasks.whole import decided, fitted, found, resolution, stand_in
from pocketvision.values import (
    AttributeScore,
    Confidence,
    Example,
    Kind,
    Score,
    Target,
    TaskSpec,
)

__all__ = ["decided", "fitted", "found", "resolution", "stand_in"]
WORD = "attributes"
KIND: Kind = "attributes"
METRIC = "mean average precision"
WATCHED = "accuracy"
TEMPERED = True
CROPS = True
PREDICTED = True


NONE = "(none)"
"""What is told of an image without any of the attributes."""
_CELLS = {"1": 1, "0": 0, "": None}


def ending(spec: TaskSpec) -> Ends:
    """Return a sigmoid."""
    return sigmoid_ending


def read(text: str, labels: Sequence[str]) -> Target:
    """Return a row of 0, 1 and None from texts such as `1,0,,1`."""
    cells = text.split(",")
    if len(cells) != len(labels) or not set(cells) <= set(_CELLS):
        raise ValueError(f"'{text}' is no row of {len(labels)} times 0, 1 or nothing, with commas between")
    return tuple(_CELLS[cell] for cell in cells)


def write(target: Target, labels: Sequence[str]) -> str:
    """Return a row of 0, 1 and nothing, with commas between."""
    return ",".join("" if cell is None else str(cell) for cell in _row(target))


def contradict(one: str, other: str) -> bool:
    """Tell whether an attribute is known to be there by one and not to be there by the other."""
    return any({a, b} == {"0", "1"} for a, b in zip(one.split(","), other.split(","), strict=True))


def targets(examples: Sequence[Example]) -> Integers:
    """Return the examples' attributes [N, A]: 1, 0, or -1 where unknown."""
    rows = [[UNKNOWN if cell is None else cell for cell in _row(example.target)] for example in examples]
    return np.array(rows, np.int64).reshape(len(rows), -1)


def probabilities(logits: Floats, spec: TaskSpec) -> NDArray[np.float32]:
    """Return the sigmoid of each."""
    return multilabel.sigmoid(logits)


def logits(probabilities: Floats) -> NDArray[np.float64]:
    """Return the logits of these probabilities."""
    return multilabel.as_logits(probabilities)


def temperature(logits: Floats, targets: Integers) -> float:
    """Return the one temperature of least cross-entropy over the known cells."""
    return multilabel.temperature(logits, targets)


def confidence(probabilities: Floats, targets: Integers) -> Confidence:
    """Return how far decisions can be trusted, each known cell an answer."""
    return multilabel.confidence_of(probabilities, targets)


def evaluate(logits: Floats, targets: Integers, weights: Floats | None, spec: TaskSpec) -> Evaluation:
    """Return losses at the best temperature, the share of cells decided rightly, and its mean over the attributes.

    An image's loss is the sum over its known cells by how many the images know on average, so that every known cell
    counts the same. `weights` change nothing: the thresholds take care of rare attributes.
    """
    known = targets != UNKNOWN
    if not known.any():
        raise DataError("no attribute of any validation image is known; fill in some, or give --val above 0")
    losses = multilabel.cross_entropy(logits / temperature(logits, targets), targets)
    right = ((logits >= 0) == (targets == 1)) & known
    some = known.any(axis=0)
    macro = (right.sum(axis=0)[some] / known.sum(axis=0)[some]).mean()
    return Evaluation(losses.sum(axis=1) * (len(known) / known.sum()), float(right.sum() / known.sum()), float(macro))


def settle(probabilities: Floats, targets: Integers, spec: TaskSpec) -> TaskSpec:
    """Choose one threshold an attribute by F1 on validation answers; without images 1/2."""
    columns = range(len(spec.labels))
    found = (multilabel.best_threshold(probabilities[:, a], targets[:, a]) if len(targets) else 0.5 for a in columns)
    return replace(spec, thresholds=tuple(float(f"{value:.4g}") for value in found))


def rule(spec: TaskSpec) -> str:
    """Say each attribute's threshold."""
    each = ", ".join(f"{label} {value:.3g}" for label, value in zip(spec.labels, spec.thresholds, strict=True))
    return f"each attribute counts as there from its own probability on, that of the best F1: {each}"


def decide(probabilities: Floats, spec: TaskSpec) -> Decisions:
    """Take every attribute whose probability reaches its threshold."""
    there = probabilities >= _thresholds(spec)
    chances = np.where(there, probabilities, 1 - probabilities).astype(np.float64).min(axis=1, initial=1.0)
    told = tuple(_names(label for label, yes in zip(spec.labels, row, strict=True) if yes) for row in there)
    return Decisions(told, chances, there.astype(np.int64))


def told(target: Target, spec: TaskSpec) -> str:
    """Return the names of what is there, and with a question mark what is unknown."""
    marks = {1: "{}", None: "{}?"}
    cells = zip(spec.labels, _row(target), strict=True)
    return _names(marks[cell].format(label) for label, cell in cells if cell in marks)


def wrong(choices: Integers, target: Target, spec: TaskSpec) -> tuple[str, ...] | None:
    """Return the attributes that are known and decided otherwise."""
    cells = zip(spec.labels, choices.tolist(), _row(target), strict=True)
    return tuple(label for label, said, cell in cells if cell is not None and said != cell)


def score(probabilities: Floats, targets: Integers, spec: TaskSpec) -> Score:
    """Return the mean of the average precisions over the attributes that occur, with a bootstrap interval over images.

    `others` holds what chance would reach, the share of positives, and figures of the decisions at the thresholds.
    """
    whole, resampled = multilabel.average_precisions(probabilities, targets)
    occur = ~np.isnan(whole)
    found = multilabel.decided(probabilities, targets, _thresholds(spec))
    known = targets != UNKNOWN
    if not occur.any():
        value, low, high, chance, f1 = 0.0, 0.0, 1.0, 0.0, 0.0
    else:
        value, f1 = float(whole[occur].mean()), float(np.nanmean(found.f1))
        low, high = multilabel.interval(_mean(resampled[:, occur]))
        chance = float(((targets == 1).sum(axis=0)[occur] / known.sum(axis=0)[occur]).mean())
    cells = float(np.nansum(found.right * known.sum(axis=0)) / max(1, known.sum()))
    others = {
        "chance": chance,
        "macro F1": f1,
        "micro F1": found.micro_f1,
        "right decisions": cells,
        "attributes": float(occur.sum()),
    }
    return Score(value, min(low, value), max(high, value), len(targets), metric=METRIC, others=others)


def judge(probabilities: Floats, targets: Integers, spec: TaskSpec) -> Judgment:
    """Return the score, and how each attribute fared."""
    return Judgment(score(probabilities, targets, spec), _parts(probabilities, targets, spec))


def _parts(probabilities: Floats, targets: Integers, spec: TaskSpec) -> tuple[AttributeScore, ...]:
    whole, resampled = multilabel.average_precisions(probabilities, targets)
    thresholds = _thresholds(spec)
    found = multilabel.decided(probabilities, targets, thresholds)
    return tuple(
        AttributeScore(
            name=label,
            known=int((targets[:, a] != UNKNOWN).sum()),
            positives=int((targets[:, a] == 1).sum()),
            average_precision=_some(whole[a]),
            low=multilabel.interval(resampled[:, a])[0],
            high=multilabel.interval(resampled[:, a])[1],
            threshold=float(thresholds[a]),
            precision=_some(found.precision[a]),
            recall=_some(found.recall[a]),
            f1=_some(found.f1[a]),
        )
        for a, label in enumerate(spec.labels)
    )


def clearly_lost(ours: Floats, theirs: Floats, spec: TaskSpec, *, tie: float) -> NDArray[np.bool_]:
    """Tell where the two decide otherwise and the other net's yes and no are further apart than `tie` [N, A]."""
    thresholds = _thresholds(spec)
    other = (ours >= thresholds) != (theirs >= thresholds)
    lost: NDArray[np.bool_] = other & (2 * np.abs(theirs - thresholds) > tie)
    return lost


def gaps(ours: Floats, theirs: Floats) -> NDArray[np.float64]:
    """Return the largest difference of a probability of each image."""
    found: NDArray[np.float64] = np.abs(ours.astype(np.float64) - theirs).max(axis=1, initial=0.0)
    return found


def below(measured: Score, stated: Score) -> bool:
    """Compare the two intervals: below is where they do not touch."""
    return measured.high < stated.low


def _row(target: Target) -> tuple[int | None, ...]:
    assert isinstance(target, tuple)
    return tuple(cell for cell in target if cell is None or isinstance(cell, int))


def _names(labels: Iterable[str]) -> str:
    return ", ".join(labels) or NONE


def _thresholds(spec: TaskSpec) -> NDArray[np.float32]:
    return np.array(spec.thresholds or (0.5,) * len(spec.labels), np.float32)


def _mean(resampled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each resample's mean over its attributes that were drawn; NaN where none was."""
    drawn = ~np.isnan(resampled)
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = np.where(drawn, resampled, 0).sum(axis=1) / np.where(
            drawn.any(axis=1), drawn.sum(axis=1), np.nan
        )
    return means


def _some(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
