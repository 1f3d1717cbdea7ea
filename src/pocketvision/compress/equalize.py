"""Cross-layer equalization: channels of one tensor get alike ranges, so that its one scale of levels suits them all.

A factor on a layer's output channel and its inverse on the weights that read the channel leave the net as it was
(Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
https://arxiv.org/abs/1906.04721). There the weights had one scale per tensor, and their ranges were evened out. Here
every output channel of a layer has its own scale already, and what loses levels are tensors in which one channel
reaches 23 and others 0.2. So the factors follow the measured channels' ranges.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.measure import Measured, Spread, Values, require_float
from pocketvision.errors import GraphError
from pocketvision.graph.graph import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Ending,
    Flatten,
    GlobalAvgPool,
    Graph,
    Linear,
    MaxPool,
    Mul,
    Node,
    Shuffle,
    Slice,
)
from pocketvision.graph.lower import without_affines
from pocketvision.graph.normalize import per_weight

Places = NDArray[np.int64]

FREE, SHARED = 0.75, 0.25
"""How far channels are drawn to the largest of their tensor, 0 not at all, 1 wholly.

A depthwise convolution takes the inverse into scales of its own, so there only the margin for values beyond the
calibration images' speaks against 1. Elsewhere the reading weights' columns get unequal instead, and lose.
"""
_MOST = 64.0
"""The largest factor: a channel that needs more held less than two levels, and its weights would grow past bounds."""
_SMALLEST_PEAK = 1e-6
_FIXED = 0


class Equalized(NamedTuple):
    """An equal float graph, and the spreads of its tensors."""

    graph: Graph
    measured: Measured


def equalize(graph: Graph, measured: Measured) -> Equalized:
    """Return an equal net whose channels have more alike ranges; `measured` over the same graph without Affines.

    Sums, means, maxima, joins, slices, shuffles and ReLUs let a positive factor through. A ReLU6 keeps its 6, and no
    channel is drawn beyond it: a channel seen up to 3 is cut at 3 or later, one seen at 6 keeps its factor of 1. So
    nothing changes on the calibration images.
    """
    require_float(graph)
    graph = without_affines(graph)
    channels = channels_of(graph)
    factors = _factors(graph, channels, measured)
    by_name = {name: factors[places] for name, places in channels.items()}
    nodes = tuple(_scaled(node, by_name) for node in graph.nodes)
    return Equalized(Graph(nodes), {name: spread.scaled(by_name[name]) for name, spread in measured.items()})


def channels_of(graph: Graph) -> Mapping[str, Places]:
    """Return for every tensor a number for each channel [C]; channels of one number need one factor, 0 none but 1."""
    classes = _Classes()
    found: dict[str, Places] = {}
    for node in graph.nodes:
        found[node.name] = _channels(graph, node, [found[name] for name in node.inputs], classes)
    classes.fix(found[graph.output])
    return {name: classes.roots(places) for name, places in found.items()}


class _Classes:
    """Channels that must share a factor, as a forest: each points to a smaller one of its class or to itself."""

    def __init__(self) -> None:
        self._parents = [_FIXED]

    def new(self, count: int) -> Places:
        start = len(self._parents)
        self._parents.extend(range(start, start + count))
        return np.arange(start, start + count)

    def join(self, ones: Places, others: Places) -> None:
        for one, other in zip(ones.tolist(), others.tolist(), strict=True):
            low, high = sorted((self._root(one), self._root(other)))
            self._parents[high] = low

    def fix(self, places: Places) -> None:
        self.join(places, np.full_like(places, _FIXED))

    def roots(self, places: Places) -> Places:
        return np.array([self._root(place) for place in places.tolist()], np.int64)

    def _root(self, place: int) -> int:
        while (parent := self._parents[place]) != place:
            self._parents[place] = self._parents[parent]
            place = parent
        return place


def _channels(graph: Graph, node: Node, inputs: list[Places], classes: _Classes) -> Places:
    match node:
        case Conv() | Linear():
            return classes.new(len(node.bias))
        case Add():
            classes.join(*inputs)
        case Mul():
            classes.fix(inputs[1])
        case Concat():
            return np.concatenate(inputs)
        case Slice():
            return inputs[0][node.start : node.stop]
        case Shuffle():
            return inputs[0].reshape(node.groups, -1).T.reshape(-1)
        case Flatten():
            return np.repeat(inputs[0], int(np.prod(graph.shapes[node.inputs[0]][1:])))
        case MaxPool() | AvgPool() | GlobalAvgPool():
            pass
        case _:
            for places in inputs:
                classes.fix(places)
            return np.full(graph.shapes[node.name][0], _FIXED, np.int64)
    return inputs[0]


def _factors(graph: Graph, channels: Mapping[str, Places], measured: Measured) -> Values:
    """Return the factor of every number of a channel."""
    count = 1 + max(int(places.max()) for places in channels.values())
    ended = {node.name for node in graph.nodes if isinstance(node, Ending)}
    peaks, largest = np.full(count, _SMALLEST_PEAK), np.zeros(count)
    strength, most = np.full(count, FREE), np.full(count, _MOST)
    for name, places in channels.items():
        if name not in ended:  # it answers as it is
            np.maximum.at(peaks, places, _of(measured, name).peak)
    for places in channels.values():
        np.maximum.at(largest, places, peaks[places].max())
    for node in graph.nodes:
        if isinstance(node, Linear) or (isinstance(node, Conv) and node.weight.shape[1] > 1):
            strength[channels[node.inputs[0]]] = SHARED
        if getattr(node, "activation", "none") == "relu6":
            room = 6 / np.maximum(measured[node.name].peak, _SMALLEST_PEAK)
            np.minimum.at(most, channels[node.name], np.maximum(room, 1))
    factors: Values = np.clip((largest / peaks) ** strength, 1, most)
    factors[_FIXED] = 1
    return factors


def _of(measured: Measured, name: str) -> Spread:
    if name not in measured:
        raise GraphError(f"nothing was measured for '{name}'; measure this same graph")
    return measured[name]


def _scaled(node: Node, factors: Mapping[str, Values]) -> Node:
    if not isinstance(node, Conv | Linear):
        return node
    inverse, own = 1 / factors[node.inputs[0]], factors[node.name]
    spread = per_weight(node, inverse) if isinstance(node, Conv) else inverse
    rows = own.reshape(-1, *[1] * (node.weight.ndim - 1))
    weight, bias = node.weight.astype(np.float64) * spread * rows, node.bias.astype(np.float64) * own
    return replace(node, weight=weight.astype(np.float32), bias=bias.astype(np.float32))
