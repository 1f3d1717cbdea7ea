"""Tables of "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size" (arXiv 1602.07360)."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from pocketvision.cost.count import count
from pocketvision.cost.graphs import graph_at
from pocketvision.cost.tables.cells import Cell, Table, line_cells, not_computed, number, words
from pocketvision.graph.graph import Conv, Graph
from pocketvision.models.published import published
from pocketvision.values import ModelSpec

PAPER = "paper arXiv 1602.07360"
MIB = 1024**2
PIXELS = 227
STORED_ENTRIES = 422_083
"""Of the released compressed file: its non-zero weights, and a zero after each gap of sixteen."""


class Pruned(NamedTuple):
    """One line of Table 1: output size, percent of weights kept (s1x1, e1x1, e3x3), parameters before and after."""

    layer: str
    output_size: str
    kept: tuple[int, ...]
    before: str
    after: str


class Sized(NamedTuple):
    """One line of Table 3."""

    architecture: str
    name: str
    model_size: str


# fmt: off
TABLE_1 = (
    Pruned("conv1",  "111x111x96",  (100,),        "14208",   "14208"),
    Pruned("fire2",  "55x55x128",   (100, 100, 33), "11920",  "5746"),
    Pruned("fire3",  "55x55x128",   (100, 100, 33), "12432",  "6258"),
    Pruned("fire4",  "55x55x256",   (100, 100, 33), "45344",  "20646"),
    Pruned("fire5",  "27x27x256",   (100, 100, 33), "49440",  "24742"),
    Pruned("fire6",  "27x27x384",   (100, 50, 33),  "104880", "44700"),
    Pruned("fire7",  "27x27x384",   (50, 100, 33),  "111024", "46236"),
    Pruned("fire8",  "27x27x512",   (100, 50, 30),  "188992", "77581"),
    Pruned("fire9",  "13x13x512",   (50, 100, 30),  "197184", "77581"),
    Pruned("conv10", "13x13x1000",  (20,),          "513000", "103400"),
)
TOTAL = Pruned("total", "", (), "1248424", "421098")
TABLE_3 = (
    Sized("Vanilla SqueezeNet",          "squeezenet1_0",                "4.8"),
    Sized("SqueezeNet + Simple Bypass",  "squeezenet1_0_simple_bypass",  "4.8"),
    Sized("SqueezeNet + Complex Bypass", "squeezenet1_0_complex_bypass", "7.7"),
)
# fmt: on


def table_1() -> Iterator[Cell]:
    """Compare output sizes and parameters, before pruning and after it."""
    graph = graph_at(ModelSpec("squeezenet1_0", 1.0, PIXELS))
    convs = [node for node in graph.nodes if isinstance(node, Conv)]
    before = after = 0
    for row in TABLE_1:
        own = [convs.pop(0) for _ in row.kept]
        params = sum(conv.learned for conv in own)
        kept = sum(_kept(conv, percent) for conv, percent in zip(own, row.kept, strict=True))
        yield words(row.layer, "output size", row.output_size, _output(graph, own))
        yield number(row.layer, "parameters before pruning", row.before, params)
        yield number(row.layer, "parameters after pruning", row.after, kept)
        before, after = before + params, after + kept
    yield number(TOTAL.layer, "parameters before pruning", TOTAL.before, before)
    yield number(TOTAL.layer, "parameters after pruning", TOTAL.after, after)
    yield number(
        "a README: parameters of SqueezeNet",
        "parameters",
        "421098",
        before,
        reason="421,098 are those that pruning keeps",
    )
    yield number(
        "often: 33% sparsity", "zeros, %", "33", 100 * (1 - after / before), reason="33% of the weights are kept"
    )


def _kept(conv: Conv, percent: int) -> int:
    return math.ceil(int(conv.weight.size) * percent / 100) + int(conv.bias.size)


def _output(graph: Graph, own: list[Conv]) -> str:
    joined = own[-2:] if len(own) == 3 else own
    _, height, width = graph.shapes[joined[0].name]
    return f"{height}x{width}x{sum(graph.shapes[conv.name][0] for conv in joined)}"


def table_2() -> Iterator[Cell]:
    """Compare the sizes without compression, and that of the released file of eight bits."""
    graph = graph_at(ModelSpec("squeezenet1_0", 1.0, PIXELS))
    params = count(graph).params
    alexnet = count(graph_at(ModelSpec("alexnet", 1.0, PIXELS))).params
    yield number(
        "AlexNet, 32 bit", "MB", "240", 4 * alexnet / 1e6, reason="243.9 MB or 232.6 MiB: rounded to tens of MB"
    )
    yield number("SqueezeNet, 32 bit", "MiB, printed as MB", "4.8", 4 * params / MIB)
    yield number("SqueezeNet, 32 bit", "in units of a million bytes", "4.8", 4 * params / 1e6, reason="4.8 MB are MiB")
    yield number("SqueezeNet, 8 bit, 33%", "thousand KiB, printed as MB", "0.66", _file_bytes(graph) / 1024 / 1000)
    yield not_computed("SqueezeNet, 6 bit, 33%", "MB", "0.47", reason="no file of it is released")


def _file_bytes(graph: Graph) -> float:
    """Return the size of the released file (675,763 bytes) to a few bytes: a count and 256 codes of float32 a layer,
    float32 biases, and for every entry a byte of code and half a byte of position."""
    convs = [node for node in graph.nodes if isinstance(node, Conv)]
    return len(convs) * (4 + 4 * 256) + 4 * sum(int(conv.bias.size) for conv in convs) + 1.5 * STORED_ENTRIES


def table_3() -> Iterator[Cell]:
    """Compare the sizes of the nets with bypass, in MiB."""
    for row in TABLE_3:
        params = count(graph_at(ModelSpec(row.name, 1.0, PIXELS))).params
        reason = "four 1x1 convolutions beside fire2, 4, 6 and 8 make 6.06 MiB, 6.36 MB; what else was there is unknown"
        yield number(row.architecture, "MiB, printed as MB", row.model_size, 4 * params / MIB, reason=reason)


def release() -> Iterator[Cell]:
    """Compare what the authors' release says of the computation of 1.0 and 1.1."""
    for line in published():
        if line.source.startswith("forresti"):
            yield from line_cells(line, named=True)


TABLES = (
    Table("1", "SqueezeNet architectural dimensions", f"{PAPER}, Table 1", table_1),
    Table("2", "SqueezeNet against model compression", f"{PAPER}, Table 2", table_2),
    Table("3", "SqueezeNet with bypass", f"{PAPER}, Table 3", table_3),
    Table("release", "Computation of 1.0 and 1.1", "forresti/SqueezeNet SqueezeNet_v1.1/README.md", release),
)
