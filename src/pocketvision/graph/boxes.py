"""Boxes as a detector codes them: anchors on grids, codes relative to anchors, overlaps, and what is kept of them.

A box is y1, x1, y2, x2, an anchor center y, center x, height, width; all are shares of the image. Source of the codes:
S. Ren and others, "Faster R-CNN" (2015), section 3.1.2, with the factors of SSD's released code; of the suppression
class by class: the operator TFLite_Detection_PostProcess with `use_regular_nms`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pocketvision.graph.graph import Suppress
from pocketvision.graph.sums import Tensor
from pocketvision.values import AnchorMap

Floats = NDArray[np.floating]
SCALES = (10.0, 10.0, 5.0, 5.0)
"""What the differences in y, x, height and width are multiplied by in codes."""
LARGEST_GROWTH = 4.0
"""Largest exponent of a decoded side: a net that has learned nothing yet must not overflow."""


def anchors(maps: Sequence[AnchorMap], resolution: int) -> NDArray[np.float32]:
    """Return the anchors [A, 4] in the order map, line, column, shape; centers lie in the middle of the cells."""
    return np.concatenate([_on_map(one, -(-resolution // one.stride)) for one in maps]).astype(np.float32)


def _on_map(one: AnchorMap, grid: int) -> NDArray[np.float64]:
    middles = (np.arange(grid) + 0.5) / grid
    found = np.empty((grid, grid, len(one.shapes), 4))
    found[..., 0] = middles[:, None, None]
    found[..., 1] = middles[None, :, None]
    found[..., 2:] = np.asarray(one.shapes)
    return found.reshape(-1, 4)


def corners(centered: Floats) -> Floats:
    """Return y1, x1, y2, x2 of boxes given by center and size [..., 4]."""
    middle, half = centered[..., :2], centered[..., 2:] / 2
    found: Floats = np.concatenate([middle - half, middle + half], axis=-1)
    return found


def decode(codes: Floats, anchors: Floats) -> Floats:
    """Return the boxes y1, x1, y2, x2 of codes [..., A, 4]; not clipped to the image."""
    steps = codes / np.array(SCALES, codes.dtype)
    size = np.exp(np.minimum(steps[..., 2:], LARGEST_GROWTH)) * anchors[..., 2:]
    return corners(np.concatenate([steps[..., :2] * anchors[..., 2:] + anchors[..., :2], size], axis=-1))


def iou(ones: Floats, others: Floats) -> Floats:
    """Return the intersection over union of each of `ones` [N, 4] with each of `others` [M, 4]; 0 without area."""
    low = np.maximum(ones[:, None, :2], others[None, :, :2])
    high = np.minimum(ones[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=-1) for boxes in (ones, others)]
    union = areas[0][:, None] + areas[1][None] - shared
    found: Floats = np.where(union > 0, shared / np.where(union > 0, union, 1), 0)
    return found


def suppress(
    boxes: Floats, scores: Floats, *, score_threshold: float, iou_threshold: float, most: int
) -> NDArray[np.float32]:
    """Return [most, 6] of one image: boxes [A, 4] with scores [A, K] that reach the threshold and overlap no better one
    of their class; best first, then by class, zeros behind the last."""
    parts = []
    for label in range(scores.shape[1]):
        there = np.flatnonzero(scores[:, label] >= score_threshold)
        order = there[np.argsort(-scores[there, label], kind="stable")]
        kept = order[_unsuppressed(boxes[order], iou_threshold, most)]
        named = np.full(len(kept), label, np.float32)
        parts.append(np.column_stack([boxes[kept], named, scores[kept, label]]))
    rows = np.concatenate(parts)
    best = rows[np.argsort(-rows[:, 5], kind="stable")][:most]
    found = np.zeros((most, 6), np.float32)
    found[: len(best)] = best
    return found


def _unsuppressed(boxes: Floats, threshold: float, most: int) -> list[int]:
    """Return the places of boxes, the best first, that no better kept one overlaps by more than the threshold."""
    left = np.arange(len(boxes))
    # As `iou` has it, but side by side: rows of four numbers take five times as long.
    low, high = np.ascontiguousarray(boxes[:, :2].T), np.ascontiguousarray(boxes[:, 2:].T)
    areas = np.clip(high - low, 0, None).prod(axis=0)
    kept: list[int] = []
    while len(left) and len(kept) < most:
        kept.append(int(left[0]))
        sides = np.minimum(high[:, 1:], high[:, :1]) - np.maximum(low[:, 1:], low[:, :1])
        np.maximum(sides, 0, out=sides)
        shared = sides[0] * sides[1]
        union = areas[0] + areas[1:] - shared
        apart = np.flatnonzero(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0) <= threshold) + 1
        left, low, high, areas = left[apart], low[:, apart], high[:, apart], areas[apart]
    return kept


def suppressed(node: Suppress, codes: Tensor, scores: Tensor) -> Tensor:
    """Return what a node gives of codes [N, A, 4] and scores [N, A, K]: [N, most, 6]."""
    decoded = decode(codes, np.asarray(node.anchors, np.float32))
    settings = {"score_threshold": node.score_threshold, "iou_threshold": node.iou_threshold, "most": node.most}
    rows = [suppress(boxes, each, **settings) for boxes, each in zip(decoded, scores, strict=True)]  # type: ignore[arg-type]
    found: Tensor = np.stack(rows) if rows else np.zeros((0, node.most, 6), np.float32)
    return found
