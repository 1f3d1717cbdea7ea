"""Tables of "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices" (arXiv 1707.01083)."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from pocketvision.cost.count import count
from pocketvision.cost.graphs import graph_at
from pocketvision.cost.tables.cells import Cell, Table, not_computed, not_printed, printed_in, words
from pocketvision.graph.graph import Add
from pocketvision.models.published import published
from pocketvision.values import ModelSpec

PAPER = "paper arXiv 1707.01083"
SIZES = (28, 14, 7)
"""Sides of the maps of stages 2, 3 and 4."""


class Stages(NamedTuple):
    """The output channels of Table 1 under one number of groups."""

    g: int
    stage2: int
    stage3: int
    stage4: int


class Structures(NamedTuple):
    """A line of Table 4: the structures that are compared at one complexity, beside ShuffleNet."""

    complexity: str
    others: tuple[str, ...]


# fmt: off
TABLE_1 = (
    Stages(1, 144, 288, 576),
    Stages(2, 200, 400, 800),
    Stages(3, 240, 480, 960),
    Stages(4, 272, 544, 1088),
    Stages(8, 384, 768, 1536),
)
TABLE_4 = (
    Structures("140M", ("VGG-like", "ResNet", "Xception-like", "ResNeXt")),
    Structures("38M",  ("ResNet", "Xception-like", "ResNeXt")),
    Structures("13M",  ("ResNet", "Xception-like", "ResNeXt")),
)
# fmt: on


def table_1() -> Iterator[Cell]:
    """Compare the stages' output channels and the complexity, which is counted without the classifier."""
    for row in TABLE_1:
        graph = graph_at(ModelSpec("shufflenet_v1", groups=row.g))
        sums = {graph.shapes[node.name][1]: graph.shapes[node.name][0] for node in graph.nodes if isinstance(node, Add)}
        computed = ", ".join(f"{sums[size]} at {size}x{size}" for size in SIZES)
        printed = ", ".join(f"{channels} at {size}x{size}" for channels, size in zip(row[1:], SIZES, strict=True))
        yield words(f"g = {row.g}", "output channels of stages 2, 3, 4", printed, computed)
    yield from printed_in(f"{PAPER}, Table 1")


def table_3() -> Iterator[Cell]:
    """Show the complexity of the nets with and without shuffle: the table prints errors only."""
    for line in published():
        if line.source == f"{PAPER}, Table 3":
            spec = line.spec
            macs = count(graph_at(spec)).macs
            row = f"{spec.width:g}x g={spec.groups}, shuffle or not"
            yield not_printed(row, "multiply-adds", f"{macs:,}", reason="errors only; a shuffle multiplies nothing")


def table_4() -> Iterator[Cell]:
    """Compare ShuffleNet at each complexity; the other structures' widths are not given."""
    yield from printed_in(f"{PAPER}, Table 4")
    for line in TABLE_4:
        for structure in line.others:
            yield not_computed(structure, "multiply-adds", line.complexity, reason="its channels are not given")


TABLES = (
    Table("1", "ShuffleNet architecture", f"{PAPER}, Table 1", table_1),
    Table(
        "2",
        "Classification error against the number of groups",
        f"{PAPER}, Table 2",
        partial(printed_in, f"{PAPER}, Table 2"),
    ),
    Table("3", "ShuffleNet with and without channel shuffle", f"{PAPER}, Table 3", table_3),
    Table("4", "Classification error against various structures", f"{PAPER}, Table 4", table_4),
    Table("5", "ShuffleNet against MobileNet", f"{PAPER}, Table 5", partial(printed_in, f"{PAPER}, Table 5")),
    Table("6", "Complexity comparison", f"{PAPER}, Table 6", partial(printed_in, f"{PAPER}, Table 6")),
)
