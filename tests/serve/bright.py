"""A detector that needs no training: what is bright in a cell of a third of the image is a thing there."""

from dataclasses import replace

import numpy as np

from pocketvision.export.manifest import manifest_of_file
from pocketvision.graph.boxes import anchors
from pocketvision.graph.graph import Conv, Graph, Input, Sigmoid, Suppress, ToRows
from pocketvision.values import AnchorMap, DetectorSpec, ImageSpec, Manifest, ModelSpec

SIDE, STEP, LABELS = 96, 32, ("lamp", "dark thing")
MODEL = ModelSpec("toy", 1.0, SIDE, len(LABELS), detector=DetectorSpec((AnchorMap(STEP, ((1 / 3, 1 / 3),)),)))
IMAGE = ImageSpec(SIDE)


def bright() -> Graph:
    """Return a net whose first score rises with a cell's mean brightness, and whose second is always near 0."""
    mean = np.full((1, 3, STEP, STEP), 1 / (3 * STEP * STEP), np.float32)
    still, weight = np.zeros_like(mean).repeat(4, axis=0), np.concatenate([8 * mean, 0 * mean])
    maps = {"codes": (still, np.zeros(4, np.float32)), "classes": (weight, np.array([-2, -9], np.float32))}
    convs = [
        Conv(f"{name}_map", ("image",), values, bias, (STEP, STEP), (0, 0, 0, 0), 1, "none", 12)
        for name, (values, bias) in maps.items()
    ]
    place = anchors(MODEL.detector.maps, SIDE) if MODEL.detector else None
    assert place is not None
    return Graph(
        (
            Input("image", (), SIDE, IMAGE.mean, IMAGE.std),
            *convs,
            ToRows("codes", ("codes_map",), 4),
            ToRows("classes", ("classes_map",), len(LABELS)),
            Sigmoid("scores", ("classes",)),
            Suppress("detections", ("codes", "scores"), place, 0.05, 0.5, 100),
        )
    )


def words() -> Manifest:
    """Return what its file says of itself."""
    plain = manifest_of_file(MODEL, IMAGE, LABELS)
    return replace(plain, name="lamps", task="detection", thresholds=(0.6, 0.6))
