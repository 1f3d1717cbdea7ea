"""Two nets on the same images: the exact McNemar test, and the interval of their difference."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import DataError
from pocketvision.metrics.accuracy import wilson

Booleans = NDArray[np.bool_]
NOISE = 0.05
"""A difference with a p-value from here on is called noise."""


@dataclass(frozen=True)
class Paired:
    """One net's accuracy less another's, on the same images; shares in -1..1."""

    difference: float
    """First less second."""
    low: float
    """Lower end of the 95% interval of the difference."""
    high: float
    """Upper end of that interval."""
    p_value: float
    """Of the exact McNemar test: how often chance alone gives a difference at least this large."""
    only_first: int
    """Images that only the first net answers rightly."""
    only_second: int
    """Images that only the second net answers rightly."""
    count: int
    """Number of images."""

    @property
    def noise(self) -> bool:
        """Whether chance explains the difference."""
        return self.p_value >= NOISE

    def __str__(self) -> str:
        if self.noise:
            return f"the difference is noise (p = {self.p_value:.2f})"
        word = "worse" if self.difference < 0 else "better"
        # An exact test and an interval by another method may disagree at the edge of zero.
        ends = sorted((self.low, self.high), key=abs)
        near, far = (100 * end * math.copysign(1, self.difference) for end in ends)
        return f"{word} by {100 * abs(self.difference):.1f} points ({near:.1f} to {far:.1f})"


def paired(first_right: Booleans, second_right: Booleans) -> Paired:
    """Compare which of the same images two nets answer rightly: [N] and [N]; DataError where there is none."""
    assert first_right.shape == second_right.shape
    if len(first_right) == 0:
        raise DataError("there is no image to compare two nets on; give a split with at least one readable image")
    both = int((first_right & second_right).sum())
    only_first, only_second = int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
    count = len(first_right)
    low, high = _newcombe(both, only_first, only_second, count - both - only_first - only_second)
    difference = (only_first - only_second) / count
    return Paired(difference, low, high, mcnemar(only_first, only_second), only_first, only_second, count)


def as_right(before: Booleans, after: Booleans) -> bool:
    """Tell whether what one net lost of another's right answers is within one standard error of chance."""
    found = paired(before, after)
    return found.only_first - found.only_second <= math.sqrt(found.only_first + found.only_second)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p-value of McNemar's test, exact: the images that one net alone answers rightly fall to
    either with probability 1/2.

    Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12 (1947); in whole numbers, so exact for any count.
    """
    assert min(only_first, only_second) >= 0
    total = only_first + only_second
    ways, tail = 1, 0
    for taken in range(min(only_first, only_second) + 1):
        tail += ways
        ways = ways * (total - taken) // (taken + 1)
    # The quotient of two whole numbers is rounded once, however large they are.
    return min(1.0, 2 * tail / (1 << total))


def _newcombe(both: int, only_first: int, only_second: int, neither: int) -> tuple[float, float]:
    """Return the 95% interval of the difference of two paired shares, built from Wilson's interval of each.

    Source: R. G. Newcombe, "Improved confidence intervals for the difference between binomial proportions based on
    paired data", Statistics in Medicine 17 (1998), method 10.
    """
    count = both + only_first + only_second + neither
    first, second = wilson(both + only_first, count), wilson(both + only_second, count)
    correlation = _correlation(both, only_first, only_second, neither)
    difference = first.value - second.value
    below = _joined(first.value - first.low, second.high - second.value, correlation)
    above = _joined(first.high - first.value, second.value - second.low, correlation)
    return max(-1.0, difference - below), min(1.0, difference + above)


def _joined(one: float, other: float, correlation: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * correlation * one * other + other * other))


def _correlation(both: int, only_first: int, only_second: int, neither: int) -> float:
    count = both + only_first + only_second + neither
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    if margins == 0:
        return 0.0
    product = both * neither - only_first * only_second
    corrected = max(product - count / 2, 0.0) if product > 0 else float(product)
    return corrected / math.sqrt(margins)
