"""How good found boxes are: COCO's and VOC's average precision, intervals, and figures at one score.

Truth and answers are as in `box_matches`. Objects that are difficult or crowds count neither for nor against.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.metrics.accuracy import wilson_bounds
from pocketvision.metrics.box_matches import AREAS, THRESHOLDS, ClassMatches, Matches, match, overlaps

__all__ = [
    "BoxCounts",
    "Matches",
    "average_precision",
    "best_threshold",
    "confusion",
    "counted",
    "curve",
    "figures",
    "match",
]

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]

RECALLS: Doubles = np.linspace(0.0, 1.0, 101)
"""Where COCO reads precision."""
FOUND_FROM = 0.5
"""Intersection over union from which on a box is found, in figures at one score and in VOC's."""
_FEWEST, _RESAMPLES = 200, 1000
_CELLS_AT_ONCE, _MOST_CELLS = 2**22, 2**27
_EPSILON = float(np.spacing(1))
_PLACE = {name: place for place, name in enumerate(AREAS)}


def figures(matches: Matches) -> dict[str, float]:
    """Return COCO's twelve figures by name; one is not there where no object has its size.

    AP is the mean over 10 thresholds of overlap, from .5 to .95, and over the classes that have objects; AR 10 is the
    share of objects found by the 10 best answers of each image and class.
    """
    ones = np.ones((1, matches.images))
    found: dict[str, float] = {}
    for area in AREAS:
        whole = np.stack([_precision(one, ones, area)[0] for one in matches.classes])
        name = "" if area == "all" else f" {area}"
        found[f"AP{name}"] = _mean(whole)
        if area == "all":
            found |= {"AP50": _mean(whole[:, 0]), "AP75": _mean(whole[:, 5])}
    for most in (1, 10, 100):
        found[f"AR {most}"] = _mean(np.stack([_recall(one, most, "all") for one in matches.classes]))
    for area in list(AREAS)[1:]:
        found[f"AR {area}"] = _mean(np.stack([_recall(one, 100, area) for one in matches.classes]))
    return {name: value for name, value in found.items() if not np.isnan(value)}


@dataclass(frozen=True, eq=False)
class AveragePrecision:
    """Average precision of the classes and of their mean, with 95% bootstrap intervals over the images."""

    value: float
    """The mean over the classes that have objects; 0 where none has."""
    low: float
    high: float
    classes: Doubles
    """[K], no number where the class has no object."""
    class_low: Doubles
    class_high: Doubles


def average_precision(matches: Matches, *, overlap: float | None = FOUND_FROM) -> AveragePrecision:
    """Return AP at one of COCO's thresholds of overlap, .5 by default, or the mean over all of them for None.

    Images are drawn anew, each with all its boxes: a box is not independent of the others of its image.
    Where every draw gives the same, as for a class whose objects are all found, the interval is Wilson's of that share
    of the images that show one: that none was missed in ten images does not say that none ever will be.
    Source: B. Efron, "Bootstrap Methods: Another Look at the Jackknife" (1979); percentile intervals.
    """
    rows = np.arange(len(THRESHOLDS)) if overlap is None else np.flatnonzero(np.isclose(THRESHOLDS, overlap))
    assert rows.size, f"no threshold of COCO: {overlap}"
    whole = _by_class(matches, np.ones((1, matches.images)), rows)[0]
    drawn = np.concatenate([_by_class(matches, weights, rows) for weights in _resamples(matches)])
    shown = np.stack([one.there[:, 0] > 0 for one in matches.classes], axis=1)
    value = _mean(whole)
    low, high = _interval(_means(drawn)[:, None], np.array([shown.any(axis=1).sum()]))
    low_k, high_k = _interval(drawn, shown.sum(axis=0))
    if np.isnan(value):
        return AveragePrecision(0.0, 0.0, 1.0, whole, low_k, high_k)
    return AveragePrecision(value, min(float(low[0]), value), max(float(high[0]), value), whole, low_k, high_k)


# ---------------------------------------------------------------- COCO's curve


def _by_class(matches: Matches, weights: Doubles, rows: Integers) -> Doubles:
    """Return AP of each resample and class [R, K]."""
    found: Doubles = np.stack([_precision(one, weights, "all", rows).mean(axis=1) for one in matches.classes], axis=1)
    return found


def _precision(found: ClassMatches, weights: Doubles, area: str, rows: Integers | None = None) -> Doubles:
    """Return AP [R, thresholds] where image n counts `weights` [R, N] times; no number without objects."""
    place, chosen = _PLACE[area], np.arange(len(THRESHOLDS)) if rows is None else rows
    there = weights @ found.there[:, place]
    drawn = weights[:, found.image]
    taken = np.cumsum(drawn, axis=1)
    columns = []
    for row in chosen:
        ignored, hits = found.ignored[:, place, row], np.flatnonzero(found.hit[:, place, row])
        counted = np.cumsum(drawn * ~ignored, axis=1) if ignored.any() else taken
        columns.append(_interpolated(np.cumsum(drawn[:, hits], axis=1), counted[:, hits], there))
    return np.stack(columns, axis=1)


def _interpolated(hits: Doubles, counted: Doubles, there: Doubles) -> Doubles:
    """Return the mean precision at 101 recalls [R] from both counts at each hit [R, H]: between hits it only falls."""
    precision = hits / (counted + _EPSILON)
    highest = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    known = there > 0
    reached = np.searchsorted(RECALLS, hits / np.where(known, there, 1)[:, None], side="right")
    steps = np.diff(reached, axis=1, prepend=0)
    return np.where(known, (highest * steps).sum(axis=1) / len(RECALLS), np.nan)


def _recall(found: ClassMatches, most: int, area: str) -> Doubles:
    there = found.there[:, _PLACE[area]].sum()
    hits = found.hit[found.rank < most, _PLACE[area]].sum(axis=0)
    return hits / there if there else np.full(len(THRESHOLDS), np.nan)


def _resamples(matches: Matches) -> Iterator[Doubles]:
    """Yield how often each image is drawn [R, N], in all 1000 times, fewer for data whose figures hardly vary."""
    if not matches.images:
        yield np.ones((1, 0))
        return
    lengths = [len(one.image) for one in matches.classes] or [0]
    rounds = int(np.clip(_MOST_CELLS // max(1, sum(lengths)), _FEWEST, _RESAMPLES))
    at_once, rng = max(1, _CELLS_AT_ONCE // max(1, *lengths)), np.random.default_rng(0)
    even = np.full(matches.images, 1 / matches.images)
    for start in range(0, rounds, at_once):
        yield rng.multinomial(matches.images, even, min(at_once, rounds - start)).astype(np.float64)


def _mean(values: Doubles) -> float:
    return float(values[~np.isnan(values)].mean()) if not np.isnan(values).all() else float("nan")


def _means(drawn: Doubles) -> Doubles:
    known = ~np.isnan(drawn)
    totals = np.where(known, drawn, 0).sum(axis=1)
    return np.where(known.any(axis=1), totals / np.maximum(known.sum(axis=1), 1), np.nan)


def _interval(drawn: Doubles, images: Integers) -> tuple[Doubles, Doubles]:
    """Return the 95% percentile interval of each column [R, K].

    Where all rows are alike it is Wilson's of so many images [K], and 0 to 1 where none has a value.
    """
    low, high = np.zeros(drawn.shape[1]), np.ones(drawn.shape[1])
    for place, column in enumerate(drawn.T):
        known = column[~np.isnan(column)]
        if known.size:
            low[place], high[place] = np.quantile(known, (0.025, 0.975))
            if known.min() == known.max() and images[place]:
                low[place], high[place] = wilson_bounds(min(1.0, float(known[0])), int(images[place]))
    return low, high


# ---------------------------------------------------------------- VOC


def voc_average_precision(truth: Floats, answers: Floats, num_classes: int) -> Doubles:
    """Return VOC's average precision of each class [K], the area under the curve at all points (2010 and later).

    No number where a class has no object. Deviates: boxes are continuous, where VOC counts whole pixels.
    Source: M. Everingham and others, "The PASCAL Visual Object Classes Challenge" (2010), section 4.2 and its devkit.
    """
    return np.array([_voc_class(truth, answers, label) for label in range(num_classes)])


def _voc_class(truth: Floats, answers: Floats, label: int) -> float:
    scores, hits, errors, there = [np.empty(0)], [np.empty(0)], [np.empty(0)], 0
    for objects, found in zip(truth, answers, strict=True):
        mine = objects[objects[:, 0] == label]
        own = found[(found[:, 4] == label) & (found[:, 5] > 0)]
        own = own[np.argsort(-own[:, 5], kind="stable")]
        hit, error = _voc_image(own, mine)
        there += int((mine[:, 6] == 0).sum())
        scores, hits, errors = [*scores, own[:, 5].astype(float)], [*hits, hit], [*errors, error]
    if not there:
        return float("nan")
    order = np.argsort(-np.concatenate(scores), kind="stable")
    right = np.cumsum(np.concatenate(hits)[order])
    wrong = np.cumsum(np.concatenate(errors)[order])
    precision = right / np.maximum(right + wrong, 1)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    return float((highest * np.diff(right / there, prepend=0.0)).sum())


def _voc_image(found: Floats, objects: Floats) -> tuple[Doubles, Doubles]:
    """Return which answers, best first, are hits and which are errors: the second one on an object is."""
    hit, error = np.zeros(len(found)), np.ones(len(found))
    if not len(found) or not len(objects):
        return hit, error
    shares = overlaps(found, objects[:, 1:5])
    taken: set[int] = set()
    for place, best in enumerate(shares.argmax(axis=1).tolist()):
        if shares[place, best] < FOUND_FROM:
            continue
        plain, again = objects[best, 6] == 0, best in taken
        hit[place], error[place] = plain and not again, plain and again
        taken.add(best)
    return hit, error


# ---------------------------------------------------------------- at one score


@dataclass(frozen=True, eq=False)
class BoxCounts:
    """Answers from one score on, at an overlap of .5: counts of each class [K]."""

    hits: Integers
    """Objects that are found."""
    claims: Integers
    """Answers that count, right and wrong."""
    there: Integers
    """Objects that count."""

    @property
    def precision(self) -> Doubles:
        """Return the share of answers that are right [K]; no number where there are none."""
        return _share(self.hits, self.claims)

    @property
    def recall(self) -> Doubles:
        """Return the share of objects that are found [K]; no number where there are none."""
        return _share(self.hits, self.there)

    @property
    def f1(self) -> Doubles:
        """Return the harmonic mean of both [K]; no number where there is neither answer nor object."""
        return _share(2 * self.hits, self.claims + self.there)

    @property
    def overall(self) -> tuple[float, float, float]:
        """Return precision, recall and F1 over all classes together; 0 where there is nothing to divide by."""
        hits, claims, there = (int(part.sum()) for part in (self.hits, self.claims, self.there))
        return hits / max(1, claims), hits / max(1, there), 2 * hits / max(1, claims + there)


def counted(matches: Matches, threshold: float) -> BoxCounts:
    """Count hits, answers and objects from a score on."""
    rows = [(one, one.score >= threshold) for one in matches.classes]
    return BoxCounts(
        np.array([int((one.hit[:, 0, 0] & said).sum()) for one, said in rows], np.int64),
        np.array([int((~one.ignored[:, 0, 0] & said).sum()) for one, said in rows], np.int64),
        np.array([int(one.there[:, 0].sum()) for one in matches.classes], np.int64),
    )


def curve(found: ClassMatches, *, most: int = 100) -> tuple[tuple[float, float, float], ...]:
    """Return recall, precision and least score of one class from each of its scores on, at an overlap of .5.

    Empty where the class has no object or no answer. Of more than `most` points those are left whose recalls lie
    evenly.
    """
    there = int(found.there[:, 0].sum())
    counts = ~found.ignored[:, 0, 0]
    if not there or not counts.any():
        return ()
    ends = np.flatnonzero(np.append(np.diff(found.score) != 0, True))
    ends = ends[np.cumsum(counts)[ends] > 0]
    hits, claims = (np.cumsum(part)[ends] for part in (found.hit[:, 0, 0], counts))
    recall, precision = hits / there, hits / claims
    wanted = np.linspace(recall[0], recall[-1], most - 2)
    kept = np.unique([0, *np.searchsorted(recall, wanted), len(ends) - 1]) if len(ends) > most else range(len(ends))
    return tuple((float(recall[k]), float(precision[k]), float(found.score[ends[k]])) for k in kept)


def best_threshold(matches: Matches) -> float:
    """Return the score from which on F1 over all classes together is highest; of equal ones the higher, 1/2 for none.

    To be asked of validation answers, never of those that are judged.
    """
    score = np.concatenate([np.empty(0), *(one.score for one in matches.classes)])
    there = sum(int(one.there[:, 0].sum()) for one in matches.classes)
    if not score.size or not there:
        return 0.5
    order = np.argsort(-score, kind="stable")
    hit = np.concatenate([one.hit[:, 0, 0] for one in matches.classes])[order]
    counts = ~np.concatenate([one.ignored[:, 0, 0] for one in matches.classes])[order]
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    f1 = 2 * np.cumsum(hit)[ends] / (np.cumsum(counts)[ends] + there)
    return float(score[order][ends[f1.argmax()]])


def confusion(matches: Matches, truth: Floats, answers: Floats, threshold: float) -> Integers:
    """Count which class is taken for which from a score on [K + 1, K + 1]: rows are true, columns are answered.

    The last row are answers where nothing is, the last column objects without an answer. What `counted` calls a hit is
    one here too; of the rest, boxes of other classes are paired by their overlap, from the largest to .5.
    """
    size = len(matches.classes) + 1
    matrix = np.zeros((size, size), np.int64)
    left = truth[..., 0] >= 0
    left &= truth[..., 6] == 0
    wrong = np.zeros(answers.shape[:2], np.bool_)
    for label, one in enumerate(matches.classes):
        said = one.score >= threshold
        hits, errors = said & one.hit[:, 0, 0], said & ~one.hit[:, 0, 0] & ~one.ignored[:, 0, 0]
        matrix[label, label] = hits.sum()
        left[one.image[hits], one.truth[hits]] = False
        wrong[one.image[errors], one.answer[errors]] = True
    for number in np.flatnonzero(left.any(axis=1) | wrong.any(axis=1)):
        objects, found = truth[number, left[number]], answers[number, wrong[number]]
        pairs = _pairs(overlaps(found, objects[:, 1:5]))
        rows, columns = np.full(len(found), size - 1), np.full(len(objects), size - 1)
        for answer, thing in pairs:
            rows[answer], columns[thing] = int(objects[thing, 0]), int(found[answer, 4])
        np.add.at(matrix, (rows, found[:, 4].astype(int)), 1)
        missed = columns == size - 1
        np.add.at(matrix, (objects[missed, 0].astype(int), columns[missed]), 1)
    return matrix


def _pairs(shares: Doubles) -> Iterator[tuple[int, int]]:
    """Yield the pairs of overlaps [D, G] from the largest to .5, each box once."""
    rest = shares.copy()
    while rest.size and rest.max() >= FOUND_FROM:
        one, other = np.unravel_index(rest.argmax(), rest.shape)
        yield int(one), int(other)
        rest[one], rest[:, other] = -1, -1


def _share(part: Integers, whole: Integers) -> Doubles:
    shares: Doubles = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return shares
