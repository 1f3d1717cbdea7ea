"""Weights from a palette: each layer has 2, 4, 6 or 8 bits' worth of different weights, times a scale for each channel.

The palette is found by k-means, as in Han, Mao and Dally 2016, section 3 (https://arxiv.org/abs/1510.00149), without
training the shared weights again. Deviates: weights are divided by their channel's largest one first. A folded batch
norm makes channels differ so much in size that one table for a layer suits few of them.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.cost.rules import PALETTE_BITS, palette_bits, palette_bytes
from pocketvision.errors import GraphError
from pocketvision.graph.graph import Conv, Graph, Linear, Node
from pocketvision.graph.lower import without_affines

Values = NDArray[np.float64]
_ROUNDS = 100
_BINS = 2048


@dataclass(frozen=True, eq=False)
class Palette:
    """A layer's weights as table[places] * scale."""

    table: Values
    """[2**bits], all float16 values, from -1 to 1."""
    places: NDArray[np.uint8]
    """[O, ...], one for each weight."""
    scale: Values
    """[O, 1, ...], all float16 values."""
    bits: int


def palettized(graph: Graph, bits: int) -> Graph:
    """Return a float graph whose layers hold at most 2**bits different weights, but for a scale of each channel.

    Layers that a table would make no smaller are left alone, and depthwise ones get 8 bits. Raises GraphError for
    integers, for weights beyond float16's range and for other numbers of bits.
    """
    if graph.quant is not None:
        raise GraphError("the graph is quantized already; start from the float graph")
    if bits not in PALETTE_BITS:
        raise GraphError(f"a palette has {', '.join(map(str, PALETTE_BITS))} bits, not {bits}")
    return Graph(tuple(_palettized(node, bits) for node in without_affines(graph).nodes))


def palette_of(weight: NDArray[Any]) -> Palette | None:
    """Return the palette of weights that `palettized` made, exactly; None for others.

    Each channel's largest weight is one of the table's ends times the scale, and so tells the scale.
    """
    scale = _largest(weight)
    table, places = np.unique(_divided(weight, scale).astype(np.float16), return_inverse=True)
    bits = next((bits for bits in PALETTE_BITS if len(table) <= 2**bits), None)
    if bits is None or palette_bytes(weight.size, bits, len(weight)) >= 2 * weight.size:
        return None
    whole = np.concatenate([table.astype(np.float64), np.zeros(2**bits - len(table))])
    found = Palette(whole, places.reshape(weight.shape).astype(np.uint8), scale, bits)
    return found if np.array_equal(whole[found.places] * scale, weight) else None


def centers(values: Values, count: int) -> Values:
    """Return at most `count` values, ascending, near all given ones in the least squares (Lloyd 1957), with both ends.

    The first guess is as dense as the cube root of the values' own density, which is right for many small steps.
    """
    ordered = np.sort(values, axis=None)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    filled, edges = np.histogram(ordered, _BINS)
    mass = np.cumsum(np.cbrt(filled))
    bins = np.searchsorted(mass, (np.arange(count) + 0.5) / count * mass[-1])
    found = np.unique((edges[bins] + edges[bins + 1]) / 2)
    for _ in range(_ROUNDS):
        inner = np.searchsorted(ordered, (found[1:] + found[:-1]) / 2)
        ends = np.concatenate([[0], inner, [len(ordered)]])
        sizes = np.diff(ends)
        moved = np.where(sizes > 0, np.diff(sums[ends]) / np.maximum(sizes, 1), found)
        moved[0], moved[-1] = ordered[0], ordered[-1]
        if np.array_equal(moved, found):
            break
        found = moved
    return found


def _palettized(node: Node, bits: int) -> Node:
    if not isinstance(node, Conv | Linear):
        return node
    if float(np.abs(node.weight).max(initial=0)) > float(np.finfo(np.float16).max):
        raise GraphError(f"a weight of '{node.name}' is too large for float16; export it as int8")
    taken = palette_bits(node, bits)
    if taken is None:
        return node
    scale = _largest(node.weight).astype(np.float16).astype(np.float64)
    values = np.clip(_divided(node.weight, scale), -1, 1)
    table = np.unique(centers(values, 2**taken).astype(np.float16)).astype(np.float64)
    nearest = table[np.searchsorted((table[1:] + table[:-1]) / 2, values)]
    return replace(node, weight=(nearest * scale).astype(np.float32))


def _largest(weight: NDArray[Any]) -> Values:
    """Return each channel's largest weight, [O, 1, ...]."""
    largest: Values = np.abs(weight.astype(np.float64)).max(axis=tuple(range(1, weight.ndim)), keepdims=True)
    return largest


def _divided(weight: NDArray[Any], scale: Values) -> Values:
    """Return weights in units of their channel's scale, 1 where that is 0."""
    return np.divide(weight.astype(np.float64), scale, out=np.ones(weight.shape), where=scale > 0)
