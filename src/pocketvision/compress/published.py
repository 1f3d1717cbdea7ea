"""A published quantized file as our integer graph: its own scales and whole numbers, nothing measured anew."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

import numpy as np

from pocketvision.errors import GraphError
from pocketvision.graph.graph import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Ending,
    GlobalAvgPool,
    Graph,
    Linear,
    MaxPool,
    Node,
    Quant,
)
from pocketvision.graph.storage import INT8, Integers
from pocketvision.weights.load import StoredLevels
from pocketvision.weights.tflite import Levels

_BETWEEN: tuple[tuple[type[Node], str], ...] = (
    (Add, "add"),
    (GlobalAvgPool, "mean"),
    (AvgPool, "mean"),
    (MaxPool, "max"),
    (Concat, "concat"),
)


def as_published(graph: Graph, levels: StoredLevels) -> Graph:
    """Return the graph in the whole numbers of the file that its net was loaded from.

    `graph` is the float graph of that net with all of the file's classes. The answers are then those of the file's
    own runtime but for rounding, where a float net leaves out what rounding every tensor to 256 levels adds.
    Weights of old unsigned files may need 9 bits; they are held in 16. Raises GraphError for another net.
    """
    if graph.quant is not None:
        raise GraphError("the graph is quantized already; start from the float graph")
    between = {kind: iter([scale for _, scale in found]) for kind, found in _by_kind(levels)}
    quants = {graph.input.name: Quant(*levels.image)}
    nodes: list[Node] = [graph.input]
    for node in graph.nodes[1:]:
        if isinstance(node, Conv | Linear):
            layer = _layer(node, levels)
            quants[node.name] = Quant(*layer.output)
            nodes.append(_with(node, layer))
            continue
        nodes.append(node)
        if not isinstance(node, Ending):
            quants[node.name] = _scale(node, between) or quants[node.inputs[0]]
    if left := [kind for kind, scales in between.items() if next(scales, None) is not None]:
        raise GraphError(f"the file has more tensors of the kinds {', '.join(left)} than the net")
    return Graph(tuple(nodes), quants)


def _by_kind(levels: StoredLevels) -> Iterator[tuple[str, list[tuple[str, tuple[float, int]]]]]:
    ordered = sorted(levels.between, key=lambda entry: entry[0])
    return ((kind, list(found)) for kind, found in groupby(ordered, key=lambda entry: entry[0]))


def _layer(node: Conv | Linear, levels: StoredLevels) -> Levels:
    layer = levels.layers.get(node.name)
    if layer is None or layer.weight.shape != node.weight.shape:
        raise GraphError(f"the file holds no whole numbers for '{node.name}' {list(node.weight.shape)}")
    return layer


def _with(node: Conv | Linear, layer: Levels) -> Conv | Linear:
    small = np.abs(layer.weight).max(initial=0) <= 127
    weight = layer.weight.astype(np.int8) if small else layer.weight
    storage = INT8 if small else Integers(bits=9)
    return replace(node, weight=weight, bias=layer.bias, weight_scale=layer.weight_scale, storage=storage)


def _scale(node: Node, between: dict[str, Iterator[tuple[float, int]]]) -> Quant | None:
    """Return the scale of what is no layer; None where the kind keeps its input's, as a slice does."""
    kind = next((kind for known, kind in _BETWEEN if isinstance(node, known)), None)
    if kind is None:
        return None
    found = next(between.get(kind, iter(())), None)
    if found is None:
        raise GraphError(f"the file holds no scale for '{node.name}'")
    return Quant(*found)


def in_eight_bits(graph: Graph) -> tuple[Graph, int]:
    """Return the graph with weights that fit int8, and how many channels had to be rounded for that.

    A channel whose largest weight needs 9 bits gets a scale of its own, in which that weight is 127; its bias goes
    along. All other channels, and the scales of all tensors, stay as they are.
    """
    wide = {
        node.name: _narrowed(node)
        for node in graph.nodes
        if isinstance(node, Conv | Linear) and node.weight.dtype == np.int16
    }
    nodes = tuple(wide[node.name][0] if node.name in wide else node for node in graph.nodes)
    return Graph(nodes, graph.quant), sum(rounded for _, rounded in wide.values())


def _narrowed(node: Conv | Linear) -> tuple[Conv | Linear, int]:
    assert node.weight_scale is not None
    largest = np.abs(node.weight).reshape(len(node.weight), -1).max(axis=1)
    factor = np.maximum(largest / 127, 1.0)
    spread = factor.reshape(-1, *(1,) * (node.weight.ndim - 1))
    weight = np.rint(node.weight / spread).astype(np.int8)
    bias = np.rint(node.bias / factor).astype(np.int32)
    scale = (node.weight_scale * factor).astype(np.float32)
    narrow = replace(node, weight=weight, bias=bias, weight_scale=scale, storage=INT8)
    return narrow, int((factor > 1).sum())
