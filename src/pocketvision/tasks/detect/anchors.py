"""Shapes of anchors, fitted to the boxes that a net learns from."""

from collections.abc import Sequence

import numpy as np

from pocketvision.values import AnchorMap, Box


def fitted_maps(boxes: Sequence[Box], resolution: int) -> tuple[AnchorMap, ...]:
    """Return maps with shapes clustered from boxes."""
    sizes = np.log(np.array([(box.y2 - box.y1, box.x2 - box.x1) for box in boxes if not box.crowd]))
    order = sizes.sum(axis=1).argsort()
    centers = np.stack([sizes[part].mean(axis=0) for part in np.array_split(order, 9)])
    for _ in range(30):
        near = np.abs(sizes[:, None] - centers[None]).sum(axis=2).argmin(axis=1)
        centers = np.stack([sizes[near == k].mean(axis=0) if (near == k).any() else centers[k] for k in range(9)])
    shapes = np.exp(centers[centers.sum(axis=1).argsort()]).round(4)
    parts = np.array_split(shapes, 3)
    return tuple(
        AnchorMap(stride, tuple((float(h), float(w)) for h, w in part))
        for stride, part in zip((8, 16, 32), parts, strict=True)
    )
