"""Counts the figures that are shipped with the catalogue: costs of every setting, layers and block of every net."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pocketvision.cost.count import count, kind, layers
from pocketvision.cost.graphs import graph_at
from pocketvision.graph.graph import (
    Add,
    AvgPool,
    Conv,
    Flatten,
    GlobalAvgPool,
    Graph,
    Input,
    Linear,
    MaxPool,
    Node,
    Softmax,
)
from pocketvision.models.catalogue import families, family_of
from pocketvision.models.figures import Anatomy, Figures, Layer, Step
from pocketvision.models.published import Published, published
from pocketvision.values import ModelSpec

_PLAIN = {"AvgPool2d", "Conv2d", "ConvNormAct", "LocalResponseNorm", "MaxPool2d", "ReLU"}
SHOWN_DATA = ("ImageNet", "CIFAR-10")
"""The data sets whose figures the catalogue shows; EffNet was published on the second."""


def settings() -> list[ModelSpec]:
    """List what the catalogue shows: the papers' widths and groups, and every setting with a printed accuracy."""
    found: set[ModelSpec] = set()
    for name, family in families().items():
        classes = _classes(name)
        usual = ModelSpec(name, 1.0, family.resolution, classes, groups=family.groups[0] if family.groups else None)
        found |= {replace(usual, width=width) for width in family.widths}
        found |= {replace(usual, groups=groups) for groups in family.groups}
        found |= {_shown(line) for line in published() if line.name == name and line.data in SHOWN_DATA and line.main}
    return sorted(found, key=lambda spec: (spec.name, spec.groups or 0, -spec.width, -spec.resolution))


def _classes(name: str) -> int:
    lines = [line for line in published() if line.name == name and line.data in SHOWN_DATA]
    return min((_shown(line).num_classes for line in lines), default=1000)


def _shown(line: Published) -> ModelSpec:
    groups = family_of(line.name).groups
    spec = replace(line.spec, groups=line.groups or groups[0] if groups else None)
    return replace(spec, num_classes=1000) if spec.num_classes == 1001 else spec  # 1001: with a background class


def compute(spec: ModelSpec) -> Figures:
    """Count one setting."""
    graph = graph_at(spec)
    plain, small = count(graph), count(graph, precision="int8")
    return Figures(
        name=spec.name,
        width=spec.width,
        resolution=spec.resolution,
        groups=spec.groups,
        num_classes=spec.num_classes,
        params=plain.params,
        macs=plain.macs,
        float_bytes=plain.weight_bytes,
        int8_bytes=small.weight_bytes,
        peak_bytes_float=plain.peak_activation_bytes,
        peak_bytes_int8=small.peak_activation_bytes,
    )


def dissect(spec: ModelSpec, kinds: Sequence[str]) -> Anatomy:
    """Take a net's layers, and the last of the blocks it repeats most; `kinds` are the class names of its features."""
    graph = graph_at(spec)
    rows = tuple(Layer(row.name, row.kind, row.output, row.params, row.macs) for row in layers(graph))
    chosen, nodes = _block(graph, kinds)
    source = next(item for node in nodes for item in node.inputs if item not in {node.name for node in nodes})
    places = {node.name: place for place, node in enumerate(nodes)} | {source: -1}
    steps = tuple(
        Step(label(graph, node), tuple(places[item] for item in node.inputs if item in places)) for node in nodes
    )
    return Anatomy(spec.name, rows, chosen, graph.shapes[source], steps)


def _block(graph: Graph, kinds: Sequence[str]) -> tuple[str, list[Node]]:
    """Return the last of the most frequent blocks, one with a shortcut if there is any."""
    blocks = Counter(kind for kind in kinds if kind not in _PLAIN)
    if not blocks:
        # A plain chain: from its last convolution but one on (depthwise and pointwise in MobileNet V1).
        inside = [node for node in graph.nodes if _child(node) >= 0]
        start = [place for place, node in enumerate(inside) if isinstance(node, Conv)][-2]
        return "layers", inside[start:]
    chosen = blocks.most_common(1)[0][0]
    places = [place for place, kind in enumerate(kinds) if kind == chosen]
    found = [_within(graph, place) for place in reversed(places)]
    return chosen, next((nodes for nodes in found if any(isinstance(node, Add) for node in nodes)), found[0])


def _within(graph: Graph, child: int) -> list[Node]:
    """Return the nodes of one child of `features`, its joins included."""
    start = next(place for place, node in enumerate(graph.nodes) if _child(node) == child)
    later = (place for place, node in enumerate(graph.nodes) if place > start and _beyond(node, child))
    return list(graph.nodes[start : next(later, len(graph.nodes))])


def _child(node: Node) -> int:
    match = re.match(r"features\.(\d+)\b", node.name)
    return int(match[1]) if match else -1


def _beyond(node: Node, last: int) -> bool:
    named = re.match(r"[a-z_]+[\w.]*\.", node.name) is not None
    pooled = isinstance(node, GlobalAvgPool) and not node.keep
    return _child(node) > last or (named and _child(node) == -1) or pooled or isinstance(node, Flatten | Softmax)


def anatomy_line(shape: Anatomy) -> str:
    """Write what `anatomy` reads: one line of bare values, since names of fields would double the file."""
    layers = [[row.name, row.kind, row.output, row.params, row.macs] for row in shape.layers]
    block = [[step.label, step.inputs] for step in shape.block]
    return json.dumps([[shape.name, shape.block_name, shape.block_input], layers, block], separators=(",", ":"))


def label(graph: Graph, node: Node) -> str:
    """Say in a few words what a node does: 'conv dw 3x3 /2, 96, relu6'."""
    assert not isinstance(node, Input | Softmax)
    words = kind(node)
    if isinstance(node, AvgPool | MaxPool):
        words += f" {node.kernel[0]}x{node.kernel[1]}"
    stride = getattr(node, "stride", (1, 1))
    if stride != (1, 1):
        words += f" /{stride[0]}" if stride[0] == stride[1] else f" /{stride[0]}x{stride[1]}"
    if isinstance(node, Conv | Linear):
        words += f", {graph.shapes[node.name][0]}"
    activation = getattr(node, "activation", "none")
    if activation != "none":
        words = activation if kind(node) == "activate" else f"{words}, {activation}"
    return words
