"""An int8 net that packs as one whose weights were chosen by their bytes, before there are weights to choose.

Weights are drawn at random so that the shortest code of each layer takes the bits that recorded choices took, by kind
of layer; scales and biases spread as theirs do. What the file then takes is asked of the compressor itself.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pocketvision.graph.graph import Conv, Graph, Linear

Kind = Literal["first", "depthwise", "conv", "last"]
OFFSETS: Mapping[Kind, float] = {"first": 1.3, "depthwise": 1.8, "conv": 0.0, "last": 0.85}
"""Bits a weight beside those of ordinary convolutions, as recorded over nets and strengths."""
_FEWER = 0.45
"""Bits a weight that the last layer takes off with every doubling of its outputs beyond ten: each counts for less."""
_LEAST = 0.05
_NOTCHES = 2.0
"""Deviation of a layer's scales, in quarters of a doubling."""
_BIAS_LEVELS, _BIAS_ZEROS = 7, 5
"""Bits of a bias's deviation, and the zero bits that it ends in."""
_LARGEST = 127


def packs_as_chosen(graph: Graph, bits: float, *, seed: int = 0) -> Graph:
    """Return an int8 graph of the same shapes whose weights take so many bits each on average."""
    rng = np.random.default_rng(seed)
    layers = [node for node in graph.nodes if isinstance(node, Conv | Linear)]
    each = bits_of(layers, bits)
    made = {node.name: _drawn(node, own, rng) for node, own in zip(layers, each, strict=True)}
    return Graph(tuple(made.get(node.name, node) for node in graph.nodes), graph.quant)


def bits_of(layers: Sequence[Conv | Linear], mean: float) -> list[float]:
    """Return the bits a weight of each layer, by its kind, whose mean over all weights is the one given."""
    sizes = np.array([node.weight.size for node in layers])
    offsets = np.array([_offset(node, layers) for node in layers])
    low, high = -8.0, 8.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        found = sizes @ _inside(middle + offsets) / sizes.sum()
        low, high = (middle, high) if found < mean else (low, middle)
    return [float(value) for value in _inside(low + offsets)]


def _inside(bits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(bits, _LEAST, 7.5)


def _offset(node: Conv | Linear, layers: Sequence[Conv | Linear]) -> float:
    kind = kind_of(node, layers)
    more = max(math.log2(len(node.bias) / 10), 0.0) if kind == "last" else 0.0
    return OFFSETS[kind] - _FEWER * more


def kind_of(node: Conv | Linear, layers: Sequence[Conv | Linear]) -> Kind:
    """Return what a layer counts as among all with weights: the first, the last, depthwise, or any other."""
    if node is layers[0]:
        return "first"
    if node is layers[-1]:
        return "last"
    return "depthwise" if isinstance(node, Conv) and node.depthwise else "conv"


def _drawn(node: Conv | Linear, bits: float, rng: np.random.Generator) -> Conv | Linear:
    levels, shares = levels_of(round(bits, 3))
    weight = rng.choice(levels, node.weight.shape, p=shares).astype(np.int8)
    notches = np.rint(rng.normal(-24, _NOTCHES, len(node.bias)))
    bias = np.rint(rng.normal(0, 2**_BIAS_LEVELS, len(node.bias))) * 2**_BIAS_ZEROS
    scale = np.exp2(notches / 4).astype(np.float32)
    return replace(node, weight=weight, weight_scale=scale, bias=bias.astype(np.int32))


@cache
def levels_of(bits: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return int8 levels and their shares, which fall geometrically from zero on, with an entropy of so many bits."""
    levels = np.arange(-_LARGEST, _LARGEST + 1)
    low, high = 1e-6, 200.0
    while high - low > 1e-6 * high:
        spread = math.sqrt(low * high)
        low, high = (spread, high) if _entropy(_shares(levels, spread)) < bits else (low, spread)
    return levels, _shares(levels, low)


def _shares(levels: NDArray[np.int64], spread: float) -> NDArray[np.float64]:
    shares = np.exp(-np.abs(levels) / spread)
    found: NDArray[np.float64] = shares / shares.sum()
    return found


def _entropy(shares: NDArray[np.float64]) -> float:
    seen = shares[shares > 0]
    return float(-(seen * np.log2(seen)).sum())
