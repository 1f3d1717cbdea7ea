"""Weight sharing: a layer's weights take one of a few values, found by k-means.

As in Han, Mao and Dally 2016, section 3 (https://arxiv.org/abs/1510.00149): the first guess lies evenly between the
smallest and the largest weight, zero stays zero and needs no value. Deviates: the shared values are not trained.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.prune import Layer, weighted, with_layers
from pocketvision.errors import GraphError
from pocketvision.graph.graph import Graph
from pocketvision.graph.storage import Shared
from pocketvision.weights.deep_compression import gaps_of

_ROUNDS = 100


def shared(graph: Graph, bits: int) -> Graph:
    """Return a float graph each of whose layers holds fewer than 2**bits different weights, and zeros."""
    if graph.quant is not None:
        raise GraphError("the graph is quantized already; share the float graph's weights")
    return with_layers(graph, {node.name: with_few_values(node, bits) for node in weighted(graph)})


def with_few_values(node: Layer, bits: int) -> Layer:
    """Return a layer with fewer than 2**bits different weights, and zeros; one that has so few already keeps them."""
    weight = node.weight.astype(np.float32)
    values = weight[weight != 0]
    if len(np.unique(values)) >= 2**bits:
        centers = np.unique(means_from_even(values.astype(np.float64), 2**bits - 1).astype(np.float32))
        weight = np.where(weight == 0, np.float32(0), centers[_nearest(centers, weight)])
    return replace(node, weight=weight, storage=Shared(len(gaps_of(weight).gaps), bits))


def means_from_even(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return at most `count` values, ascending, near all given ones in the least squares (Lloyd 1957)."""
    ordered = np.sort(values)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    found = np.linspace(ordered[0], ordered[-1], count)
    for _ in range(_ROUNDS):
        inner = np.searchsorted(ordered, (found[1:] + found[:-1]) / 2, side="right")
        ends = np.concatenate([[0], inner, [len(ordered)]])
        there = np.diff(ends) > 0
        moved = np.diff(sums[ends])[there] / np.diff(ends)[there]
        if np.array_equal(moved, found):
            break
        found = moved
    return found


def _nearest(centers: NDArray[Any], values: NDArray[Any]) -> NDArray[np.intp]:
    """Return the place of the nearest of ascending centers."""
    return np.searchsorted((centers[1:] + centers[:-1]) / 2, values)
