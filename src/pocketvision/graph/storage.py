"""How a layer's weights lie in a file: a value on its node, from which bytes, formats and tolerances follow."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pocketvision.values import Precision

TABLE_BITS = (2, 4, 6, 8)
"""Of a palette's places."""


@dataclass(frozen=True)
class Floats:
    """Each weight as a floating-point number."""

    bits: Literal[16, 32] = 32
    """Of a weight."""
    bias_bits: Literal[16, 32] = 32

    def file_bytes(self, weights: int, channels: int) -> int:
        """Return the bytes of so many weights and one bias for each channel."""
        return (weights * self.bits + channels * self.bias_bits) // 8


@dataclass(frozen=True)
class Integers:
    """Each weight as a multiple of its channel's scale; biases int32, scales float32."""

    bits: int = 8
    """How many bits a weight needs; files have whole bytes for it."""

    @property
    def largest(self) -> int:
        """Return the largest level; the smallest is its negative."""
        return int(2 ** (self.bits - 1)) - 1

    def file_bytes(self, weights: int, channels: int) -> int:
        """Return the bytes of so many weights, and of a bias and a scale for each channel."""
        return weights * math.ceil(self.bits / 8) + 8 * channels


@dataclass(frozen=True)
class Palette:
    """Each weight as a place in a table of its layer, times its channel's scale; tables, scales and biases float16."""

    bits: int
    """Of a place."""

    def file_bytes(self, weights: int, channels: int) -> int:
        """Return the bytes of so many weights with their table, and of a bias and a scale for each channel."""
        return math.ceil(weights * self.bits / 8) + 2 * (int(2**self.bits) + 2 * channels)


GAP_BITS = 4
"""Of the distance from one stored weight to the next."""


@dataclass(frozen=True)
class Sparse:
    """Weights that are not zero, each as float32 with its distance from the one before; biases float32."""

    entries: int
    """Weights that are stored: those that are not zero, and zeros that bridge distances beyond 2**GAP_BITS."""

    def file_bytes(self, _: int, channels: int) -> int:
        """Return the bytes of the stored weights, and of a bias for each channel."""
        return math.ceil(self.entries * (32 + GAP_BITS) / 8) + 4 * channels


@dataclass(frozen=True)
class Shared:
    """Weights that are not zero, each as a place in a table of its layer with its distance from the one before; tables
    and biases float32."""

    entries: int
    """As in Sparse."""
    bits: int
    """Of a place."""

    def file_bytes(self, _: int, channels: int) -> int:
        """Return the bytes of the stored places with their table, and of a bias for each channel."""
        return math.ceil(self.entries * (self.bits + GAP_BITS) / 8) + 4 * (int(2**self.bits) + channels)


Storage = Floats | Integers | Palette | Sparse | Shared

FLOAT, HALF, INT8 = Floats(), Floats(16), Integers()
STORAGES: Mapping[Precision, Storage] = {
    "float": FLOAT,
    "float16": HALF,
    "int8": INT8,
    "palette8": Palette(8),
    "palette6": Palette(6),
    "palette4": Palette(4),
    "palette2": Palette(2),
}
"""What nets are asked to be stored in, by the names that people know it by."""


def fitted(asked: Storage, weights: int, channels: int, *, depthwise: bool) -> Storage:
    """Return how a layer of this size is stored where its net is asked to be stored so.

    Depthwise layers get tables of 8 bits: they hold few of a net's weights, and each counts for much. What a table
    makes no smaller does without.
    """
    if not isinstance(asked, Palette):
        return asked
    own, plain = Palette(max(asked.bits, 8)) if depthwise else asked, Floats(16, 16)
    return own if own.file_bytes(weights, channels) < plain.file_bytes(weights, channels) else plain
