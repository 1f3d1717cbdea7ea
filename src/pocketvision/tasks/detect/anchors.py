"""Anchors: those of the papers, those fitted to boxes, and which boxes they reach.

An object that no anchor overlaps by half is learned from one forced anchor alone: small things get lost so. Boxes are
[n, 4] y1, x1, y2, x2 as shares of the image, sizes heights and widths.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.models.paper_anchors import STRIDES as PAPER_STRIDES
from pocketvision.models.paper_anchors import paper_maps
from pocketvision.values import AnchorMap

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]

REACH = 0.5
"""Overlap from which on an anchor is an object's own."""
STRIDES = (8, *PAPER_STRIDES)
COARSEST_TAP = 32
"""Stride of a backbone's last map: the first of a detector's is no coarser."""
ENOUGH = 0.97
"""Share of a cluster's boxes that its shape is to reach from the map that it is put on."""
GAIN = 0.02
"""Further share that a finer map must reach to be worth its cells."""
_ROUNDS, _SOME, _PLACES = 100, 4000, 8


def plain_boxes(targets: Floats) -> tuple[Doubles, Integers]:
    """Return the boxes [n, 4] and classes [n] of targets [N, G, 7], without those that are difficult or crowds."""
    plain = (targets[..., 0] >= 0) & (targets[..., 6] == 0)
    return targets[plain][:, 1:5].astype(np.float64), targets[plain][:, 0].astype(np.int64)


# ---------------------------------------------------------------- what is reached


def coverage(
    boxes: Floats, labels: Integers, maps: Sequence[AnchorMap], resolution: int, *, num_classes: int
) -> Doubles:
    """Return per class the share of its boxes that some anchor overlaps by half; no number where it has none [K]."""
    reached = best_overlaps(boxes, maps, resolution) >= REACH
    counts = np.bincount(labels, minlength=num_classes)
    hits = np.bincount(labels, reached, minlength=num_classes)
    shares: Doubles = np.divide(hits, counts, out=np.full(num_classes, np.nan), where=counts > 0)
    return shares


def best_overlaps(boxes: Floats, maps: Sequence[AnchorMap], resolution: int) -> Doubles:
    """Return the largest overlap of each box with an anchor [n]: of a shape, the one in the cell of its center."""
    best = np.zeros(len(boxes))
    for one in maps:
        offsets = _offsets(boxes, one.stride, resolution)
        for shape in one.shapes:
            best = np.maximum(best, _overlaps(_sizes(boxes), np.asarray(shape), offsets))
    return best


def _sizes(boxes: Floats) -> Doubles:
    return np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6).astype(np.float64)


def _offsets(boxes: Floats, stride: int, resolution: int) -> Doubles:
    """Return how far the centers [n, 2] are from those of the cells that they lie in."""
    grid = -(-resolution // stride)
    middle = (boxes[:, :2] + boxes[:, 2:]).astype(np.float64) / 2
    cells = np.clip(np.floor(middle * grid), 0, grid - 1)
    return np.abs(middle - (cells + 0.5) / grid)


def _overlaps(sizes: Doubles, shape: Doubles, offsets: Doubles | float = 0.0) -> Doubles:
    """Return the intersection over union of boxes [..., 2] with a shape whose center is so far away."""
    sides = np.minimum(np.minimum(sizes, shape), (sizes + shape) / 2 - offsets)
    shared = np.maximum(sides, 0).prod(axis=-1)
    overlaps: Doubles = shared / (sizes.prod(axis=-1) + shape.prod(axis=-1) - shared)
    return overlaps


# ---------------------------------------------------------------- shapes from the data


@dataclass(frozen=True, eq=False)
class _Cluster:
    """Boxes of a similar shape."""

    shape: Doubles
    sizes: Doubles


def fitted_maps(
    boxes: Floats,
    resolution: int,
    *,
    labels: Integers | None = None,
    most: int = 9,
    strides: Sequence[int] = STRIDES,
) -> tuple[AnchorMap, ...]:
    """Return maps whose anchors have the shapes of boxes, `most` shapes in all, each where it reaches them.

    Shapes are medians of clusters by 1 - IoU (J. Redmon and A. Farhadi, "YOLO9000", 2017, section 2); with `labels`,
    boxes of rare classes weigh more. A shape is put on the coarsest map from which it reaches nearly all of its boxes,
    so that a fine one is there only for small things, and maps end with the coarsest that something needs. Between the
    first and the last none is left out, because each is made of the one before: it gets the nearest shape.
    """
    known = sorted(stride for stride in strides if stride <= resolution) or [min(strides)]
    if not len(boxes):
        return tuple(one for one in paper_maps() if one.stride in known)
    dealt: dict[int, list[Doubles]] = {stride: [] for stride in known}
    for cluster in _clusters(np.asarray(boxes, np.float64), labels, most):
        dealt[_stride(cluster, known, resolution)].append(cluster.shape)
    used = [stride for stride in known if dealt[stride]]
    first = min(used[0], max((stride for stride in known if stride <= COARSEST_TAP), default=used[0]))
    maps = []
    for stride in (stride for stride in known if first <= stride <= used[-1]):
        shapes = dealt[stride] or dealt[_nearest(stride, used)][-1:]
        ordered = sorted(shapes, key=lambda shape: float(shape.prod()))
        maps.append(AnchorMap(stride, tuple((_digits(shape[0]), _digits(shape[1])) for shape in ordered)))
    return tuple(maps)


def _digits(value: float) -> float:
    return round(float(value), 4)


def _nearest(stride: int, used: Sequence[int]) -> int:
    return min(used, key=lambda one: abs(np.log2(one / stride)))


def _stride(cluster: _Cluster, strides: Sequence[int], resolution: int) -> int:
    """Return the coarsest stride from which a shape reaches enough of its boxes, or as many as the finest does.

    Boxes count as if they lay anywhere, because few say little of where others will lie.
    """
    reached = {}
    for stride in strides:
        away = (np.arange(_PLACES) + 0.5) / _PLACES / 2 / -(-resolution // stride)
        offsets = np.stack(np.meshgrid(away, away), axis=-1).reshape(-1, 1, 2)
        reached[stride] = float((_overlaps(cluster.sizes, cluster.shape, offsets) >= REACH).mean())
    wanted = min(ENOUGH, max(reached.values()) - GAIN)
    return max(stride for stride in strides if reached[stride] >= wanted)


def _clusters(boxes: Doubles, labels: Integers | None, most: int) -> list[_Cluster]:
    """Return clusters of boxes from the smallest to the largest; the same boxes have the same clusters in any order."""
    order = np.lexsort((*boxes.T, _sizes(boxes).prod(axis=1)))
    sizes = _sizes(boxes)[order]
    weights = _weights(labels)[order] if labels is not None else np.ones(len(boxes))
    some = np.linspace(0, len(order) - 1, min(len(order), _SOME)).round().astype(int)
    shapes = _shapes(sizes[some], weights[some], most)
    member = _closest(sizes, shapes)
    return [_Cluster(shape, sizes[member == k]) for k, shape in enumerate(shapes) if (member == k).any()]


def _weights(labels: Integers) -> Doubles:
    """Return how much each box counts [n]: a class with a hundred times as many boxes counts ten times as much."""
    return 1 / np.sqrt(np.bincount(labels)[labels])


def _shapes(sizes: Doubles, weights: Doubles, most: int) -> Doubles:
    """Return the medians of clusters [k, 2] of boxes that are sorted by area, from the smallest to the largest."""
    whole = np.cumsum(weights)
    starts = np.searchsorted(whole, whole[-1] * (np.arange(most) + 0.5) / most)
    shapes = np.unique(sizes[starts], axis=0)
    member = _closest(sizes, shapes)
    for _ in range(_ROUNDS):
        kept = [k for k in range(len(shapes)) if (member == k).any()]
        shapes = np.stack([_median(sizes[member == k], weights[member == k]) for k in kept])
        new = _closest(sizes, shapes)
        if np.array_equal(new, member):
            break
        member = new
    shapes = np.unique(shapes, axis=0)
    return shapes[np.argsort(shapes.prod(axis=1), kind="stable")]


def _closest(sizes: Doubles, shapes: Doubles) -> Integers:
    nearest: Integers = np.stack([_overlaps(sizes, shape) for shape in shapes]).argmax(axis=0)
    return nearest


def _median(sizes: Doubles, weights: Doubles) -> Doubles:
    """Return the weighted median of heights and of widths."""
    found = []
    for side in sizes.T:
        order = np.argsort(side, kind="stable")
        total = np.cumsum(weights[order])
        found.append(side[order[np.searchsorted(total, total[-1] / 2)]])
    return np.array(found)
