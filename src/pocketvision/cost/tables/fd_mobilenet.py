"""Tables of "FD-MobileNet: Improved MobileNet with a Fast Downsampling Strategy" (arXiv 1802.03750)."""

from collections.abc import Iterator
from functools import partial

from pocketvision.cost.graphs import graph_at
from pocketvision.cost.rules import macs
from pocketvision.cost.tables.cells import Cell, Table, number, printed_in
from pocketvision.values import ModelSpec

PAPER = "paper arXiv 1802.03750"
RELEASE = "clavichord93/FD-MobileNet README"


def resolutions() -> Iterator[Cell]:
    """Compare the computation on maps of 112, 56, 28 and 14 pixels, and the MobileNet of 12M it is compared with."""
    for row, spec, printed in (
        ("FD-MobileNet", ModelSpec("fd_mobilenet"), "59M"),
        ("MobileNet", ModelSpec("mobilenet_v1", 0.5), "129M"),
    ):
        yield number(row, "multiply-adds in the largest 4 resolutions", printed, _on_large_maps(spec))
    graph = graph_at(ModelSpec("mobilenet_v1", 0.125))
    whole = sum(macs(node, graph.shapes[node.name]) for node in graph.nodes)
    yield number("MobileNet with 128 channels at last (width 0.125)", "multiply-adds", "12M", whole)


def _on_large_maps(spec: ModelSpec) -> int:
    graph = graph_at(spec)
    shapes = graph.shapes
    return sum(
        macs(node, shapes[node.name])
        for node in graph.nodes
        if len(shapes[node.name]) == 3 and shapes[node.name][1] >= 14
    )


TABLES = (
    Table("widths", "FD-MobileNet at its widths", RELEASE, partial(printed_in, RELEASE)),
    Table("resolutions", "Where the computation goes", PAPER, resolutions),
)
