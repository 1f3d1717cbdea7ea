"""Counts a graph: the whole net, and layer by layer."""

from dataclasses import dataclass

from pocketvision.cost.memory import peak_activation_bytes
from pocketvision.cost.rules import macs, params, weight_bytes
from pocketvision.graph.graph import Conv, Graph, Node, Shape
from pocketvision.values import Cost, Precision


@dataclass(frozen=True)
class LayerCost:
    """One layer's share."""

    name: str
    kind: str
    output: Shape
    params: int
    macs: int


def count(graph: Graph, *, precision: Precision = "float") -> Cost:
    """Count a graph as it would be stored at `precision`; the same numbers whether its weights are there or not."""
    return Cost(
        params=sum(params(node) for node in graph.nodes),
        macs=sum(macs(node, graph.shapes[node.name]) for node in graph.nodes),
        weight_bytes=sum(weight_bytes(node, precision) for node in graph.nodes),
        peak_activation_bytes=peak_activation_bytes(graph, 4 if precision == "float" else 1),
    )


def layers(graph: Graph) -> tuple[LayerCost, ...]:
    """Return every layer's cost, in order."""
    return tuple(
        LayerCost(node.name, kind(node), graph.shapes[node.name], params(node), macs(node, graph.shapes[node.name]))
        for node in graph.nodes
    )


def kind(node: Node) -> str:
    """Name a layer's kind as the papers do: 'conv 3x3', 'conv 1x1', 'conv dw 3x3', 'linear', 'add', ..."""
    if not isinstance(node, Conv):
        return type(node).__name__.lower()
    _, inputs, height, width = node.weight.shape
    depthwise = " dw" if inputs == 1 and node.groups > 1 else ""
    return f"conv{depthwise} {height}x{width}"
