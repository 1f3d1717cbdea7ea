"""Weights from a palette: each layer has 2, 4, 6 or 8 bits' worth of different weights, times a scale for each channel.

The palette is found by k-means, as in Han, Mao and Dally 2016, section 3 (https://arxiv.org/abs/1510.00149), without
training the shared weights again. Deviates: weights are divided by their channel's largest one first. A folded batch
norm makes channels differ so much in size that one table for a layer suits few of them.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import GraphError
from pocketvision.graph.graph import Conv, Graph, Linear, Node
from pocketvision.graph.lower import without_affines
from pocketvision.graph.storage import TABLE_BITS, Palette, fitted

Values = NDArray[np.float64]
_ROUNDS = 100
_BINS = 2048


@dataclass(frozen=True, eq=False)
class Table:
    """A layer's weights as values[places] * scale."""

    values: Values
    """[2**bits], all float16 numbers, from -1 to 1."""
    places: NDArray[np.uint8]
    """[O, ...], one for each weight."""
    scale: Values
    """[O, 1, ...]"""


def palettized(graph: Graph, palette: Palette) -> Graph:
    """Return a float graph whose layers hold at most 2**bits different weights, but for a scale of each channel.

    Raises GraphError for integers, for weights beyond float16's range and for other numbers of bits than TABLE_BITS.
    """
    if graph.quant is not None:
        raise GraphError("the graph is quantized already; start from the float graph")
    if palette.bits not in TABLE_BITS:
        raise GraphError(f"a palette has {', '.join(map(str, TABLE_BITS))} bits, not {palette.bits}")
    return Graph(tuple(_palettized(node, palette) for node in without_affines(graph).nodes))


def table_of(node: Conv | Linear) -> Table:
    """Return the table of weights that `palettized` made, exactly, also where channels were scaled since.

    Each channel's largest weight is one of the table's ends times the scale, and so tells the scale.
    """
    assert isinstance(node.storage, Palette)
    scale = _largest(node.weight)
    values, places = np.unique(_divided(node.weight, scale).astype(np.float16), return_inverse=True)
    whole = np.concatenate([values.astype(np.float64), np.zeros(2**node.storage.bits - len(values))])
    return Table(whole, places.reshape(node.weight.shape).astype(np.uint8), scale)


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


def _palettized(node: Node, palette: Palette) -> Node:
    if not isinstance(node, Conv | Linear):
        return node
    if float(np.abs(node.weight).max(initial=0)) > float(np.finfo(np.float16).max):
        raise GraphError(f"a weight of '{node.name}' is too large for float16; export it as int8")
    depthwise = isinstance(node, Conv) and node.depthwise
    stored = fitted(palette, node.weight.size, len(node.bias), depthwise=depthwise)
    if not isinstance(stored, Palette):
        return replace(node, storage=stored)
    scale = _largest(node.weight).astype(np.float16).astype(np.float64)
    values = np.clip(_divided(node.weight, scale), -1, 1)
    table = np.unique(centers(values, 2**stored.bits).astype(np.float16)).astype(np.float64)
    nearest = table[np.searchsorted((table[1:] + table[:-1]) / 2, values)]
    return replace(node, weight=(nearest * scale).astype(np.float32), storage=stored)


def _largest(weight: NDArray[Any]) -> Values:
    """Return each channel's largest weight, [O, 1, ...]."""
    largest: Values = np.abs(weight.astype(np.float64)).max(axis=tuple(range(1, weight.ndim)), keepdims=True)
    return largest


def _divided(weight: NDArray[Any], scale: Values) -> Values:
    """Return weights in units of their channel's scale, 1 where that is 0."""
    return np.divide(weight.astype(np.float64), scale, out=np.ones(weight.shape), where=scale > 0)
