"""Counts a graph: the whole net, layer by layer, and by kind of layer."""

import re
from dataclasses import dataclass

from pocketvision.cost.memory import peak_activation_bytes
from pocketvision.cost.rules import macs, norm_params, params, weight_bytes, weights
from pocketvision.graph.graph import Affine, Conv, Graph, Node, Shape
from pocketvision.graph.storage import STORAGES, Integers
from pocketvision.values import Cost, Precision


@dataclass(frozen=True)
class LayerCost:
    """One layer's share."""

    name: str
    """Name of the layer."""
    kind: str
    """Such as `conv dw 3x3`."""
    output: Shape
    """Shape of its output."""
    params: int
    """Learned values."""
    macs: int
    """Multiply-adds of one image."""


@dataclass(frozen=True)
class KindCost:
    """The share of all layers of one kind, as in Table 2 of the MobileNets paper; shares in percent."""

    kind: str
    """Such as `conv dw 3x3`."""
    layers: int
    """Number of layers."""
    macs: int
    """Multiply-adds of one image."""
    macs_percent: float
    """Of the net's multiply-adds."""
    weights: int
    """Of convolutions and fully connected layers, without biases and batch norms: what Table 2 counts."""
    weights_percent: float
    """Of the net's weights."""
    params: int
    """All learned values."""


def count(graph: Graph, *, precision: Precision | None = None) -> Cost:
    """Count a graph as its nodes are stored, or as they would be at `precision`; no values of weights are read."""
    asked = None if precision is None else STORAGES[precision]
    levels = graph.quant is not None or isinstance(asked, Integers)
    return Cost(
        params=sum(params(node) for node in graph.nodes),
        macs=sum(macs(node, graph.shapes[node.name]) for node in graph.nodes),
        weight_bytes=sum(weight_bytes(node, asked) for node in graph.nodes),
        peak_activation_bytes=peak_activation_bytes(graph, 1 if levels else 4),
        norm_params=sum(norm_params(node) for node in graph.nodes),
    )


def layers(graph: Graph) -> tuple[LayerCost, ...]:
    """Return every layer's cost, in order."""
    return tuple(
        LayerCost(node.name, kind(node), graph.shapes[node.name], params(node), macs(node, graph.shapes[node.name]))
        for node in graph.nodes
    )


def by_kind(graph: Graph) -> tuple[KindCost, ...]:
    """Return the cost of each kind of layer that has any, the most multiply-adds first."""
    groups: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if params(node):
            groups.setdefault(kind(node), []).append(node)
    all_macs = sum(macs(node, graph.shapes[node.name]) for node in graph.nodes)
    all_weights = sum(weights(node) for node in graph.nodes)
    found = [_kind_cost(name, group, graph, all_macs, all_weights) for name, group in groups.items()]
    return tuple(sorted(found, key=lambda item: -item.macs))


def _kind_cost(name: str, group: list[Node], graph: Graph, all_macs: int, all_weights: int) -> KindCost:
    own_macs = sum(macs(node, graph.shapes[node.name]) for node in group)
    own_weights = sum(weights(node) for node in group)
    return KindCost(
        kind=name,
        layers=len(group),
        macs=own_macs,
        macs_percent=_percent(own_macs, all_macs),
        weights=own_weights,
        weights_percent=_percent(own_weights, all_weights),
        params=sum(params(node) for node in group),
    )


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


def kind(node: Node) -> str:
    """Name a layer's kind as the papers do: 'conv 3x3', 'conv dw 3x3', 'conv 1x1 in 3 groups', 'linear', 'max pool',
    ..."""
    if isinstance(node, Affine):
        return "batch norm"
    if not isinstance(node, Conv):
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).lower()
    height, width = node.weight.shape[2:]
    if node.depthwise:
        return f"conv dw {height}x{width}"
    return f"conv {height}x{width}" + (f" in {node.groups} groups" if node.groups > 1 else "")
