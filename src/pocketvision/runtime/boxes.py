"""What a detector's file gives, in any of its forms, as the boxes that are kept: y1, x1, y2, x2, class, score.

A file suppresses by itself, or gives boxes or their codes with the scores of every anchor; then numpy does the rest.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import WeightsError
from pocketvision.graph.boxes import anchors, decode, suppress
from pocketvision.tasks.detect.answers import LEAST_SCORE, MOST, MOST_OVERLAP
from pocketvision.values import Manifest, Suppression

Floats = NDArray[np.float32]
KEPT = ("boxes", "classes", "scores", "count")
"""Names of what comes out of a file that suppresses."""
DECODED = ("boxes", "scores")
CODED = ("location", "score")


def suppression(manifest: Manifest) -> Suppression:
    """Return which boxes a detector keeps."""
    return manifest.suppression or Suppression(LEAST_SCORE, MOST_OVERLAP, MOST)


def answer_shape(manifest: Manifest) -> tuple[int, ...]:
    """Return the shape of the answer to one image."""
    if manifest.model.detector is None:
        return (len(manifest.labels),)
    return suppression(manifest).most, 6


def kept(outputs: Mapping[str, Floats], manifest: Manifest | None) -> Floats:
    """Return the boxes of some images [N, M, 6]; `outputs` are the file's by name.

    Without a manifest only files that suppress can be read.
    """
    if set(outputs) == set(KEPT):
        return _stacked(outputs)
    assert manifest is not None, "codes and scores cannot be read without a manifest"
    rule = suppression(manifest)
    found, scores = (outputs[name] for name in (DECODED if set(outputs) == set(DECODED) else CODED))
    if set(outputs) == set(CODED):
        found = decode(found, _anchors(manifest)).astype(np.float32)
    rows = [
        suppress(boxes, each, score_threshold=rule.score, iou_threshold=rule.overlap, most=rule.most)
        for boxes, each in zip(found, scores, strict=True)
    ]
    return np.stack(rows)


def _stacked(outputs: Mapping[str, Floats]) -> Floats:
    """Put what belongs to a box side by side; what stands behind the last one means nothing."""
    boxes, classes, scores, count = (outputs[name] for name in KEPT)
    rows = np.concatenate([boxes, classes[..., None], scores[..., None]], axis=-1).astype(np.float32)
    rows[np.arange(rows.shape[1]) >= count.reshape(-1, 1)] = 0
    return rows


def _anchors(manifest: Manifest) -> Floats:
    assert manifest.model.detector is not None
    return anchors(manifest.model.detector.maps, manifest.image.resolution)


def require_fit(shapes: Mapping[str, tuple[Any, ...]], side: Any, manifest: Manifest, name: str) -> None:
    """Refuse a detector whose outputs, by name, or whose image's side are not those of its manifest."""
    most, count = suppression(manifest).most, len(_anchors(manifest))
    each = (count, 4), (count, len(manifest.labels))
    wanted = (
        dict(zip(KEPT, ((most, 4), (most,), (most,), ()), strict=True)),
        dict(zip(DECODED, each, strict=True)),
        dict(zip(CODED, each, strict=True)),
    )
    found = {
        output: tuple(int(size) if isinstance(size, np.integer) else size for size in shape[1:])
        for output, shape in shapes.items()
    }
    if found not in wanted or side != manifest.image.resolution:
        told = ", ".join(f"{output} {list(shape)}" for output, shape in found.items())
        raise WeightsError(
            f"the manifest in {name} speaks of {len(manifest.labels)} labels and {count} anchors at "
            f"{manifest.image.resolution} pixels, but the net gives {told} at {side} pixels; export the net again"
        )
