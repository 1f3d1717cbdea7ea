"""Reads SqueezeNet 1.0 as Deep Compression left it (Han et al. 2016): pruned, 8-bit codes, no entropy coding.

https://github.com/songhan/SqueezeNet-Deep-Compression, in little-endian order: the number of stored entries of each
of the 26 convolutions as uint32; then for every convolution in the prototxt's order 256 float32 of codebook, the
biases as float32, one uint8 code an entry, and the gap to the entry before it less one, in 4 bits, the low half of
each byte first. A gap beyond 16 is bridged by entries of value 0.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import WeightsError
from pocketvision.weights.numbers import finite

Array = NDArray[np.float32]
LARGEST_FILE = 64 * 1024 * 1024
_CODES = 256


class Pruned(NamedTuple):
    """One convolution."""

    weight: Array
    """[O, I, kh, kw], mostly zeros."""
    bias: Array


def read_deep_compression(path: Path, shapes: Sequence[tuple[int, ...]]) -> list[Pruned]:
    """Return the convolutions of these shapes; `WeightsError` where the file is not exactly filled by them."""
    if path.stat().st_size > LARGEST_FILE:
        raise WeightsError(f"{path.name} is larger than {LARGEST_FILE // 1024**2} MiB; the published file is not")
    stream = _Bytes(path.read_bytes(), path.name)
    counts = stream.take(len(shapes), "<u4")
    layers = [_layer(stream, int(count), shape) for count, shape in zip(counts, shapes, strict=True)]
    if stream.rest:
        raise WeightsError(f"{path.name} has {stream.rest} bytes behind the last convolution")
    return layers


class _Bytes:
    """A file's bytes, taken from the front."""

    def __init__(self, content: bytes, name: str) -> None:
        self.content, self.name, self.place = content, name, 0

    @property
    def rest(self) -> int:
        return len(self.content) - self.place

    def take(self, count: int, kind: str) -> NDArray[np.generic]:
        """Return the next values."""
        dtype = np.dtype(kind)
        if count * dtype.itemsize > self.rest:
            raise WeightsError(f"{self.name} is cut short, or no Deep Compression file of SqueezeNet 1.0")
        values = np.frombuffer(self.content, dtype, count, self.place)
        self.place += count * dtype.itemsize
        return values


def _layer(stream: _Bytes, count: int, shape: tuple[int, ...]) -> Pruned:
    codebook, bias = stream.take(_CODES, "<f4"), stream.take(shape[0], "<f4")
    codes, pairs = stream.take(count, "u1"), stream.take((count + 1) // 2, "u1")
    gaps = np.stack([pairs & 15, pairs >> 4], 1).ravel()[:count]  # type: ignore[operator]
    places = np.cumsum(gaps.astype(np.int64) + 1) - 1
    weight = np.zeros(int(np.prod(shape)), np.float32)
    if count and places[-1] >= weight.size:
        raise WeightsError(f"{stream.name} has an entry beyond its convolution {list(shape)}")
    weight[places] = codebook[codes]
    return Pruned(finite(weight.reshape(shape), stream.name), finite(bias, stream.name))
