"""Shares of right answers: accuracy with its Wilson interval, top-k, and the mean over classes."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import DataError
from pocketvision.metrics.confusion import confusion, recall
from pocketvision.values import Score

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]


def wilson(correct: int, total: int, z: float = 1.959964) -> Score:
    """Return `correct / total` with its Wilson score interval; 95% for the default `z`.

    Unlike the normal interval it stays within 0..1 and has a width at 0 and at `total` right answers.
    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    Raises DataError where there is nothing to judge.
    """
    assert 0 <= correct <= total or total == 0
    if total == 0:
        raise DataError("there is no image to measure accuracy on; give a split with at least one readable image")
    share = correct / total
    return Score(share, *wilson_bounds(share, total, z), total)


def wilson_bounds(share: float, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the ends of the Wilson score interval of a share of so many."""
    square = z * z
    center = (share + square / (2 * total)) / (1 + square / total)
    half = z / (1 + square / total) * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    # Rounding may leave 1e-17 beyond the ends, which are exact: 0 for no right answer, 1 for nothing but.
    return 0.0 if share == 0 else max(0.0, center - half), 1.0 if share == 1 else min(1.0, center + half)


def accuracy(probabilities: Floats, labels: Integers) -> Score:
    """Return the share of rows whose largest column is the label: [N, C] and [N]; with the mean over the classes."""
    assert len(probabilities) == len(labels)
    if len(labels) == 0:
        return wilson(0, 0)
    answers = probabilities.argmax(axis=1)
    macro = macro_accuracy(labels, answers, probabilities.shape[1])
    return replace(wilson(int((answers == labels).sum()), len(labels)), macro=macro)


def macro_accuracy(labels: Integers, predicted: Integers, num_classes: int) -> float:
    """Return the mean recall of the classes that have images: each class counts the same, however rare."""
    recalls = recall(confusion(labels, predicted, num_classes))
    if np.isnan(recalls).all():
        raise DataError("there is no image to measure accuracy on; give a split with at least one readable image")
    return float(np.nanmean(recalls))
