"""Whether a probability means what it says: calibration error, Brier score, log-likelihood, and one temperature."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import DataError
from pocketvision.metrics.refusal import area_under_risk, top
from pocketvision.values import Confidence

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]
Booleans = NDArray[np.bool_]

MOST_BINS = 15
"""As in Guo et al. (2017)."""
LEAST_PER_BIN = 20
"""Fewer answers a bin make noise look like miscalibration."""
TEMPERATURES = (0.25, 4.0)
"""A few hundred validation images, all answered rightly, would otherwise ask for infinite confidence."""
_RESAMPLES, _MANY = 1000, 20_000
_TINY = float(np.finfo(np.float32).tiny)  # what a runtime's softmax rounds to 0


@dataclass(frozen=True)
class Bin:
    """Answers of neighboring probabilities, from `low` to `high`."""

    low: float
    high: float
    count: int
    confidence: float
    """Mean probability of the answers."""
    accuracy: float
    """Share of right answers."""


def measured(probabilities: Floats, labels: Integers) -> Confidence:
    """Return every figure of how far probabilities [N, C] can be trusted; DataError where there is no image."""
    _require(labels)
    confidence, right = top(probabilities, labels)
    low, high = error_interval(confidence, right)
    return Confidence(
        count=len(labels),
        ece=calibration_error(confidence, right),
        ece_low=low,
        ece_high=high,
        ece_by_chance=error_by_chance(confidence),
        brier=brier(probabilities, labels),
        nll=negative_log_likelihood(probabilities, labels),
        aurc=area_under_risk(confidence, right),
    )


def reliability(confidence: Floats, right: Booleans, *, bins: int | None = None) -> tuple[Bin, ...]:
    """Sort answers [N] by probability into bins of equally many; equal probabilities stay in one bin.

    By default as many bins as leave `LEAST_PER_BIN` answers in each, and `MOST_BINS` at most.
    """
    index = _binned(confidence, bins)
    return tuple(
        Bin(
            float(confidence[members].min()),
            float(confidence[members].max()),
            int(members.sum()),
            float(confidence[members].mean(dtype=np.float64)),
            float(right[members].mean()),
        )
        for number in range(int(index.max(initial=-1)) + 1)
        if (members := index == number).any()
    )


def calibration_error(confidence: Floats, right: Booleans, *, bins: int | None = None) -> float:
    """Return the expected calibration error of answers given by top probability [N] and rightness [N].

    That is the mean distance of probability and accuracy over bins, weighted by their counts, 0..1. Deviates: Guo et
    al., "On Calibration of Modern Neural Networks" (2017), eq. 3, has bins of equal width, of which a good net fills
    one; here each holds equally many answers, as in Nixon et al., "Measuring Calibration in Deep Learning" (2019).
    """
    return _error(_binned(confidence, bins), confidence, right)


def error_interval(confidence: Floats, right: Booleans) -> tuple[float, float]:
    """Return the 95% bootstrap interval of the calibration error, by the basic method, within 0..1.

    A resample adds noise to noise, so its error is too large by about what the estimate itself is too large; the basic
    method (2 x estimate - quantile) takes that off, the percentile method would count it twice.
    Source: Davison and Hinkley, "Bootstrap Methods and their Application" (1997), section 5.2.
    """
    index, estimate, dice = _binned(confidence, None), calibration_error(confidence, right), np.random.default_rng(0)
    errors = []
    for _ in range(_rounds(len(right))):
        drawn = dice.integers(0, len(right), len(right))
        errors.append(_error(index[drawn], confidence[drawn], right[drawn]))
    low, high = 2 * estimate - np.quantile(errors, (0.975, 0.025))
    return float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))


def error_by_chance(confidence: Floats) -> float:
    """Return the calibration error that perfectly calibrated answers of these probabilities would show on average."""
    index, dice = _binned(confidence, None), np.random.default_rng(0)
    rounds = _rounds(len(confidence))
    errors = [_error(index, confidence, dice.random(len(confidence)) < confidence) for _ in range(rounds)]
    return float(np.mean(errors))


def brier(probabilities: Floats, labels: Integers) -> float:
    """Return the mean squared distance of probabilities [N, C] from the truth, summed over classes, 0..2.

    Source: G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review (1950).
    """
    wanted = np.zeros(probabilities.shape)
    wanted[np.arange(len(labels)), labels] = 1
    return float(((probabilities - wanted) ** 2).sum(axis=1).mean())


def negative_log_likelihood(probabilities: Floats, labels: Integers) -> float:
    """Return the mean of -log(probability of the true class); a probability of 0 counts as float32's smallest."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(chosen, _TINY)).mean())


# ---------------------------------------------------------------- temperature


def temperature(logits: Floats, labels: Integers) -> float:
    """Return the temperature that minimizes cross-entropy of logits [N, classes] / T, within `TEMPERATURES`.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), section 4.2.
    """
    return fitted(logits, labels)[0]


def fitted(logits: Floats, labels: Integers) -> tuple[float, float]:
    """Return the best temperature and the cross-entropy it leaves."""
    grid = np.geomspace(*TEMPERATURES, 121)
    loss = np.array([_cross_entropy(logits.astype(np.float64) / value, labels) for value in grid])
    best = int(loss.argmin())
    return float(grid[best]), float(loss[best])


def as_logits(probabilities: Floats) -> NDArray[np.float64]:
    """Return logits that have these probabilities [N, C]; each row's are known up to a constant only."""
    return np.log(np.maximum(probabilities.astype(np.float64), _TINY))


def softened(probabilities: Floats, value: float) -> NDArray[np.float32]:
    """Return what probabilities [N, C] become when their logits are divided by a temperature."""
    logits = as_logits(probabilities) / value
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: NDArray[np.float32] = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


def _cross_entropy(logits: NDArray[np.float64], labels: Integers) -> float:
    top_ = logits.max(1, keepdims=True)
    norm = np.log(np.exp(logits - top_).sum(1)) + top_[:, 0]
    return float((norm - logits[np.arange(len(labels)), labels]).mean())


# ---------------------------------------------------------------- bins


def _binned(confidence: Floats, bins: int | None) -> NDArray[np.int64]:
    """Return the bin of each answer [N]."""
    count = len(confidence)
    number = bins if bins is not None else min(MOST_BINS, max(1, count // LEAST_PER_BIN))
    assert number >= 1
    cuts = [round(count * place / number) for place in range(1, number)]
    edges = np.unique(np.sort(confidence)[[cut for cut in cuts if cut < count]])
    return np.searchsorted(edges, confidence, side="right").astype(np.int64)


def _error(index: NDArray[np.int64], confidence: Floats, right: Booleans) -> float:
    gaps = np.bincount(index, weights=right.astype(np.float64) - confidence)
    return float(np.abs(gaps).sum() / len(index))


def _rounds(count: int) -> int:
    return _RESAMPLES if count <= _MANY else _RESAMPLES // 5


def _require(labels: Integers) -> None:
    if len(labels) == 0:
        raise DataError("there is no image to measure calibration on; give a split with at least one readable image")
