"""Which channels of a graph can only be kept or cut together, and the graph of those that are kept.

A channel lives from the layer that makes it to all that read it; sums, products and depthwise layers tie channels of
several tensors to one. What cannot be followed so, such as a shuffle, keeps all of its channels.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.ties import Ties
from pocketvision.graph.graph import (
    Activate,
    Add,
    AvgPool,
    Concat,
    Conv,
    Flatten,
    GlobalAvgPool,
    Graph,
    Linear,
    MaxPool,
    Mul,
    Node,
    Slice,
)

Places = NDArray[np.int64]


class TiedChannels:
    """The channels of a float graph without Affines, each known by a number that all tied to it share."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._ties = Ties()
        self._whole: set[int] = set()
        self._made: dict[str, list[int]] = {}
        for node in graph.nodes:
            self._made[node.name] = self._follow(node, [self._made[name] for name in node.inputs])
        for name in graph.ends or (graph.output,):
            self._whole.update(self._made[name])
        self.of = {name: np.array([self._ties.root(one) for one in found]) for name, found in self._made.items()}
        """The numbers of each tensor's channels, in order."""
        self.whole = frozenset(self._ties.root(one) for one in self._whole)
        """Those that must stay: of the image, of the answer, and what cannot be followed."""

    @property
    def groups(self) -> list[Places]:
        """List the numbers of channels that may be cut, those together that stand in the same tensors."""
        stands: dict[int, list[str]] = defaultdict(list)
        for name, found in self.of.items():
            for number in dict.fromkeys(found.tolist()):
                stands[number].append(name)
        groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, names in stands.items():
            if number not in self.whole:
                groups[tuple(names)].append(number)
        return [np.array(found) for found in groups.values()]

    def _follow(self, node: Node, read: Sequence[list[int]]) -> list[int]:
        channels = self.graph.shapes[node.name][0]
        match node:
            case Conv(groups=1) | Linear():
                return self._ties.new(channels)
            case Conv() if node.groups == len(read[0]) == channels:
                return read[0]
            case Add() | Mul():
                self._ties.tie(*read)
                return read[0]
            case Concat():
                return [one for part in read for one in part]
            case Slice():
                return read[0][node.start : node.stop]
            case Flatten():
                return [one for one in read[0] for _ in range(channels // len(read[0]))]
            case Activate() | AvgPool() | GlobalAvgPool() | MaxPool():
                return read[0]
        return self._untied(channels, read)

    def _untied(self, channels: int, read: Sequence[list[int]]) -> list[int]:
        """Keep all that goes into a kernel through which channels cannot be followed, and all that comes out."""
        made = self._ties.new(channels)
        self._whole.update(made, *read)
        return made


def without(graph: Graph, tied: TiedChannels, gone: AbstractSet[int], weights: Mapping[str, Linear | Conv]) -> Graph:
    """Return the graph without the channels of these numbers.

    `weights` are layers of the old shapes that are taken in place of the graph's own of the same name.
    """
    kept = {name: np.flatnonzero([one not in gone for one in found.tolist()]) for name, found in tied.of.items()}
    return Graph(tuple(_without(weights.get(node.name, node), kept) for node in graph.nodes))


def _without(node: Node, kept: Mapping[str, Places]) -> Node:
    match node:
        case Conv() | Linear():
            return _rows_and_columns(node, kept)
        case Slice():
            found = kept[node.inputs[0]]
            start, stop = (int(np.searchsorted(found, place)) for place in (node.start, node.stop))
            return replace(node, start=start, stop=stop)
    return node


def _rows_and_columns(node: Conv | Linear, kept: Mapping[str, Places]) -> Conv | Linear:
    rows = kept[node.name]
    weight = node.weight[rows]
    if isinstance(node, Linear) or node.groups == 1:
        weight = weight[:, kept[node.inputs[0]]]
    per_channel = (node.learned - node.weight.size) // len(node.weight)
    cut = replace(
        node,
        weight=weight,
        bias=node.bias[rows],
        learned=weight.size + per_channel * len(rows),
        norm=node.norm // len(node.weight) * len(rows),
    )
    if isinstance(cut, Conv) and cut.groups == len(node.weight) > 1:
        return replace(cut, groups=len(rows))
    return cut


def readers(graph: Graph) -> Iterator[Conv | Linear]:
    """Yield the layers that mix channels."""
    for node in graph.nodes:
        if isinstance(node, Linear) or (isinstance(node, Conv) and node.groups == 1):
            yield node
