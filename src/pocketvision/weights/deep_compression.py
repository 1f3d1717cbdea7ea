"""Reads and writes nets as Deep Compression left SqueezeNet 1.0 (Han et al. 2016): pruned, 8-bit codes, no Huffman.

https://github.com/songhan/SqueezeNet-Deep-Compression, in little-endian order: the number of stored entries of each
of the 26 convolutions as uint32; then for every convolution in the prototxt's order 256 float32 of codebook, the
biases as float32, one uint8 code an entry, and the gap to the entry before it less one, in 4 bits, the low half of
each byte first. A gap beyond 16 is bridged by entries of value 0, which is the first of every codebook.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import WeightsError
from pocketvision.weights.numbers import finite

Array = NDArray[np.float32]
LARGEST_FILE = 64 * 1024 * 1024
_CODES = 256
LONGEST_GAP = 16
"""Of entries that follow each other; 4 bits hold one less."""


class CodedLayer(NamedTuple):
    """One convolution or fully connected layer."""

    weight: Array
    """[O, ...], mostly zeros, with at most 255 other values."""
    bias: Array
    codebook: Array
    """[256], 0 and those values, in the order of their codes."""


class Gaps(NamedTuple):
    """Where a layer's weights lie that are not zero."""

    gaps: NDArray[np.uint8]
    """Of each stored entry, the weights between it and the one before."""
    ends: NDArray[np.int64]
    """Which entries are weights; those between are zeros that bridge a longer gap."""


def gaps_of(weight: NDArray[Any]) -> Gaps:
    """Return the entries under which a layer's weights are stored."""
    apart = np.diff(np.flatnonzero(weight), prepend=-1)
    bridges = (apart - 1) // LONGEST_GAP
    ends = np.cumsum(bridges + 1) - 1
    gaps = np.full(int(ends[-1]) + 1 if len(ends) else 0, LONGEST_GAP - 1, np.uint8)
    gaps[ends] = apart - 1 - LONGEST_GAP * bridges
    return Gaps(gaps, ends)


def coded(weight: Array, bias: Array) -> CodedLayer:
    """Return a layer with the codebook of its own values, ascending behind the zero; WeightsError for more than 255."""
    values = np.unique(weight[weight != 0])
    if len(values) >= _CODES:
        raise WeightsError(f"a layer {list(weight.shape)} has {len(values):,} different weights, and a code has 8 bits")
    codebook = np.zeros(_CODES, np.float32)
    codebook[1 : len(values) + 1] = values
    return CodedLayer(weight, bias, codebook)


def deep_compression_bytes(layers: Sequence[CodedLayer]) -> bytes:
    """Return the file of these layers."""
    entries = [gaps_of(layer.weight) for layer in layers]
    counts = np.array([len(each.gaps) for each in entries], "<u4").tobytes()
    return counts + b"".join(_layer_bytes(layer, each) for layer, each in zip(layers, entries, strict=True))


def codes_of(weight: NDArray[Any], entries: Gaps, codebook: Array | None = None) -> tuple[Array, NDArray[np.uint8]]:
    """Return a codebook, by default 0 and the weights' own values, ascending, and a code for each entry."""
    there = weight[weight != 0]
    known = np.concatenate([[0], np.unique(there)]).astype(np.float32) if codebook is None else codebook
    order = np.argsort(known, kind="stable")
    codes = np.zeros(len(entries.gaps), np.uint8)
    codes[entries.ends] = order[np.searchsorted(known[order], there)]
    return known, codes


def packed_gaps(entries: Gaps) -> NDArray[np.uint8]:
    """Return two gaps a byte, the first one low."""
    halves = np.append(entries.gaps, np.zeros(len(entries.gaps) % 2, np.uint8)).reshape(-1, 2)
    return np.asarray(halves[:, 0] | halves[:, 1] << 4, np.uint8)


def _layer_bytes(layer: CodedLayer, entries: Gaps) -> bytes:
    _, codes = codes_of(layer.weight, entries, layer.codebook)
    reals = (values.astype("<f4").tobytes() for values in (layer.codebook, layer.bias))
    return b"".join((*reals, codes.tobytes(), packed_gaps(entries).tobytes()))


def read_deep_compression(path: Path, shapes: Sequence[tuple[int, ...]]) -> list[CodedLayer]:
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


def _layer(stream: _Bytes, count: int, shape: tuple[int, ...]) -> CodedLayer:
    codebook, bias = stream.take(_CODES, "<f4"), stream.take(shape[0], "<f4")
    codes, pairs = stream.take(count, "u1"), stream.take((count + 1) // 2, "u1")
    gaps = np.stack([pairs & 15, pairs >> 4], 1).ravel()[:count]  # type: ignore[operator]
    places = np.cumsum(gaps.astype(np.int64) + 1) - 1
    weight = np.zeros(int(np.prod(shape)), np.float32)
    if count and places[-1] >= weight.size:
        raise WeightsError(f"{stream.name} has an entry beyond its convolution {list(shape)}")
    weight[places] = codebook[codes]
    arrays = (finite(values, stream.name) for values in (weight.reshape(shape), bias, codebook))
    return CodedLayer(*arrays)
