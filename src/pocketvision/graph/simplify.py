"""What a traced graph holds twice is said once: batch norms fold into convolutions, clamps into what they follow."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from pocketvision.graph.graph import (
    Activate,
    Add,
    Affine,
    Array,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Flatten,
    GlobalAvgPool,
    Linear,
    MaxPool,
    Node,
    Shuffle,
    Slice,
)


def simplify(nodes: Iterable[Node]) -> list[Node]:
    """Merge each node into the one it reads, where runtimes need only that one kernel and nobody else reads between.

    A batch norm (Affine) folds into a convolution, a ReLU or ReLU6 into what computes sums, also through a join or a
    max pool between them, a flattening into a mean.
    """
    nodes = tuple(nodes)
    kept = _Kept(Counter(name for node in nodes for name in node.inputs))
    for node in nodes:
        kept.take(node)
    return [_single(node) if isinstance(node, Affine) else node for node in kept.nodes.values()]


class _Kept:
    """The nodes that stay, by name; `now` maps the name of each node that came to the one that holds its value."""

    def __init__(self, readers: Counter[str]) -> None:
        self.readers = readers
        self.nodes: dict[str, Node] = {}
        self.now: dict[str, str] = {}

    def take(self, node: Node) -> None:
        """Merge a node into its producer, or keep it."""
        node = replace(node, inputs=tuple(self.now[name] for name in node.inputs))
        source = node.inputs[0] if len(node.inputs) == 1 else ""
        if not (self.readers[source] == 1 and self._merge(source, node)):
            source = node.name
            self.nodes[source] = node
        self.readers[source] = self.readers[node.name]
        self.now[node.name] = source

    def _merge(self, source: str, node: Node) -> bool:
        match self.nodes[source], node:
            case Conv(activation="none") as conv, Affine(activation="none"):
                self.nodes[source] = _folded(conv, node)
            case GlobalAvgPool(keep=True) as mean, Flatten():
                self.nodes[source] = replace(mean, keep=False)
            case _, Activate(activation="relu" | "relu6" as clamp) if self._may_clamp(source, clamp):
                self._clamp(source, clamp)
            case _:
                return False
        return True

    def _may_clamp(self, name: str, clamp: Clamp) -> bool:
        """Whether a ReLU or ReLU6 behind a tensor can be done before it: runtimes then do it for nothing."""
        match self.nodes[name]:
            case Conv() | Linear() | Add() | Affine() as producer:
                return self.readers[name] == 1 and producer.activation == "none"
            case Concat() | MaxPool() | Shuffle() as node if self.readers[name] == 1:
                return all(
                    (clamp == "relu" and self._positive(source)) or self._may_clamp(source, clamp)
                    for source in node.inputs
                )
        return False

    def _clamp(self, name: str, clamp: Clamp) -> None:
        node = self.nodes[name]
        if isinstance(node, Conv | Linear | Add | Affine):
            self.nodes[name] = replace(node, activation=clamp)
        else:
            for source in node.inputs:
                if not (clamp == "relu" and self._positive(source)):
                    self._clamp(source, clamp)

    def _positive(self, name: str) -> bool:
        """Whether no value can be below zero."""
        node = self.nodes[name]
        if getattr(node, "activation", "none") in ("relu", "relu6", "sigmoid", "hardsigmoid"):
            return True
        pools = Concat | MaxPool | Slice | Shuffle | AvgPool | GlobalAvgPool
        return isinstance(node, pools) and all(self._positive(source) for source in node.inputs)


def _folded(conv: Conv, norm: Affine) -> Conv:
    conv = replace(conv, learned=conv.learned + norm.learned, norm=conv.norm + norm.learned)
    if not any(conv.weight.strides):  # a stand-in without memory
        return conv
    # In double, so that folding costs no accuracy where a variance is tiny.
    factor, shift = norm.weight.astype(np.float64), norm.bias.astype(np.float64)
    weight = conv.weight.astype(np.float64) * factor[:, None, None, None]
    bias = conv.bias.astype(np.float64) * factor + shift
    return replace(conv, weight=weight.astype(np.float32), bias=bias.astype(np.float32))


def _single(node: Affine) -> Affine:
    """Return the node in float32; only while it may still fold it is held in double."""
    return replace(node, weight=_float32(node.weight), bias=_float32(node.bias))


def _float32(array: Array) -> Array:
    return array.astype(np.float32) if any(array.strides) else array
