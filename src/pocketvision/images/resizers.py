"""How others resize: what a phone's or a browser's code makes of an image, where it does not do as `prepare` does.

Only for judging how much a net minds; nothing is trained or answered with them. Pixel centers lie at half places, as in
all of these. The crop is cut at full pixels first, since these functions take whole images.
"""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UnknownName
from pocketvision.images.prepare import center_box, prepare
from pocketvision.values import ImageSpec

Pixels = NDArray[np.uint8]
Resizer = Literal["pillow", "opencv-linear", "opencv-area", "browser", "nearest"]

NAMES: tuple[Resizer, ...] = get_args(Resizer)


def prepare_as(name: str, pixels: Pixels, spec: ImageSpec) -> Pixels:
    """Do as `prepare` does, with another's resizing: uint8 RGB [resolution, resolution, 3].

    - `pillow`: `prepare` itself, which averages over all source pixels when it shrinks;
    - `opencv-linear`: INTER_LINEAR, four source pixels however large the image: details alias;
    - `opencv-area`: INTER_AREA, the exact mean of the covered area; where it enlarges, two pixels mixed at borders;
    - `browser`: halved by means of 2 x 2 pixels as long as the image is twice too large, then INTER_LINEAR, as
      browsers' canvases do with mipmaps;
    - `nearest`: INTER_NEAREST, the pixel at floor(place x scale).
    """
    if name not in NAMES:
        raise UnknownName("resizer", name, NAMES)
    if name == "pillow":
        return prepare(pixels, spec)
    height, width, _ = pixels.shape
    left, top, right, bottom = (round(edge) for edge in center_box(width, height, spec))
    cut = pixels[top : max(bottom, top + 1), left : max(right, left + 1)]
    return _FUNCTIONS[name](cut, spec.resolution)


def _nearest(pixels: Pixels, side: int) -> Pixels:
    rows, columns = (np.arange(side) * length // side for length in pixels.shape[:2])
    found: Pixels = pixels[rows[:, None], columns]
    return found


def _linear(pixels: Pixels, side: int) -> Pixels:
    return _mixed(pixels, *(_neighbors(length, side) for length in pixels.shape[:2]))


def _mixed(pixels: Pixels, vertical: "_Neighbors", horizontal: "_Neighbors") -> Pixels:
    """Mix two rows and two columns each, with OpenCV's weights of 11 bits and its rounding."""
    (top, bottom, down), (left, right, across) = vertical, horizontal
    upper, lower = (_weighted(pixels[rows][:, left], pixels[rows][:, right], across[:, None]) for rows in (top, bottom))
    weight = down[:, None, None]
    # OpenCV's VResizeLinear for bytes: 4 bits go before, 16 within and 2 after the second product.
    mixed = (((upper >> 4) * (_ONE - weight)) >> 16) + (((lower >> 4) * weight) >> 16)
    return np.asarray(np.clip((mixed + 2) >> 2, 0, 255), np.uint8)


_ONE = 1 << 11


_Neighbors = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""For each target place the source places before and after it, and the second one's weight."""


def _neighbors(length: int, side: int) -> _Neighbors:
    place = (np.arange(side) + 0.5) * (length / side) - 0.5
    first = np.floor(place).astype(np.int64)
    return _limited(first, place - first, length)


def _covered(length: int, side: int) -> _Neighbors:
    """Weigh two source pixels by how much of the smaller target pixel each of them covers."""
    target = np.arange(side)
    first = target * length // side
    share = (target + 1) - (first + 1) * (side / length)
    return _limited(first, np.where(share <= 0, 0.0, share - np.floor(share)), length)


def _limited(first: NDArray[np.int64], share: NDArray[np.float64], length: int) -> _Neighbors:
    weight = np.rint(share * _ONE).astype(np.int64)
    weight[(first < 0) | (first >= length - 1)] = 0
    first = first.clip(0, length - 1)
    return first, np.minimum(first + 1, length - 1), weight


def _weighted(before: Pixels, after: Pixels, weight: NDArray[np.int64]) -> NDArray[np.int64]:
    return before.astype(np.int64) * (_ONE - weight) + after.astype(np.int64) * weight


def _area(pixels: Pixels, side: int) -> Pixels:
    if min(pixels.shape[:2]) < side:
        return _mixed(pixels, *(_covered(length, side) for length in pixels.shape[:2]))
    means = _means(_means(pixels.astype(np.float64), side).swapaxes(0, 1), side).swapaxes(0, 1)
    return np.asarray(np.rint(means), np.uint8)


def _means(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Return the means over `side` equal parts of the first axis; a row on a border counts for both by its share."""
    length = len(values)
    sums = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
    ends = np.arange(side + 1) * (length / side)
    whole = np.minimum(ends.astype(np.int64), length - 1)
    share = (ends - whole)[:, None, None]
    below = sums[whole] + share * values[whole]
    return np.diff(below, axis=0) * (side / length)


def _browser(pixels: Pixels, side: int) -> Pixels:
    while min(pixels.shape[:2]) >= 2 * side:
        height, width = (length // 2 * 2 for length in pixels.shape[:2])
        even = pixels[:height, :width].astype(np.uint16)
        four = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
        pixels = np.asarray((four + 2) >> 2, np.uint8)
    return _linear(pixels, side)


_FUNCTIONS: dict[str, Callable[[Pixels, int], Pixels]] = {
    "opencv-linear": _linear,
    "opencv-area": _area,
    "browser": _browser,
    "nearest": _nearest,
}
