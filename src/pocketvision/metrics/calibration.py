"""Whether a probability means what it says: the expected calibration error."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import DataError

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]


@dataclass(frozen=True)
class Bin:
    """The answers whose probability lies in (low, high]."""

    low: float
    high: float
    count: int
    confidence: float
    """Mean probability of the answers."""
    accuracy: float
    """Share of right answers."""


def reliability(probabilities: Floats, labels: Integers, *, bins: int = 15) -> tuple[Bin, ...]:
    """Sort answers by the probability of the top label into bins of equal width; bins without answers are left out."""
    assert bins >= 1
    assert len(probabilities) == len(labels)
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return tuple(
        Bin(
            number / bins,
            (number + 1) / bins,
            int(members.sum()),
            float(confidence[members].mean()),
            float(right[members].mean()),
        )
        for number in range(bins)
        if (members := index == number).any()
    )


def expected_calibration_error(probabilities: Floats, labels: Integers, *, bins: int = 15) -> float:
    """Return the mean distance of probability and accuracy over bins, weighted by their counts, 0..1.

    Top label, equal widths, 15 bins. Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), eq. 3.
    """
    if len(labels) == 0:
        raise DataError("there is no image to measure calibration on; give a split with at least one readable image")
    table = reliability(probabilities, labels, bins=bins)
    return sum(item.count * abs(item.accuracy - item.confidence) for item in table) / len(labels)
