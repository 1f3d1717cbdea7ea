"""Decoded pixels to the net's input size: the only resize and crop of the project.

Resizing is Pillow's bilinear filter, which averages over all source pixels when it shrinks. The normalization that
`ImageSpec` names is not done here but inside the exported file.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.images.decode import decode
from pocketvision.values import ImageSpec


def load(source: bytes | Path, spec: ImageSpec) -> NDArray[np.uint8]:
    """Decode and prepare an image: uint8 RGB [resolution, resolution, 3]; `ImageError` where it cannot be decoded."""
    return prepare(decode(source), spec)


def prepare(pixels: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.uint8]:
    """Resize and crop uint8 RGB [height, width, 3] to [resolution, resolution, 3] as `spec` says."""
    height, width, channels = pixels.shape
    assert channels == 3, pixels.shape
    assert pixels.dtype == np.uint8, pixels.dtype
    size = (spec.resolution, spec.resolution)
    box = center_box(width, height, spec)
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, box=box))


def center_box(width: int, height: int, spec: ImageSpec) -> tuple[float, float, float, float]:
    """Return the source's box that becomes the center crop; squashed, both sides become the short one.

    Same pixels as torchvision's Resize(round(resolution / crop_pct)) and CenterCrop, its roundings included, but in
    one step: a 5000 x 10 panorama never becomes a strip of 128,000 x 256.
    """
    assert 0 < spec.crop_pct <= 1, spec.crop_pct
    short = round(spec.resolution / spec.crop_pct)
    squash = spec.crop_mode == "squash"
    resized = [short if squash else short * side // min(width, height) for side in (width, height)]
    spans = [_span(*sides, spec.resolution) for sides in zip((width, height), resized, strict=True)]
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def _span(side: int, resized: int, resolution: int) -> tuple[float, float]:
    start = round((resized - resolution) / 2)
    return start * side / resized, min((start + resolution) * side / resized, float(side))
