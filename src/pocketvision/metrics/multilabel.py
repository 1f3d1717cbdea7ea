"""Several 0/1 labels an image: average precision, F1, thresholds and calibration, over the cells that are known.

Probabilities are [N, A]; targets [N, A] hold 1, 0, or `UNKNOWN` where nobody said. Unknown cells count nowhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import DataError
from pocketvision.metrics.calibration import TEMPERATURES, calibration_error, error_by_chance, error_interval
from pocketvision.metrics.refusal import area_under_risk
from pocketvision.values import Confidence

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]
Doubles = NDArray[np.float64]

UNKNOWN = -1
ENOUGH = 20
"""Positives in validation from which the best threshold found there is taken as it is; with fewer it is noise."""
_RESAMPLES, _CELLS_AT_ONCE, _MOST_CELLS = 1000, 2**21, 2**31
_TINY = 1e-7


@dataclass(frozen=True, eq=False)
class Ranking:
    """One attribute's known images from the highest probability down, cut where the probability changes.

    Equal probabilities are one point: their order in the file would else decide what int8, with its few levels, is
    worth.
    """

    order: NDArray[np.int64]
    """Places of the known images [K]."""
    ends: NDArray[np.int64]
    """Where, in that order, the last image of each probability stands [P]."""
    positive: NDArray[np.bool_]
    """In that order [K]."""
    values: Doubles
    """The different probabilities, from the highest down [P]."""

    @classmethod
    def of(cls, probabilities: Floats, targets: Integers) -> "Ranking":
        """Rank one attribute's [N] probabilities by [N] targets."""
        known = np.flatnonzero(targets != UNKNOWN)
        order = known[np.argsort(-probabilities[known], kind="stable")]
        values = probabilities[order].astype(np.float64)
        ends = np.flatnonzero(np.append(values[1:] != values[:-1], True)) if len(order) else order
        return cls(order, ends, targets[order] == 1, values[ends])

    def precision_and_recall(self, weights: Doubles) -> tuple[Doubles, Doubles]:
        """Return both at each point [R, P] where image n counts `weights` [R, N] times; no number without positives."""
        drawn = weights[:, self.order]
        hits = np.cumsum(drawn * self.positive, axis=1)[:, self.ends]
        taken = np.cumsum(drawn, axis=1)[:, self.ends]
        with np.errstate(invalid="ignore"):
            precision = np.where(taken > 0, hits / np.maximum(taken, 1), 0.0)
            return precision, hits / np.where(hits[:, -1:] > 0, hits[:, -1:], np.nan)

    def average_precision(self, weights: Doubles) -> Doubles:
        """Return the sum of precision times the step of recall [R], without interpolation; NaN without positives."""
        if not self.positive.any():
            return np.full(len(weights), np.nan)
        precision, recall = self.precision_and_recall(weights)
        found: Doubles = (precision * np.diff(recall, axis=1, prepend=0.0)).sum(axis=1)
        return found


def average_precision(probabilities: Floats, targets: Integers) -> float:
    """Return one attribute's average precision, [N] and [N]; NaN where no known image has it.

    Source: A. Howard et al., "MobileNets" (2017), table 12, whose figures are its mean over the attributes.
    """
    return float(Ranking.of(probabilities, targets).average_precision(np.ones((1, len(targets))))[0])


def average_precisions(probabilities: Floats, targets: Integers) -> tuple[Doubles, Doubles]:
    """Return the average precision of each attribute [A], and of each in resamples of the images [R, A].

    The resamples are a bootstrap over images (B. Efron, 1979): a cell is not drawn without its image's others.
    """
    count, attributes = targets.shape
    if count == 0:
        raise DataError("there is no image to measure on; give a split with at least one readable image")
    rankings = [Ranking.of(probabilities[:, a], targets[:, a]) for a in range(attributes)]
    whole = np.array([ranking.average_precision(np.ones((1, count)))[0] for ranking in rankings])
    drawn = [
        np.stack([ranking.average_precision(weights) for ranking in rankings], axis=1)
        for weights in _resamples(count, attributes)
    ]
    return whole, np.concatenate(drawn)


def _resamples(count: int, attributes: int) -> Iterator[Doubles]:
    """Yield how often each image is drawn [R, N], in all 1000 times, fewer for data whose figures hardly vary."""
    rounds = int(np.clip(_MOST_CELLS // (count * attributes), 100, _RESAMPLES))
    at_once, rng = max(1, _CELLS_AT_ONCE // count), np.random.default_rng(0)
    for start in range(0, rounds, at_once):
        yield rng.multinomial(count, np.full(count, 1 / count), min(at_once, rounds - start)).astype(np.float64)


def interval(resampled: Doubles) -> tuple[float, float]:
    """Return the 95% percentile interval of resampled figures, those without a value left out."""
    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return 0.0, 1.0
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)


# ---------------------------------------------------------------- thresholds


def best_threshold(probabilities: Floats, targets: Integers) -> float:
    """Return the probability [N] from which on an attribute [N] counts as there: the one of the largest F1.

    It lies halfway between two probabilities that occur. With fewer than `ENOUGH` positives, or negatives, that
    choice is noise, and the threshold moves, the more the fewer there are, towards half the F1 reached: the best one
    for probabilities that mean what they say (Z. Lipton and others, "Optimal Thresholding of Classifiers to Maximize
    F1 Measure", 2014). An attribute of which only one side is known gets 1/2.
    """
    ranking = Ranking.of(probabilities, targets)
    positives = int(ranking.positive.sum())
    fewer = min(positives, len(ranking.order) - positives)
    if fewer == 0:
        return 0.5
    precision, recall = (found[0] for found in ranking.precision_and_recall(np.ones((1, len(targets)))))
    f1 = 2 * precision * recall / np.maximum(precision + recall, _TINY)
    best = int(np.flatnonzero(f1 >= f1.max() - 1e-12)[-1])
    below = ranking.values[best + 1] if best + 1 < len(ranking.values) else 0.0
    found = (ranking.values[best] + below) / 2
    trust = min(1.0, fewer / ENOUGH)
    return float(np.clip(trust * found + (1 - trust) * f1.max() / 2, _TINY, 1 - _TINY))


@dataclass(frozen=True, eq=False)
class Decided:
    """Each attribute's counts at its threshold, all [A]."""

    precision: Doubles
    recall: Doubles
    f1: Doubles
    """0 where nothing was found of what there is; NaN where no known image has the attribute."""
    right: Doubles
    """Share of the known cells decided rightly."""
    micro_f1: float
    """Over the cells of all attributes together."""


def decided(probabilities: Floats, targets: Integers, thresholds: Floats) -> Decided:
    """Judge decisions at thresholds [A]."""
    known, positive = targets != UNKNOWN, targets == 1
    said = (probabilities >= thresholds) & known
    hits, claims, there = ((cells & known).sum(axis=0).astype(float) for cells in (said & positive, said, positive))
    with np.errstate(invalid="ignore", divide="ignore"):
        return Decided(
            precision=hits / claims,
            recall=hits / there,
            f1=np.where(there > 0, 2 * hits / (claims + there), np.nan),
            right=((said == positive) & known).sum(axis=0) / known.sum(axis=0),
            micro_f1=float(2 * hits.sum() / max(1.0, (claims + there).sum())),
        )


# ---------------------------------------------------------------- probabilities


def as_logits(probabilities: Floats) -> Doubles:
    """Return the logits that have these probabilities."""
    kept = np.clip(probabilities.astype(np.float64), _TINY, 1 - _TINY)
    logits: Doubles = np.log(kept / (1 - kept))
    return logits


def sigmoid(logits: Floats) -> NDArray[np.float32]:
    """Return the probabilities of logits."""
    found: NDArray[np.float32] = (0.5 * (1 + np.tanh(logits.astype(np.float64) / 2))).astype(np.float32)
    return found


def cross_entropy(logits: Floats, targets: Integers) -> Doubles:
    """Return the binary cross-entropy of each cell [N, A]; 0 where it is unknown."""
    wide = logits.astype(np.float64)
    losses: Doubles = np.where(targets == UNKNOWN, 0.0, np.logaddexp(0, wide) - wide * (targets == 1))
    return losses


def temperature(logits: Floats, targets: Integers) -> float:
    """Return the temperature that minimizes the cross-entropy of the known cells, within `TEMPERATURES`.

    One for all attributes: each has few cells on small data. Source: Guo and others, "On Calibration of Modern Neural
    Networks" (2017), section 4.2, for two classes.
    """
    grid = np.geomspace(*TEMPERATURES, 121)
    return float(min(grid, key=lambda value: cross_entropy(logits / value, targets).sum()))


def confidence_of(probabilities: Floats, targets: Integers) -> Confidence:
    """Return how far the decisions at 1/2 can be trusted, each known cell an answer of its own.

    One attribute has too few images for a figure of its own on small data: all are pooled.
    """
    known = targets != UNKNOWN
    if not known.any():
        raise DataError("no attribute of any image is known, so nothing can be measured; give a table with 0 and 1")
    chances, truth = probabilities[known].astype(np.float64), targets[known] == 1
    sure, right = np.maximum(chances, 1 - chances), (chances >= 0.5) == truth
    low, high = error_interval(sure, right)
    return Confidence(
        count=len(truth),
        ece=calibration_error(sure, right),
        ece_low=low,
        ece_high=high,
        ece_by_chance=error_by_chance(sure),
        brier=float(2 * ((chances - truth) ** 2).mean()),
        nll=float(cross_entropy(as_logits(chances), truth.astype(np.int64)).mean()),
        aurc=area_under_risk(sure, right),
    )
