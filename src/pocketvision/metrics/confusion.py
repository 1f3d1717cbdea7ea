"""Which class is taken for which: the confusion matrix and what is read from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.integer]


@dataclass(frozen=True)
class Mistake:
    """Images of one label answered as another."""

    label: str
    predicted: str
    count: int
    share: float
    """Of the label's images, 0..1."""


def confusion(labels: Integers, predicted: Integers, num_classes: int) -> NDArray[np.int64]:
    """Count answers: [C, C], rows are true labels, columns answers."""
    assert len(labels) == len(predicted)
    cells = labels.astype(np.int64) * num_classes + predicted.astype(np.int64)
    return np.bincount(cells, minlength=num_classes * num_classes).reshape(num_classes, num_classes)


def recall(matrix: Integers) -> NDArray[np.float64]:
    """Return per label the share of its images that were answered with it: [C], NaN where it has no image."""
    return _shares(np.diagonal(matrix), matrix.sum(axis=1))


def precision(matrix: Integers) -> NDArray[np.float64]:
    """Return per answer the share of its images that bear the label: [C], NaN where it was never given."""
    return _shares(np.diagonal(matrix), matrix.sum(axis=0))


def worst_confusions(matrix: Integers, labels: Sequence[str], *, count: int = 5) -> tuple[Mistake, ...]:
    """Return the commonest mistakes, most images first, then the largest share, then in label order."""
    totals = matrix.sum(axis=1)
    mistakes = [
        Mistake(labels[row], labels[column], int(matrix[row, column]), float(matrix[row, column] / totals[row]))
        for row, column in np.argwhere(matrix)
        if row != column
    ]
    return tuple(sorted(mistakes, key=lambda mistake: (-mistake.count, -mistake.share))[:count])


def _shares(part: Integers, whole: Integers) -> NDArray[np.float64]:
    shares = np.full(len(whole), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares
