"""Tables of "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications" (arXiv 1704.04861)."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

from pocketvision.cost.conventions import counted
from pocketvision.cost.count import count
from pocketvision.cost.graphs import graph_at
from pocketvision.cost.rules import macs, weights
from pocketvision.cost.tables.cells import Cell, Table, not_computed, number, printed_in, words
from pocketvision.graph.graph import Conv, GlobalAvgPool, Graph, Linear, Node, Softmax
from pocketvision.models.catalogue import parse_name
from pocketvision.models.published import Rule
from pocketvision.values import ModelSpec

PAPER = "paper arXiv 1704.04861"
LAST_DEPTHWISE = 26
"""Place of the last depthwise row in Table 1, which is printed with stride 2."""


class Share(NamedTuple):
    """One line of Table 2, in percent."""

    type: str
    mult_adds: str
    parameters: str


class Modification(NamedTuple):
    """One line of Table 3: the layer, million mult-adds, million parameters; and what makes it."""

    layer: str
    mult_adds: str
    parameters: str
    channels: int
    size: int


# fmt: off
TABLE_2 = (
    Share("Conv 1x1",        "94.86", "74.59"),
    Share("Conv DW 3x3",     "3.06",  "1.06"),
    Share("Conv 3x3",        "1.19",  "0.02"),
    Share("Fully Connected", "0.18",  "24.33"),
)
TABLE_3 = (
    Modification("Convolution",              "462M",  "2.36M", 512, 14),
    Modification("Depthwise Separable Conv", "52.3M", "0.27M", 512, 14),
    Modification("alpha = 0.75",             "29.6M", "0.15M", 384, 14),
    Modification("rho = 0.714",              "15.1M", "0.15M", 384, 10),
)
# fmt: on
_TYPE_OF_KIND = {"conv 1x1": "Conv 1x1", "conv dw 3x3": "Conv DW 3x3", "conv 3x3": "Conv 3x3"}


def _shape(values: Iterable[int]) -> str:
    return "x".join(map(str, values))


def table_1() -> Iterator[Cell]:
    """Compare the layers' types, strides, filters and input sizes."""
    from pocketvision.models.mobilenet_v1 import TABLE_1

    graph = graph_at(ModelSpec("mobilenet_v1"))
    for place, (row, node) in enumerate(zip(TABLE_1, graph.nodes[1:], strict=True)):
        stride = 2 if place == LAST_DEPTHWISE - 1 else row.stride
        filters = f", {_shape(row.filter_shape)}{' dw' if row.type == 'Conv dw' else ''}" if row.filter_shape else ""
        printed = f"{row.type} / s{stride}{filters}, input {_shape(row.input_size)}"
        yield words(
            f"layer {place + 1}",
            "type, filter shape, input size",
            printed,
            _layer(graph, node),
            reason="input and output are both 7x7, so the stride is 1",
        )


def _layer(graph: Graph, node: Node) -> str:
    channels, *size = graph.shapes[node.inputs[0]]
    height, width = size or (1, 1)
    place = f"input {height}x{width}x{channels}"
    match node:
        case Conv():
            outputs, inputs, *kernel = node.weight.shape
            if node.groups > 1:
                return f"Conv dw / s{node.stride[0]}, {_shape((*kernel, outputs))} dw, {place}"
            return f"Conv / s{node.stride[0]}, {_shape((*kernel, inputs, outputs))}, {place}"
        case GlobalAvgPool():
            return f"Avg Pool / s1, {height}x{width}, {place}"
        case Linear():
            return f"FC / s1, {_shape(node.weight.shape[::-1])}, {place}"
    assert isinstance(node, Softmax)
    return f"Softmax / s1, {place}"


def table_2() -> Iterator[Cell]:
    """Compare the share of each type of layer; weights of convolutions and the classifier, without biases and norms."""
    graph = graph_at(ModelSpec("mobilenet_v1"))
    nodes = [node for node in graph.nodes if isinstance(node, Conv | Linear)]
    costs = {node.name: (macs(node, graph.shapes[node.name]), weights(node)) for node in nodes}
    all_macs, all_weights = (sum(cost[place] for cost in costs.values()) for place in (0, 1))
    for share in TABLE_2:
        own = [costs[node.name] for node in nodes if _type(node) == share.type]
        yield number(
            share.type,
            "mult-adds, %",
            share.mult_adds,
            100 * sum(cost[0] for cost in own) / all_macs,
            reason="1.91 was meant: only then the column sums to 100",
        )
        yield number(share.type, "parameters, %", share.parameters, 100 * sum(cost[1] for cost in own) / all_weights)


def _type(node: Node) -> str:
    from pocketvision.cost.count import kind

    return _TYPE_OF_KIND.get(kind(node), "Fully Connected")


def table_3() -> Iterator[Cell]:
    """Compare one layer, M = N = 512 and D_F = 14, as convolution, as separable, thinner, and smaller."""
    for row in TABLE_3:
        c = row.channels
        parameters = 9 * c * c if row.layer == "Convolution" else 9 * c + c * c
        yield number(row.layer, "mult-adds", row.mult_adds, parameters * row.size**2)
        yield number(row.layer, "parameters", row.parameters, parameters)


OTHER_DETECTORS = (
    ("SSD 300, deeplab-VGG", "33.1M", "34.9G"),
    ("SSD 300, Inception V2", "13.7M", "3.8G"),
    ("Faster-RCNN 300, VGG", "138.5M", "64.3G"),
    ("Faster-RCNN 300, Inception V2", "13.3M", "118.2G"),
    ("Faster-RCNN 300, MobileNet", "6.1M", "25.2G"),
    ("Faster-RCNN 600, VGG", "138.5M", "149.6G"),
    ("Faster-RCNN 600, Inception V2", "13.3M", "129.6G"),
    ("Faster-RCNN 600, MobileNet", "6.1M", "30.5G"),
)
"""Of Table 13: parameters and multiply-adds."""


def table_12() -> Iterator[Cell]:
    """Compare the face attribute nets; the baseline is none of ours."""
    yield from printed_in(f"{PAPER}, Table 12")
    reason = "a net of Google's own, not described"
    yield not_computed("Baseline", "multiply-adds", "1600M", reason=reason)
    yield not_computed("Baseline", "parameters", "7.5M", reason=f"{reason}; section 4.5 gives it 75 million")


def table_13() -> Iterator[Cell]:
    """Compare SSD on MobileNet; the other bodies and Faster R-CNN are no detectors of this catalogue."""
    cost = count(graph_at(parse_name("mobilenet_v1_ssd")))
    yield number("SSD 300, MobileNet", "parameters", "6.8M", cost.params)
    yield number("SSD 300, MobileNet", "multiply-adds", "1.2G", cost.macs)
    for row, params, macs_printed in OTHER_DETECTORS:
        yield not_computed(row, "parameters", params, reason="no detector of this catalogue")
        yield not_computed(row, "multiply-adds", macs_printed, reason="no detector of this catalogue")


def said() -> Iterator[Cell]:
    """Compare what the paper's text says, and what is often said of these nets."""
    graph = graph_at(ModelSpec("mobilenet_v1"))
    body = counted(graph, (Rule.NO_HEAD_PARAMS, Rule.NO_HEAD_MACS))
    final_layer = 10_000_000
    yield number("section 4.4: PlaNet MobileNet's body", "parameters", "3M", body.params)
    yield number(
        "section 4.4: PlaNet MobileNet",
        "multiply-adds",
        "0.58M",
        body.macs + final_layer,
        reason="0.58 billion was meant: the body, and the final layer with its 10 million parameters",
    )
    yield not_computed(
        "section 4.5: the face attribute baseline",
        "parameters",
        "75M",
        reason="Table 12 gives the same net 7.5 million",
    )
    small = count(graph_at(ModelSpec("mobilenet_v1", 0.25, 128)))
    reason = "that is the face attribute net of Table 12, which has no 1000 classes"
    yield number("a summary: 0.25 MobileNet-128 on ImageNet", "multiply-adds", "15M", small.macs, reason=reason)
    yield number("a summary: 0.25 MobileNet-128 on ImageNet", "parameters", "200k", small.params, reason=reason)
    yield number("a blog post: five 3x3 filters on 10 channels", "parameters", "450", 5 * 10 * 3 * 3)
    yield number(
        "a blog post: the same, depthwise separable",
        "parameters",
        "95",
        10 * 3 * 3 + 10 * 5,
        reason="90 of the depthwise 3x3 and 50 of the 1x1 together; it saves 3.2 times",
    )


def _from_lines(table: int) -> Table:
    title = {
        4: "Depthwise separable against full convolution MobileNet",
        5: "Narrow against shallow MobileNet",
        6: "MobileNet width multiplier",
        7: "MobileNet resolution",
        8: "MobileNet comparison to popular models",
        9: "Smaller MobileNet comparison to popular models",
        10: "MobileNet for Stanford Dogs",
        14: "MobileNet distilled from FaceNet",
    }[table]
    # The comma keeps Table 1 apart from Table 10.
    return Table(str(table), title, f"{PAPER}, Table {table}", partial(printed_in, f"{PAPER}, Table {table}"))


TABLES = (
    Table("1", "MobileNet body architecture", f"{PAPER}, Table 1", table_1),
    Table("2", "Resource per layer type", f"{PAPER}, Table 2", table_2),
    Table("3", "Resource usage for modifications to standard convolution", f"{PAPER}, Table 3", table_3),
    *(_from_lines(table) for table in (4, 5, 6, 7, 8, 9, 10)),
    Table("12", "Face attribute classification", f"{PAPER}, Table 12", table_12),
    Table("13", "Object detection on COCO", f"{PAPER}, Table 13", table_13),
    _from_lines(14),
    Table("said", "Said in the paper's text, and of these nets", f"{PAPER}, and summaries of it", said),
)
