"""What published ImageNet figures suggest for any net, and what frozen features on the user's images make of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pocketvision.budget.space import KINDS, Space
from pocketvision.models.catalogue import families
from pocketvision.models.published import Published, main_figures
from pocketvision.values import Estimate, ModelSpec, Precision, Probed, Score, StartKind

Floats = NDArray[np.float64]

INT8_DROP = 1.0
"""Points of top-1 that int8 costs in the mean over TensorFlow's sixteen float and quantized MobileNet V1 releases."""


def suggested_top1(spec: ModelSpec, precision: Precision = "float") -> float:
    """Return an ImageNet top-1 in percent: printed figures, smoothed and continued to other widths and resolutions.

    In each family the log-odds of top-1 are a quadratic in log width plus a quadratic in log resolution. A family
    with fewer than six figures keeps its own level and takes the mean slopes of the others; a net without any takes
    their mean level too.
    """
    return 100 / (1 + math.exp(-_suggested(spec))) - (INT8_DROP if precision == "int8" else 0.0)


def _suggested(spec: ModelSpec) -> float:
    """Return the log-odds of the suggested top-1 of a whole net."""
    known = _coefficients()
    coefficients = known.get(spec.name)
    if coefficients is None:
        coefficients = np.mean(list(known.values()), axis=0)
    return float(_terms(spec.width, spec.resolution) @ coefficients)


def _terms(width: float, resolution: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    w, r = math.log(width), math.log(resolution / 224)
    return np.array([1.0, w, w * w, r, r * r])


def _comparable(line: Published) -> bool:
    """Tell whether a line is on ImageNet and, in a family with groups, has the paper's own number of them."""
    return line.data == "ImageNet" and line.groups in (None, *families()[line.name].groups[:1])


@cache
def _coefficients() -> "dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]":
    lines = [line for line in main_figures() if _comparable(line)]
    fitted = {}
    scarce = {}
    for name in sorted({line.name for line in lines}):
        own = [line for line in lines if line.name == name]
        terms = np.stack([_terms(line.width, line.resolution) for line in own])
        top1 = np.array([line.top1 for line in own], float)
        log_odds = np.log(top1 / (100 - top1))
        if len(own) >= 6:
            fitted[name] = np.linalg.lstsq(terms, log_odds, rcond=None)[0]
        else:
            scarce[name] = (terms, log_odds)
    slopes = np.mean([found[1:] for found in fitted.values()], axis=0)
    for name, (terms, log_odds) in scarce.items():
        level = float(np.mean(log_odds - terms[:, 1:] @ slopes))
        fitted[name] = np.concatenate([[level], slopes])
    return fitted


# ---------------------------------------------------------------- on the user's own images

LIFT, LIFT_SLOPE, LIFT_MOST = 0.5, 1.2, 3.6
"""A training lifts the best log-odds of frozen features to this much and so many times theirs; what they are above the
last figure is a matter of single images."""
WITHIN = 0.6
"""Share of what frozen nets lie apart that is left after a training: cut layers are largely made up for."""
DEPTH_GAIN = 1.0
"""Log-odds that a training gains with each e-fold of layers, beside what frozen features tell: these are often at their
best half way up, and trained nets are not."""
SLICED_SLOPE, NARROWER = 0.15, 0.3
"""Log-odds that a narrower net cut out of a wider one loses with each e-fold of width, and the share of what published
accuracies lie apart that is left between widths: cut less deep, a narrow net does better than a wide shallow one."""
DEPTH_SLOPE = 0.3
"""Log-odds lost with each e-fold of parameters that a cut leaves away, where nothing was probed."""
PIXEL_SLOPE, PIXEL_WEIGHT = 0.5, 2.0
"""Log-odds gained with each e-fold of pixels a side by published figures, and how much that counts beside resolutions
that were probed: they lie near one another, and single images move them."""
BOXES, BOX_PIXEL_WEIGHT = "AP50", 0.06
"""Metric of boxes, for which pixels that were probed count for more: they tell how small things are. On 364 photos of
cells a MobileNet V2 0.5 at 320 pixels became as good as one of twice the width at 256."""
SCRATCH, SCRATCH_SLOPE, SCRATCH_IMAGES, SCRATCH_LEAST = 1.6, 0.25, 1000, 0.3
"""Log-odds that fresh weights cost with so many training images, and how much less with each doubling of them."""
INT8_LOSS = 0.03
SPREAD: dict[StartKind, float] = {"own": 0.9, "cut": 1.2, "sliced": 1.2, "scratch": 1.3}
"""Half the interval, in log-odds, where frozen features were probed."""
RISE = 1.3
"""Log-odds more above: on images like none of ImageNet's, such as hands that show numbers, training lifts by far more
than frozen features tell."""
UNPROBED = 0.8
"""Added to it where none were."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """Predicted accuracy of every row of a space, as shares; nine of ten trainings end between `low` and `high`."""

    low: Floats
    middle: Floats
    high: Floats

    def of(self, row: int) -> Estimate:
        """Return one row's."""
        return Estimate(*(round(float(part[row]), 4) for part in (self.middle, self.low, self.high)))


def forecast(space: Space, probed: Sequence[Probed], *, images: int) -> Forecast:
    """Predict what each setting reaches on the user's images once it is trained on so many.

    Frozen features of a pretrained net give log-odds at some depths and resolutions, and what lies between is read off
    straight lines. A training lifts them; a narrower net lies lower by as much as published widths do. A net without
    weights lies below the best of the pretrained ones as its published accuracy does, and lower the fewer images.
    """
    surfaces = {origin: _Surface([one for one in probed if one.origin == origin]) for origin in _origins(probed)}
    best = min(LIFT_MOST, max((surface.best for surface in surfaces.values()), default=0.0))

    def lifted(frozen: Floats) -> Floats:
        return LIFT + LIFT_SLOPE * best + WITHIN * (np.minimum(frozen, LIFT_MOST) - best)

    shifts = [float(lifted(surface.heights[-1:])[0]) - _suggested(surface.whole) for surface in surfaces.values()]
    highest, lowest = max(shifts, default=0.0), min(shifts, default=0.0)
    middle = np.zeros(len(space))
    for place, trunk in enumerate(space.trunks):
        mine = np.flatnonzero(space.trunk == place)
        surface = surfaces.get(trunk.origin)
        if surface is not None:
            narrower = _suggested(trunk.spec) - _suggested(_at_width(trunk.spec, surface.whole.width))
            told = lifted(surface.at(space, mine)) + surface.pixels(space, mine)
            middle[mine] = told + NARROWER * min(0.0, narrower) - DEPTH_GAIN * surface.shallower(space, mine)
        else:
            middle[mine] = _from_published(space, mine) + (lowest if trunk.origin else highest)
    kinds = space.kind
    middle -= _sliced(space) + INT8_LOSS * (space.precision == 1)
    if shifts or any(trunk.origin for trunk in space.trunks):
        fewer = SCRATCH - SCRATCH_SLOPE * math.log2(max(1, images) / SCRATCH_IMAGES)
        middle -= max(SCRATCH_LEAST, fewer) * (kinds == KINDS.index("scratch"))
    half = np.array([SPREAD[kind] for kind in KINDS])[kinds] + (0.0 if shifts else UNPROBED)
    return Forecast(_share(middle - half), _share(middle), _share(middle + half + RISE))


def _sliced(space: Space) -> Floats:
    """Return what each row loses with the channels that were cut away."""
    lost = [
        SLICED_SLOPE * math.log(trunk.own_width / trunk.spec.width) if trunk.kinds[0] == "sliced" else 0.0
        for trunk in space.trunks
    ]
    return np.array(lost)[space.trunk]


class _Surface:
    """Log-odds of frozen features of one pretrained net over depth and resolution."""

    def __init__(self, probed: Sequence[Probed]) -> None:
        most = max(probed, key=lambda one: (one.params, one.spec.resolution))
        self.whole = most.spec
        found: dict[float, list[tuple[float, float]]] = {}
        for one in probed:
            pixels = math.log(one.spec.resolution / self.whole.resolution)
            found.setdefault(_depth(one.spec.depth), []).append((pixels, _log_odds(one.validation)))
        boxes = most.validation.metric == BOXES
        self.slope = _common_slope(list(found.values()), BOX_PIXEL_WEIGHT if boxes else PIXEL_WEIGHT)
        self.depths = np.array(sorted(found))
        self.heights = np.array(
            [np.mean([height - self.slope * pixels for pixels, height in found[depth]]) for depth in self.depths]
        )

    @property
    def best(self) -> float:
        """Return the highest log-odds over depths, at the largest resolution that was probed."""
        return float(self.heights.max())

    def at(self, space: Space, rows: NDArray[np.int64]) -> Floats:
        """Return the log-odds of frozen features at the depths of some rows or below, the highest, at the largest
        resolution probed."""
        return np.asarray(np.interp(self._layers(space, rows), self._ends, np.maximum.accumulate(self.heights)))

    def shallower(self, space: Space, rows: NDArray[np.int64]) -> Floats:
        """Return the logarithm of the whole net's layers over those of some rows."""
        return np.asarray(np.log(self._ends[-1] / self._layers(space, rows)))

    @property
    def _ends(self) -> Floats:
        """Return the depths that were probed, the whole net's as one more than the deepest cut's."""
        deepest = self.depths[np.isfinite(self.depths)].max(initial=0.0)
        return np.where(np.isinf(self.depths), deepest + 1, self.depths)

    def _layers(self, space: Space, rows: NDArray[np.int64]) -> Floats:
        return np.asarray(np.minimum([_depth(space.spec(int(row)).depth) for row in rows], self._ends[-1]))

    def pixels(self, space: Space, rows: NDArray[np.int64]) -> Floats:
        """Return what the resolution of some rows adds."""
        return np.asarray(self.slope * np.log(space.resolution[rows] / self.whole.resolution))


def _common_slope(lines: list[list[tuple[float, float]]], weight: float) -> float:
    """Return the slope over the logarithm of pixels that all depths share, drawn towards the usual one."""
    products, squares = PIXEL_SLOPE * weight, weight
    for line in lines:
        pixels, heights = (np.array(part) for part in zip(*line, strict=True))
        off = pixels - pixels.mean()
        products += float(off @ heights)
        squares += float(off @ off)
    return min(1.5, max(0.0, products / squares))


def _from_published(space: Space, rows: NDArray[np.int64]) -> Floats:
    """Return published log-odds, less what a cut loses with the parameters behind it."""
    found = []
    whole = {int(r): int(space.params[rows][space.resolution[rows] == r].max()) for r in set(space.resolution[rows])}
    for row in rows:
        lost = DEPTH_SLOPE * math.log(whole[int(space.resolution[row])] / int(space.params[row]))
        found.append(_suggested(space.spec(int(row))) - lost)
    return np.array(found)


def _origins(probed: Sequence[Probed]) -> list[str]:
    return sorted({one.origin for one in probed})


def _at_width(spec: ModelSpec, width: float) -> ModelSpec:
    return replace(spec, width=width)


def _depth(depth: int | None) -> float:
    return math.inf if depth is None else float(depth)


def _log_odds(score: Score) -> float:
    right = score.value * score.count
    return math.log((right + 0.5) / (score.count - right + 0.5))


def _share(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-log_odds)))
