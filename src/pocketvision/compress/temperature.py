"""A temperature folded into a graph, float or int8: every integer stays, only what the last levels mean changes."""

from dataclasses import replace

import numpy as np

from pocketvision.errors import GraphError
from pocketvision.graph.graph import Array, AvgPool, Conv, GlobalAvgPool, Graph, Linear, MaxPool, Node, Quant
from pocketvision.graph.moves import is_move


def with_temperature(graph: Graph, value: float) -> Graph:
    """Divide the logits by `value` within the last layer with weights and what follows it up to the ending.

    Means, maxima and ReLUs let a positive factor through, so no answer changes, only its probability. In int8 the
    scales are divided and not one whole number moves. Raises GraphError where a factor would not pass.
    """
    assert value > 0
    tail = _tail(graph)
    nodes = tuple(_divided(node, value) if node.name == tail[-1] else node for node in graph.nodes)
    if graph.quant is None:
        return Graph(nodes)
    quants = {
        name: Quant(float(np.float32(quant.scale / value)), quant.zero_point) if name in tail else quant
        for name, quant in graph.quant.items()
    }
    return Graph(nodes, quants)


def _tail(graph: Graph) -> list[str]:
    """Return the names of the tensors from the logits back to the last layer with weights."""
    nodes = {node.name: node for node in graph.nodes}
    node, tail = graph.nodes[-1], []
    assert node.inputs[0] == graph.logits
    while not isinstance(node, Conv | Linear):
        if len(node.inputs) != 1:
            raise GraphError(f"a temperature cannot be folded in through '{node.name}'")
        node = nodes[node.inputs[0]]
        tail.append(node.name)
        if not _passes(node):
            raise GraphError(f"a temperature cannot be folded in through '{node.name}'")
    return tail


def _passes(node: Node) -> bool:
    if isinstance(node, Conv | Linear):
        return node.activation in ("none", "relu")
    return is_move(node) or isinstance(node, GlobalAvgPool | AvgPool | MaxPool)


def _divided(node: Node, value: float) -> Node:
    assert isinstance(node, Conv | Linear)
    if node.weight_scale is not None:
        return replace(node, weight_scale=_over(node.weight_scale, value))
    return replace(node, weight=_over(node.weight, value), bias=_over(node.bias, value))


def _over(values: Array, value: float) -> Array:
    return values.astype(np.float32) / np.float32(value)
