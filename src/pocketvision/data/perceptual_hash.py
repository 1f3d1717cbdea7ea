"""An image in 288 bytes and in 64 bits: what near duplicates, made by saving again or resizing, have in common.

The signature is the upright image at 16 x 16 pixels: its brightness, and its two color differences at 4 x 4. The hash
says of 64 slow waves over that brightness (a cosine transform's first 8 x 8) which are stronger than their median; it
is what C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, calls the DCT hash.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SIDE = 16
COLORS = 4
BRIGHTNESS = SIDE * SIDE
"""Bytes of a signature before its colors."""
BYTES = BRIGHTNESS + 2 * COLORS * COLORS
ENOUGH = 128
"""Pixels of the shorter side that a signature is made from; more change nothing that counts here."""
_NEUTRAL = (127, 129)
"""Color differences of a grey image, as JPEG rounds them."""
_AT_ONCE = 8192
"""Signatures that are transformed together: bounds the memory."""

Signatures = NDArray[np.uint8]


def signatures_of(images: Sequence[bytes]) -> tuple[Signatures, NDArray[np.bool_]]:
    """Return the signatures of RGB images of 16 x 16 pixels, uint8 [n, 288], and which of them are grey, [n]."""
    count, step = len(images), SIDE // COLORS
    pixels = np.frombuffer(b"".join(images), np.uint8).reshape(-1, 3).astype(np.float32)
    bands = _YCBCR @ pixels.T + _ZERO
    # No color is outside 0..255.5, and half a level more makes the cut a rounding.
    values = np.minimum(bands + 0.5, 255).astype(np.uint8).reshape(3, count, BRIGHTNESS)
    colors = values[1:].reshape(2, count, COLORS, step, COLORS, step)
    grey = ((colors >= _NEUTRAL[0]) & (colors <= _NEUTRAL[1])).all(axis=(0, 2, 3, 4, 5))
    sums = colors.sum(axis=3, dtype=np.uint16).sum(axis=4, dtype=np.uint16)
    means = ((sums + step * step // 2) // (step * step)).astype(np.uint8)
    few = means.transpose(1, 0, 2, 3).reshape(count, 2 * COLORS * COLORS)
    return np.concatenate([values[0], few], axis=1), grey


def stacked(signatures: list[bytes]) -> Signatures:
    """Return signatures as uint8 [n, 288]."""
    return np.frombuffer(b"".join(signatures), np.uint8).reshape(len(signatures), BYTES)


def hashes(signatures: Signatures) -> NDArray[np.uint64]:
    """Return the 64-bit hash of each signature; similar images differ in few bits."""
    parts = [_hashes(signatures[start : start + _AT_ONCE]) for start in range(0, len(signatures), _AT_ONCE)]
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def contrast(signatures: Signatures) -> NDArray[np.float32]:
    """Return the standard deviation of each signature's brightness, in levels of 0..255."""
    return np.asarray(signatures[:, :BRIGHTNESS].std(axis=1, dtype=np.float32), np.float32)


def likeness(one: Signatures, other: Signatures) -> NDArray[np.float32]:
    """Return the correlation, -1..1, of the brightness of pairs of signatures that are not of one tone."""
    ours, theirs = _centered(one), _centered(other)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return np.asarray((ours * theirs).sum(axis=1) / lengths, np.float32)


def color_gap(one: Signatures, other: Signatures) -> NDArray[np.int16]:
    """Return the largest difference, in levels, of the colors of pairs of signatures."""
    gaps = np.abs(one[:, BRIGHTNESS:].astype(np.int16) - other[:, BRIGHTNESS:])
    return np.asarray(gaps.max(axis=1), np.int16)


def _hashes(signatures: Signatures) -> NDArray[np.uint64]:
    brightness = signatures[:, :BRIGHTNESS].reshape(-1, SIDE, SIDE).astype(np.float32)
    waves = _WAVES @ brightness @ _WAVES.T
    strengths = waves.reshape(-1, 64)
    strengths[:, 0] = 0  # the mean brightness
    bits = strengths > np.median(strengths[:, 1:], axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def _centered(signatures: Signatures) -> NDArray[np.float32]:
    brightness = signatures[:, :BRIGHTNESS].astype(np.float32)
    return np.asarray(brightness - brightness.mean(axis=1, keepdims=True), np.float32)


_YCBCR = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]],
    np.float32,
)
"""[YCbCr, RGB], as in JFIF 1.02, page 3."""
_ZERO = np.array([[0], [128], [128]], np.float32)
_WAVES = np.cos(np.pi * np.arange(8)[:, None] * (2 * np.arange(SIDE) + 1) / (2 * SIDE)).astype(np.float32)
"""[8, 16]: the cosine transform's slow half, without its factors."""
