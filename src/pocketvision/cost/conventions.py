"""How others count: one formula for each rule that `models.published` names."""

import math
from dataclasses import replace
from typing import NamedTuple

from pocketvision.cost import rules as cost
from pocketvision.cost.rules import norm_params
from pocketvision.graph.graph import (
    Activate,
    Add,
    Affine,
    AvgPool,
    Conv,
    GlobalAvgPool,
    Graph,
    Linear,
    MaxPool,
    Node,
    Shuffle,
)
from pocketvision.models.published import Rule

_AUXILIARY_CONVS = ((768, 128, 1), (128, 768, 5))
_AUXILIARY_CLASSES = 1000
"""Inception v3's auxiliary head after its last 17x17 map (inputs, outputs, kernel), then a classifier."""
_OPERATIONS_A_VALUE = {
    "none": 0,
    "relu": 1,
    "relu6": 1,
    "hardsigmoid": 1,
    "leaky_relu": 2,
    "hardswish": 2,
    "sigmoid": 4,
    "silu": 5,
}
"""As imgclsmob counts them (gluon/model_stats.py)."""


class Counted(NamedTuple):
    """A net under a rule; multiply-adds, or what the rule counts in their stead."""

    params: int
    macs: float


def counted(graph: Graph, rules: tuple[Rule, ...]) -> Counted:
    """Count a net as a source does; the graph is the net's as built here."""
    graph = _edited(graph, rules)
    params = sum(cost.params(node) for node in graph.nodes) + sum(_more_params(graph, rule) for rule in rules)
    macs: float = sum(cost.macs(node, graph.shapes[node.name]) for node in graph.nodes)
    if Rule.NO_HEAD_MACS in rules:
        macs -= sum(int(node.weight.size) for node in _head(graph))
    if Rule.TWO_A_NORM in rules:
        macs += 2 * sum(math.prod(graph.shapes[node.name]) for node in graph.nodes if norm_params(node))
    if Rule.ONE_A_CHANNEL in rules:
        macs += _normalized_channels(graph)
    if Rule.OPERATIONS in rules:
        macs *= 2
    if Rule.HALF_OPERATIONS in rules:
        macs += sum(_further_operations(graph, node) for node in graph.nodes) / 2
    return Counted(params, macs)


def _normalized_channels(graph: Graph) -> int:
    return sum(norm_params(node) for node in graph.nodes) // 2


def _more_params(graph: Graph, rule: Rule) -> int:
    a_channel = {
        Rule.NO_NORMS: -2,
        Rule.ONE_MOVING: 1,
        Rule.MOVING: 2,
        Rule.CONV_BIASES: 1,
        Rule.NO_GAMMA: -1,
    }
    match rule:
        case Rule.INPUT_NORM:
            return 7
        case Rule.NO_HEAD_PARAMS:
            return -sum(node.learned for node in _head(graph))
        case Rule.AUXILIARY:
            convs = sum(inputs * outputs * side**2 + 2 * outputs for inputs, outputs, side in _AUXILIARY_CONVS)
            return convs + (_AUXILIARY_CONVS[-1][1] + 1) * _AUXILIARY_CLASSES
    return _normalized_channels(graph) * a_channel.get(rule, 0)


def _head(graph: Graph) -> list[Conv | Linear]:
    return [node for node in graph.nodes if isinstance(node, Conv | Linear) and node.name.startswith("classifier.")]


def _further_operations(graph: Graph, node: Node) -> int:
    """Return what imgclsmob counts beyond twice the multiply-adds (gluon/model_stats.py); for a convolution without
    bias it takes one addition off for each pair of channels, not for each value of the output."""
    values = math.prod(graph.shapes[node.name])
    operations = values * _OPERATIONS_A_VALUE[getattr(node, "activation", "none")]
    match node:
        case Conv():
            pairs = 0 if node.learned > node.weight.size + node.norm else math.prod(node.weight.shape[:2])
            return operations + (4 * values if node.norm else 0) - pairs
        case Linear():
            return operations - (0 if node.learned > node.weight.size else int(node.weight.size))
        case Affine():
            return operations + 4 * values
        case MaxPool() | AvgPool():
            return values * math.prod(node.kernel)
        case GlobalAvgPool(keep=False):  # those of squeeze-and-excitation are no layer there
            return math.prod(graph.shapes[node.inputs[0]])
        case Shuffle():
            return values
        case Activate() | Add():
            return operations
    return 0


def _edited(graph: Graph, rules: tuple[Rule, ...]) -> Graph:
    nodes = list(graph.nodes)
    if Rule.CONV10_PADDED in rules:
        last = next(place for place in reversed(range(len(nodes))) if isinstance(nodes[place], Conv))
        nodes[last] = replace(nodes[last], padding=(1, 1, 1, 1))  # type: ignore[call-arg]
    if Rule.NO_HEAD_BIAS in rules:
        last = nodes.index(_head(graph)[-1])
        nodes[last] = replace(nodes[last], learned=int(nodes[last].weight.size))  # type: ignore[attr-defined,call-arg]
    return Graph(tuple(nodes), graph.quant)
