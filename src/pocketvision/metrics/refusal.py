"""Refusing the answers a file is not sure of: risk against coverage, and the threshold on the top probability."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.metrics.accuracy import wilson
from pocketvision.values import Refusal

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]
Booleans = NDArray[np.bool_]

ERROR_SHARE = 0.5
"""The error among answered images is to be at most this share of the plain error."""
LEAST_ERROR = 0.01
"""But no smaller error is asked for: below it the threshold would hang on single images."""
SPARED = 0.02
"""Share of known images that refusing may always cost, for the sake of unknown ones (docs/guide/predict.md)."""
LEAST_ANSWERED = 0.5
"""A file that refuses more than every other image of its own kind is of no use."""
LEAST_IMAGES = 30
"""On fewer validation images a threshold would be a guess."""


def top(probabilities: Floats, labels: Integers) -> tuple[Floats, Booleans]:
    """Return the top probability of each row of [N, C] and whether its label is right: [N] and [N]."""
    assert len(probabilities) == len(labels)
    if len(labels) == 0:
        return np.zeros(0), np.zeros(0, bool)
    return probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels


@dataclass(frozen=True)
class Point:
    """What is left where answers below `least` are refused."""

    least: float
    """The smallest probability among the answered images."""
    coverage: float
    """Share of images still answered."""
    risk: float
    """Share of wrong answers among those."""


def risk_coverage(confidence: Floats, right: Booleans) -> tuple[Point, ...]:
    """Return risk against coverage, the surest answers first; equal probabilities make one point.

    Source: El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification", JMLR 11 (2010).
    """
    values, wrong, sizes = _levels(confidence, right)
    answered = sizes.cumsum()
    return tuple(
        Point(float(value), float(number / len(confidence)), float(errors / number))
        for value, number, errors in zip(values, answered, wrong.cumsum(), strict=True)
    )


def area_under_risk(confidence: Floats, right: Booleans) -> float:
    """Return the mean risk over all coverages, 0..1: how badly probabilities tell right answers from wrong ones.

    Equal probabilities count as in any order, on average. Source: Geifman, Uziel and El-Yaniv, "Bias-Reduced
    Uncertainty Estimation for Deep Neural Classifiers" (2019), section 3 (AURC).
    """
    if len(confidence) == 0:
        return 0.0
    _, wrong, sizes = _levels(confidence, right)
    errors = np.repeat(wrong / sizes, sizes).cumsum()
    return float((errors / np.arange(1, len(errors) + 1)).mean())


def refusal(confidence: Floats, right: Booleans, below: float) -> Refusal:
    """Return what refusing answers below a top probability leaves; DataError where there is no image."""
    kept = confidence >= below
    answered = int(kept.sum())
    return Refusal(
        coverage=wilson(answered, len(confidence)),
        right=wilson(int(right[kept].sum()), answered) if answered else None,
    )


@dataclass(frozen=True)
class Threshold:
    """The top probability below which a file refuses, and what that did on the images it was chosen on."""

    below: float
    refusal: Refusal
    reason: str


def choose_threshold(confidence: Floats, right: Booleans) -> Threshold | None:
    """Choose on validation images [N] a threshold that halves the error, and refuses what costs little anyway.

    The lowest one that leaves an error of at most `ERROR_SHARE` of the plain one, or of `LEAST_ERROR` where that is
    more; where that takes more than every other image, the error is left as it is. In any case up to `SPARED` of the
    images, the least sure, are refused. None where there are fewer than `LEAST_IMAGES`, no answer is right, or all
    are equally sure.
    """
    points = risk_coverage(confidence, right)
    if len(confidence) < LEAST_IMAGES or len(points) == 1 or not right.any():
        return None
    plain = points[-1].risk
    target = max(ERROR_SHARE * plain, LEAST_ERROR)
    by_error = [point for point in points if point.coverage >= LEAST_ANSWERED and point.risk <= target]
    by_cost = next(point for point in points if point.coverage >= 1 - SPARED)
    chosen = min([*by_error[-1:], by_cost], key=lambda point: point.coverage)
    below = _between(points, points.index(chosen))
    return Threshold(below, refusal(confidence, right, below), _reason(chosen, plain, target))


def given_threshold(confidence: Floats, right: Booleans, below: float) -> Threshold:
    """Take a threshold as the user gave it, with what it does on validation images."""
    assert 0 <= below <= 1
    found = refusal(confidence, right, below)
    return Threshold(below, found, f"as asked; {found.coverage.value:.1%} of validation images are still answered")


def _between(points: Sequence[Point], place: int) -> float:
    """Return a probability midway to the next lower answer, so that rounding in another runtime changes nothing."""
    least = points[place].least
    if place == len(points) - 1:
        return math.floor(least * 10_000) / 10_000
    lower = points[place + 1].least
    rounded = round((least + lower) / 2, 4)
    return rounded if lower < rounded <= least else (least + lower) / 2


def _reason(chosen: Point, plain: float, target: float) -> str:
    if chosen.risk > target:
        why = f"an error of {target:.1%} cannot be had with half of the images answered"
    elif chosen.coverage >= 1 - SPARED:
        why = f"at most {SPARED:.0%} of validation images are refused, for the sake of unknown ones"
    else:
        why = f"the error among answered images is to be at most {target:.1%}"
    return (
        f"{why}; {chosen.coverage:.1%} of validation images are still answered, "
        f"and the error among them is {chosen.risk:.1%} instead of {plain:.1%}"
    )


def _levels(confidence: Floats, right: Booleans) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct probabilities, the highest first, with the wrong answers and all answers of each."""
    values, place = np.unique(-confidence.astype(np.float64), return_inverse=True)
    sizes = np.bincount(place, minlength=len(values))
    wrong = np.bincount(place[~right], minlength=len(values))
    return -values, wrong.astype(np.int64), sizes.astype(np.int64)
