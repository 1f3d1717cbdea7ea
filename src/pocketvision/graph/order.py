"""The order of layers that needs the least memory: an exact search over what can have run, piece by piece.

A tensor takes room from the layer that makes it to the last layer that reads it, and a layer's inputs and output are
there together: nothing is computed in place. Where every layer has to run either before or after a certain one, the
net falls into pieces that are searched by themselves.
"""

import heapq
import math
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import NamedTuple

from pocketvision.graph.graph import Flatten, Graph, ToRows

MOST_STATES = 50_000
"""Sets of layers looked at in one piece before its given order is kept; Inception modules have some hundred."""


@dataclass(frozen=True)
class Flow:
    """Who reads whom and how much room each output takes; layers are called by their place in the graph."""

    values: tuple[int, ...]
    """Values of each output; a view of another tensor takes none."""
    reads: tuple[tuple[int, ...], ...]
    """The tensors that must be there while a layer runs; what a view looks at is among them."""


@dataclass(frozen=True)
class MemoryOrder:
    """An order of a graph's layers and the room it needs, counted in values."""

    order: tuple[int, ...]
    peak: int
    least: int
    """No order needs less. Equal to `peak`, unless a piece had too many orders to look at them all."""


def best_order(graph: Graph) -> Graph:
    """Return the graph with its layers in the order of `schedule`; the answers are the same."""
    return replace(graph, nodes=tuple(graph.nodes[place] for place in schedule(graph).order))


def schedule(graph: Graph) -> MemoryOrder:
    """Find the order with the smallest peak of memory; the given order stays where no other is better.

    It stays also where layers need no more than some others do in any order: between a detector's many branches, whose
    orders are countless, the search would take seconds and save nothing.
    """
    moves = flow(graph)
    last_use = {source: place for place, sources in enumerate(moves.reads) for source in sources}
    pieces: list[_Piece] = []
    entering: set[int] = set()
    for layers in _pieces(moves):
        leaving = {place for place in entering.union(layers) if last_use.get(place, -1) > layers[-1]}
        pieces.append(_Piece(moves, layers, entering, leaving))
        entering = leaving
    most = max(piece.floor() for piece in pieces)
    found = [piece.best(most) for piece in pieces]
    order = tuple(place for piece in found for place in piece.order)
    return MemoryOrder(order, max(piece.peak for piece in found), max(piece.least for piece in found))


def flow(graph: Graph) -> Flow:
    """Read off a graph which tensors its layers make and need."""
    places = {node.name: place for place, node in enumerate(graph.nodes)}
    values: list[int] = []
    reads: list[tuple[int, ...]] = []
    for node in graph.nodes:
        view = isinstance(node, Flatten | ToRows)
        sources = dict.fromkeys(places[name] for name in node.inputs)
        seen = [other for source in sources if not values[source] for other in reads[source]]
        values.append(0 if view else math.prod(graph.shapes[node.name]))
        reads.append(tuple(dict.fromkeys([*sources, *seen])))
    return Flow(tuple(values), tuple(reads))


class OrderStep(NamedTuple):
    """A moment of an inference: the layer that runs, and the tensors in memory then, its own output last."""

    layer: int
    alive: tuple[int, ...]
    values: int


def steps(moves: Flow, order: Sequence[int]) -> Iterator[OrderStep]:
    """Walk through an inference in this order."""
    left = [0] * len(order)
    for sources in moves.reads:
        for source in sources:
            left[source] += 1
    alive: dict[int, None] = {}
    room = 0
    for layer in order:
        alive[layer] = None
        room += moves.values[layer]
        yield OrderStep(layer, tuple(alive), room)
        for source in moves.reads[layer]:
            left[source] -= 1
        for done in [place for place in (*moves.reads[layer], layer) if not left[place]]:
            del alive[done]
            room -= moves.values[done]


def _pieces(moves: Flow) -> Iterator[list[int]]:
    """Cut the layers after each one that all others have to run before or after; the last layer stays the last."""
    count = len(moves.values)
    before = [0] * count
    after = [0] * count
    for place, sources in enumerate(moves.reads):
        for source in sources:
            before[place] |= before[source] | 1 << source
    before[-1] = (1 << count - 1) - 1
    for place in range(count - 1, -1, -1):
        after[place] |= 1 << count - 1 if place < count - 1 else 0
        for source in moves.reads[place]:
            after[source] |= after[place] | 1 << place
    piece: list[int] = []
    for place in range(count):
        piece.append(place)
        if before[place].bit_count() + after[place].bit_count() == count - 1:
            yield piece
            piece = []


class _Piece:
    """The layers between two cuts; sets of them are bit masks, bit i for the i-th of them."""

    def __init__(self, moves: Flow, layers: Sequence[int], entering: Set[int], leaving: Set[int]) -> None:
        self.moves = moves
        self.layers = layers
        self.kept = entering & leaving
        """There all the time."""
        self.leaving = leaving
        self.start = sum(moves.values[place] for place in entering)
        self.bits = {layer: 1 << i for i, layer in enumerate(layers)}
        self.needs = [sum(self.bits.get(source, 0) for source in moves.reads[layer]) for layer in layers]
        self.needs[-1] = (1 << len(layers) - 1) - 1
        self.readers: dict[int, int] = {}
        for layer in layers:
            for source in moves.reads[layer]:
                self.readers[source] = self.readers.get(source, 0) | self.bits[layer]

    def best(self, enough: int) -> MemoryOrder:
        """Return the given order or, where it is better, the best; one that needs no more than `enough` is good."""
        given = self._peak(self.layers)
        floor = self.floor()
        if given <= max(floor, enough):
            return MemoryOrder(tuple(self.layers), given, floor)
        found, least = self._search(given)
        if not found:
            return MemoryOrder(tuple(self.layers), given, max(floor, least))
        return MemoryOrder(tuple(found), least, least)

    def floor(self) -> int:
        """No order can do with less: each layer's inputs and output, and what only later pieces read."""
        values, reads = self.moves.values, self.moves.reads
        needed = ({*self.kept, *reads[layer], layer} for layer in self.layers)
        return max(self.start, *(sum(values[place] for place in places) for places in needed))

    def _peak(self, order: Sequence[int]) -> int:
        done, room, peak = 0, self.start, 0
        for layer in order:
            peak = max(peak, room + self.moves.values[layer])
            done, room = self._after(done, room, layer)
        return peak

    def _after(self, done: int, room: int, layer: int) -> tuple[int, int]:
        """Return what has run, and what is in memory, after one more layer."""
        done |= self.bits[layer]
        room += self.moves.values[layer]
        for source in (*self.moves.reads[layer], layer):
            if source not in self.leaving and not self.readers.get(source, 0) & ~done:
                room -= self.moves.values[source]
        return done, room

    def _search(self, given: int) -> tuple[list[int], int]:
        """Return an order with the least peak below `given`, and that peak.

        Sets of layers are looked at by what it took to get there, the least first. Where no order is better, or
        there are too many sets, the order is empty, and the number is what the best order needs at least.
        """
        everything = (1 << len(self.layers)) - 1
        came: dict[int, tuple[int, int]] = {0: (0, -1)}
        closed: set[int] = set()
        heap = [(0, 0, 0, self.start)]
        while heap:
            peak, _, done, room = heapq.heappop(heap)
            if done == everything:
                return self._walked(came), peak
            if done in closed:
                continue
            closed.add(done)
            if len(closed) > MOST_STATES:
                return [], peak
            for layer, needs in zip(self.layers, self.needs, strict=True):
                worst = max(peak, room + self.moves.values[layer])
                if done & self.bits[layer] or needs & ~done or worst >= given:
                    continue
                there, left = self._after(done, room, layer)
                if there not in came or worst < came[there][0]:
                    came[there] = (worst, layer)
                    heapq.heappush(heap, (worst, -there.bit_count(), there, left))
        return [], given

    def _walked(self, came: dict[int, tuple[int, int]]) -> list[int]:
        done = (1 << len(self.layers)) - 1
        backwards: list[int] = []
        while done:
            layer = came[done][1]
            backwards.append(layer)
            done &= ~self.bits[layer]
        return backwards[::-1]
