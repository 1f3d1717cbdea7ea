"""Where the papers' detectors look: the anchors of the released SSD and SSDLite.

W. Liu and others, "SSD" (2016), section 2.2, and `ssd_anchor_generator` with `reduce_boxes_in_lowest_layer` in the
configurations of TensorFlow's released detectors.
"""

import numpy as np

from pocketvision.values import AnchorMap, DetectorSpec

STRIDES = (16, 32, 64, 128, 256, 512)
SMALLEST, LARGEST, LOWEST = 0.2, 0.95, 0.1
"""Scales of the first and the last map, and of one more shape on the first."""
RATIOS = (1, 2, 0.5, 3, 0.3333)
"""Width by height."""
RESOLUTIONS = {"ssdlite": 320, "ssd": 300}
"""Pixels a side that the papers' detectors take."""
COLUMNS = {"ssdlite": 81, "ssd": 91}
"""Classes of COCO with the background: 80 as in the papers' counts, or 90 with the numbers that the data leaves out."""


def paper_maps() -> tuple[AnchorMap, ...]:
    """Return three anchors on the first map and six on the others, the same for both heads."""
    scales = [*np.linspace(SMALLEST, LARGEST, len(STRIDES)), 1.0]
    maps = [AnchorMap(STRIDES[0], (_shape(LOWEST, 1), _shape(SMALLEST, 2), _shape(SMALLEST, 0.5)))]
    for place, stride in enumerate(STRIDES[1:], 1):
        between = _shape((scales[place] * scales[place + 1]) ** 0.5, 1)
        maps.append(AnchorMap(stride, (*(_shape(scales[place], ratio) for ratio in RATIOS), between)))
    return tuple(maps)


def _shape(scale: float, ratio: float) -> tuple[float, float]:
    return float(scale / ratio**0.5), float(scale * ratio**0.5)


def paper_detector(head: str) -> DetectorSpec:
    """Return the detector of a head, `ssdlite` or `ssd`."""
    assert head in RESOLUTIONS, head
    return DetectorSpec(paper_maps(), "ssd" if head == "ssd" else "ssdlite")
