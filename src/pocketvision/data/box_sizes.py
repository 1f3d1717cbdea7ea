"""How large the things in boxes are for a net, and whether anchors reach them: told before anything is trained."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pocketvision.models.paper_anchors import paper_maps
from pocketvision.tasks.detect.anchors import coverage, fitted_maps, plain_boxes
from pocketvision.tasks.detect.answers import targets
from pocketvision.values import AnchorMap, BoxReach, Dataset
from pocketvision.words import percent, quoted

SIDE = 320
"""Pixels of a side that a detector of the papers sees."""
LARGER = (416, 512, 640)
"""Sides that are tried where things are too small at `SIDE`."""
REACHED = 0.9
"""Share of a class's boxes that anchors should reach."""
SPECK = 8.0
"""Pixels of the median's shorter side at `SIDE` below which a thing is lost, whatever the anchors."""


def reach_of(dataset: Dataset) -> tuple[BoxReach, ...]:
    """Return for each class how many boxes it has, how large they are, and how many of them anchors reach."""
    boxes, labels = plain_boxes(targets(dataset.examples))
    known = len(dataset.labels)
    shares = [coverage(boxes, labels, maps, SIDE, num_classes=known) for maps in (paper_maps(), _fitted(dataset, SIDE))]
    return tuple(
        BoxReach(
            name,
            int((labels == place).sum()),
            *_median(boxes[labels == place]),
            paper=_some(shares[0][place]),
            fitted=_some(shares[1][place]),
        )
        for place, name in enumerate(dataset.labels)
    )


def reach_warnings(dataset: Dataset, reach: Sequence[BoxReach]) -> tuple[str, ...]:
    """Say which classes anchors do not reach, and what to do about it."""
    specks = [one.name for one in reach if one.boxes and min(one.median_width, one.median_height) < SPECK]
    found = []
    for one in reach:
        if one.paper is None or one.fitted is None or one.paper >= REACHED:
            continue
        if one.fitted >= REACHED:
            found.append(
                f"SSD's usual anchors reach {percent(one.paper)} of the boxes of '{one.name}' at {SIDE} pixels; those "
                f"fitted to your boxes, which are used here, reach {percent(one.fitted)}."
            )
        else:
            found.append(
                f"At {SIDE} pixels anchors reach only {percent(one.fitted)} of the boxes of '{one.name}': "
                f"{_advice(dataset, one.name)}."
            )
    if specks:
        found.append(
            f"Half of the boxes of {quoted(specks)} are narrower or lower than {SPECK:g} pixels at {SIDE}: cut the "
            "images into tiles, or take a larger resolution."
        )
    return tuple(found)


def _advice(dataset: Dataset, name: str) -> str:
    """Say at which resolution fitted anchors reach enough boxes of a class."""
    boxes, labels = plain_boxes(targets(dataset.examples))
    own = dataset.labels.index(name)
    for side in LARGER:
        reached = coverage(boxes, labels, _fitted(dataset, side), side, num_classes=len(dataset.labels))
        if reached[own] >= REACHED:
            share = percent(float(reached[own]))
            return f"take a resolution of {side}, where they reach {share}, or cut the images into tiles"
    return f"cut the images into tiles, because even at {LARGER[-1]} pixels they are too few"


def _fitted(dataset: Dataset, side: int) -> tuple[AnchorMap, ...]:
    boxes, labels = plain_boxes(targets(dataset.of("train")))
    return fitted_maps(boxes, side, labels=labels)


def _median(boxes: NDArray[np.float64]) -> tuple[float, float]:
    """Return the median width and height of boxes in pixels of the squared image."""
    if not len(boxes):
        return 0.0, 0.0
    height, width = np.median(boxes[:, 2:] - boxes[:, :2], axis=0) * SIDE
    return round(float(width), 1), round(float(height), 1)


def _some(share: float) -> float | None:
    return None if np.isnan(share) else round(float(share), 4)
