"""Which found boxes are which true ones, by COCO's rules: what every figure of detection is read from.

Truth [N, G, 7] holds per box its label (-1 for none), y1, x1, y2, x2 as shares of the image, area in pixels, and a
flag: 0, or 1 for difficult, or 2 for a crowd. Answers [N, M, 6] hold y1, x1, y2, x2, class and score; a score of 0 is
none.

Source: cocodataset/cocoapi, PythonAPI/pycocotools/cocoeval.py; T.-Y. Lin and others, "Microsoft COCO" (2014).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

THRESHOLDS: Doubles = np.linspace(0.5, 0.95, 10)
"""Intersection over union from which on a box counts as found."""
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""Of an object in square pixels, both ends included."""
MOST = 100
"""Answers of one image and class that count, the best by score."""
DIFFICULT, CROWD = 1, 2
"""Flags of an object that is hard to see, and of a crowd, which any number of answers may lie in; any flag but 0 keeps
an object from being counted."""
_ROWS = len(AREAS) * len(THRESHOLDS)


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """All answers of one class, from the highest score down, equal ones in the order of the images."""

    image: Integers
    """The image of each answer [D]."""
    answer: Integers
    """Its place among the image's answers [D]."""
    rank: Integers
    """Its place among the image's answers of this class by score, from 0 [D]."""
    score: Doubles
    """[D]"""
    hit: Booleans
    """Whether it is an object not found before: [D, areas, thresholds]."""
    ignored: Booleans
    """Whether it counts neither for nor against: [D, areas, thresholds]."""
    truth: Integers
    """The object it is given to, whatever its size, at the first threshold; -1 for none [D]."""
    there: Integers
    """Objects that count in each image: [N, areas]."""


@dataclass(frozen=True, eq=False)
class Matches:
    """What answers are worth against the truth, class by class."""

    classes: tuple[ClassMatches, ...]
    images: int


def match(truth: Floats, answers: Floats, num_classes: int, *, pixels: Floats | None = None) -> Matches:
    """Give every answer to the object it fits best; the best answers choose first.

    `pixels` [N] are width x height of the images, by which an answer's area is known; without it they are taken from
    the true boxes, as though each filled its area.
    """
    assert len(truth) == len(answers)
    sizes = pixels_of(truth) if pixels is None else np.asarray(pixels, np.float64)
    rows: list[list[_Image]] = [[] for _ in range(num_classes)]
    there = np.zeros((num_classes, len(truth), len(AREAS)), np.int64)
    for number, (objects, found) in enumerate(zip(truth, answers, strict=True)):
        for one in _classes(objects, found, number=number, pixels=sizes[number]):
            rows[one.label].append(one)
            there[one.label, number] = (~one.ignored_truth).sum(axis=1)
    return Matches(tuple(_joined(images, there[label]) for label, images in enumerate(rows)), len(truth))


def pixels_of(truth: Floats) -> Doubles:
    """Return width x height of each image as far as its boxes tell; the median of the others where there are none."""
    share = np.maximum((truth[..., 3] - truth[..., 1]) * (truth[..., 4] - truth[..., 2]), 0).astype(np.float64)
    known = (truth[..., 0] >= 0) & (share > 0)
    pixels = np.where(known, truth[..., 5] / np.where(known, share, 1), 0).max(axis=1, initial=0)
    usual = float(np.median(pixels[pixels > 0])) if (pixels > 0).any() else 1.0
    return np.where(pixels > 0, pixels, usual)


def overlaps(found: Floats, objects: Floats, crowd: Booleans | None = None) -> Doubles:
    """Return the intersection over union of boxes [D, 4] and [G, 4] as y1, x1, y2, x2: [D, G].

    For a crowd it is the intersection over the found box's own area.
    """
    one, other = found[:, None].astype(np.float64), objects[None].astype(np.float64)
    sides = np.minimum(one[..., 2:4], other[..., 2:4]) - np.maximum(one[..., :2], other[..., :2])
    common = np.maximum(sides, 0).prod(axis=-1)
    ours, theirs = ((boxes[..., 2:4] - boxes[..., :2]).prod(axis=-1) for boxes in (one, other))
    whole = ours + theirs - common
    if crowd is not None:
        whole = np.where(crowd, ours, whole)
    shares: Doubles = np.divide(common, whole, out=np.zeros_like(common), where=whole > 0)
    return shares


# ---------------------------------------------------------------- one class of one image


@dataclass(eq=False)
class _Image:
    """The answers of one class in one image, best first, and what became of them."""

    label: int
    number: int
    answer: Integers
    score: Doubles
    truth: Integers
    hit: Booleans
    ignored: Booleans
    ignored_truth: Booleans
    """[areas, G]"""


def _classes(objects: Floats, found: Floats, *, number: int, pixels: float) -> Iterator[_Image]:
    """Yield what became of the answers, for each class that is there or is answered."""
    used, real = np.flatnonzero(found[:, 5] > 0), np.flatnonzero(objects[:, 0] >= 0)
    for label in np.union1d(found[used, 4], objects[real, 0]).astype(int).tolist():
        own = used[found[used, 4] == label]
        best = own[np.argsort(-found[own, 5], kind="stable")][:MOST]
        mine = real[objects[real, 0] == label]
        yield _matched(label, number, _Pair(found[best], objects[mine], pixels), best, mine)


@dataclass(frozen=True, eq=False)
class _Pair:
    found: Floats
    objects: Floats
    pixels: float


def _matched(label: int, number: int, pair: _Pair, best: Integers, mine: Integers) -> _Image:
    low, high = np.array(list(AREAS.values())).T[..., None]
    area = pair.objects[:, 5].astype(np.float64)
    passed = (pair.objects[:, 6] > 0) | (area < low) | (area > high)
    sides = (pair.found[:, 2:4] - pair.found[:, :2]).astype(np.float64)
    size = sides.prod(axis=1) * pair.pixels
    outside = ((size < low) | (size > high)).T
    given = _given(pair, np.repeat(passed, len(THRESHOLDS), axis=0)).reshape(-1, len(AREAS), len(THRESHOLDS))
    matched = given >= 0
    place = np.arange(len(AREAS))[None, :, None]
    poor = passed[place, np.maximum(given, 0)] if len(mine) else np.zeros_like(matched)
    ignored = np.where(matched, poor, outside[..., None])
    first = given[:, 0, 0]
    truth = np.where(first >= 0, mine[np.maximum(first, 0)] if len(mine) else -1, -1)
    score = pair.found[:, 5].astype(np.float64)
    return _Image(label, number, best, score, truth, matched & ~poor, ignored, passed)


def _given(pair: _Pair, passed: Booleans) -> Integers:
    """Return the object that each answer is given to, -1 for none: [D, rows], a row for each area and threshold.

    Objects that do not count (`passed` [rows, G]) are given only where no other fits; of equal overlaps the last one.
    """
    given = np.full((len(pair.found), _ROWS), -1)
    if not pair.found.size or not pair.objects.size:
        return given
    crowd = pair.objects[:, 6] == CROWD
    shares = overlaps(pair.found, pair.objects[:, 1:5], crowd)
    least = np.tile(np.minimum(THRESHOLDS, 1 - 1e-10), len(AREAS))[:, None]
    free, rows = np.ones_like(passed), np.arange(_ROWS)
    for place in np.flatnonzero(shares.max(axis=1) >= least[0]):
        fits = (shares[place] >= least) & free
        counted = fits & ~passed
        fits = np.where(counted.any(axis=1, keepdims=True), counted, fits)
        chosen = fits.shape[1] - 1 - np.where(fits, shares[place], -1.0)[:, ::-1].argmax(axis=1)
        fitting = fits[rows, chosen]
        given[place] = np.where(fitting, chosen, -1)
        free[rows[fitting], chosen[fitting]] = False
        free |= crowd
    return given


def _joined(images: list[_Image], there: Integers) -> ClassMatches:
    shape = (0, len(AREAS), len(THRESHOLDS))
    score = np.concatenate([np.empty(0), *(one.score for one in images)])
    order = np.argsort(-score, kind="stable")
    none = np.empty(0, np.int64)
    numbers = [np.full(len(one.score), one.number) for one in images]
    ranks = [np.arange(len(one.score)) for one in images]
    return ClassMatches(
        image=np.concatenate([none, *numbers])[order],
        answer=np.concatenate([none, *(one.answer for one in images)])[order],
        rank=np.concatenate([none, *ranks])[order],
        score=score[order],
        hit=np.concatenate([np.empty(shape, np.bool_), *(one.hit for one in images)])[order],
        ignored=np.concatenate([np.empty(shape, np.bool_), *(one.ignored for one in images)])[order],
        truth=np.concatenate([none, *(one.truth for one in images)])[order],
        there=there,
    )
