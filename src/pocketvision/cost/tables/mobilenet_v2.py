"""Tables of "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (arXiv 1801.04381)."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from pocketvision.cost.count import count
from pocketvision.cost.graphs import graph_at
from pocketvision.cost.paper_memory import PaperMemory, paper_memory
from pocketvision.cost.tables.cells import Cell, Table, not_computed, number, printed_in, words
from pocketvision.graph.graph import Conv, Graph
from pocketvision.models.catalogue import parse_name
from pocketvision.values import ModelSpec

PAPER = "paper arXiv 1801.04381"


class Column(NamedTuple):
    """A column of Table 3: by size of maps the channels and thousands of bytes at 16 bits, then the largest."""

    net: str
    maps: tuple[tuple[int, int, int], ...]
    largest: int
    largest_first: int
    """Of the first version of the paper, which writes the maps of 112x112 off as O(1)."""


class Extra(NamedTuple):
    """A further layer of SSD: what a 1x1 convolution narrows to, and what a 3x3 with stride 2 makes of it."""

    narrowed: int
    outputs: int


# fmt: off
TABLE_3 = (
    Column("MobileNetV1",
           ((112, 64, 1600), (56, 128, 800), (28, 256, 400), (14, 512, 200), (7, 1024, 199), (1, 1024, 2)), 1600, 800),
    Column("MobileNetV2",
           ((112, 16, 400),  (56, 32, 200),  (28, 64, 100),  (14, 160, 62),  (7, 320, 32),   (1, 1280, 2)), 400,  200),
    Column("ShuffleNet (2x, g=3)",
           ((112, 32, 800),  (56, 48, 300),  (28, 400, 600), (14, 800, 310), (7, 1600, 156), (1, 1600, 3)), 600,  600),
)
# fmt: on
_NETS = {
    "MobileNetV1": ModelSpec("mobilenet_v1"),
    "MobileNetV2": ModelSpec("mobilenet_v2"),
    "ShuffleNet (2x, g=3)": ModelSpec("shufflenet_v1", 2.0, groups=3),
    "ShuffleNet (2x, g=2)": ModelSpec("shufflenet_v1", 2.0, groups=2),
}
EXTRAS = (Extra(256, 512), Extra(128, 256), Extra(128, 256), Extra(64, 128))
"""The four further layers of the authors' SSD (tensorflow/models, object_detection)."""
FIRST_MAP, LAST_MAP = (576, 3), (1280, 6)
"""Channels and anchors: SSDLite's first layer reads the expansion of the layer with output stride 16, its second
the last layer (section 6.2). All later layers have six anchors."""
ANSWERS = 80 + 1 + 4
"""Of one anchor: 80 classes and the background, four coordinates."""


def table_2() -> Iterator[Cell]:
    """Compare the architecture: input, operator, t, c, n, s of every line."""
    from pocketvision.models.mobilenet_v2 import TABLE_2

    graph = graph_at(ModelSpec("mobilenet_v2"))
    stages = [*_stages(graph), "7x7x1280, avgpool 7x7, n 1", "1x1x1280, conv2d 1x1, c 1000, n 1"]
    for place, (row, computed) in enumerate(zip(TABLE_2, stages, strict=True)):
        size, channels = row.input
        parts = [f"{size}x{size}x{channels}", row.operator]
        dials = (("t", row.t), ("c", row.c or None), ("n", row.n), ("s", row.s))
        parts += [f"{letter} {value}" for letter, value in dials if value is not None]
        yield words(f"line {place + 1}", "input, operator, t, c, n, s", ", ".join(parts), computed)


def _stages(graph: Graph) -> Iterator[str]:
    """Tell each run of layers with the same number of output channels."""
    blocks: dict[str, list[Conv]] = {}
    for node in graph.nodes:
        if isinstance(node, Conv):
            blocks.setdefault(node.name.split(".")[1], []).append(node)
    runs: list[list[list[Conv]]] = []
    for block in blocks.values():
        same = runs and runs[-1][-1][-1].weight.shape[0] == block[-1].weight.shape[0] and len(block) > 1
        if same:
            runs[-1].append(block)
        else:
            runs.append([block])
    for run in runs:
        first = run[0]
        channels, size, _ = graph.shapes[first[0].inputs[0]]
        stride = max(conv.stride[0] for conv in first)
        if len(first) == 1:
            kind, dials = ("conv2d" if first[0].weight.shape[2] == 3 else "conv2d 1x1"), ""
        else:
            kind, dials = "bottleneck", f"t {first[-1].weight.shape[1] // channels}, "
        outputs = first[-1].weight.shape[0]
        yield f"{size}x{size}x{channels}, {kind}, {dials}c {outputs}, n {len(run)}, s {stride}"


def table_3() -> Iterator[Cell]:
    """Compare the memory of both versions of the paper; docs/design/decisions/memory.md says what is counted."""
    for column in TABLE_3:
        yield from _memory(column, column.net)
    yield from _memory(TABLE_3[2], "ShuffleNet (2x, g=2)")


def _memory(column: Column, net: str) -> Iterator[Cell]:
    graph = graph_at(_NETS[net])
    own, read = paper_memory(graph), paper_memory(graph, listed="read")
    shown = read if net == "MobileNetV2" else own
    for size, channels, kilobytes in column.maps:
        found = {cell.size: cell for cell in (own if size == 112 else shown).cells}.get(size)
        computed = f"{found.channels}/{found.bytes / 1000:.0f}" if found else "none is kept whole"
        near = found is not None and channels == found.channels and _near(kilobytes, found.bytes)
        printed = f"{channels}/{kilobytes}"
        reason = "" if near else _memory_reason(net, size)
        yield Cell(net, f"{size}x{size}", printed, computed, "", "holds" if near else "differs", reason)
    yield _largest(net, "max, last version", column.largest, own.last_version)
    yield _largest(net, "max, first version", column.largest_first, _first_version(net, own, read))


def _first_version(net: str, own: PaperMemory, read: PaperMemory) -> int:
    return (read if net == "MobileNetV2" else own).first_version


def _largest(net: str, row: str, printed: int, counted_bytes: int) -> Cell:
    near = _near(printed, counted_bytes)
    reason = "" if near else _memory_reason(net, 28)
    computed = f"{counted_bytes / 1000:.0f}K"
    return Cell(net, row, f"{printed}K", computed, "", "holds" if near else "differs", reason)


def _near(kilobytes: int, counted_bytes: int) -> bool:
    """Compare within one unit of the last digit that is no zero: 1600 is printed to hundreds."""
    digits = str(kilobytes)
    unit = 10 ** (len(digits) - len(digits.rstrip("0")))
    return bool(abs(counted_bytes / 1000 - kilobytes) <= unit)


def _memory_reason(net: str, size: int) -> str:
    if net == "MobileNetV1":
        return "1024 channels of 7x7 at 16 bits are 100 thousand bytes"
    if size == 112:
        return "the first maps are 48 channels wide and only a pool reads them; the column's largest leaves them out"
    return "400, 800 and 1600 channels are those of two groups, not three"


def table_5() -> Iterator[Cell]:
    """Compare the prediction layers of SSD and SSDLite for 80 classes on images of 320 pixels."""
    for name, separable, (params, macs), reason in (
        ("SSD", False, ("14.8M", "1.25G"), ""),
        ("SSDLite", True, ("2.1M", "0.35G"), "twice the multiply-adds, 0.35G, are FLOPs; Table 6's 0.8G fit the count"),
    ):
        counted_params, counted_macs = prediction_layers(separable=separable)
        yield number(name, "parameters", params, counted_params)
        yield number(name, "multiply-adds", macs, counted_macs, reason=reason)


def table_6() -> Iterator[Cell]:
    """Compare the detectors with SSDLite; the others are no nets of this catalogue."""
    for net, params, macs in (("V1", "5.1M", "1.3G"), ("V2", "4.3M", "0.8G")):
        cost = count(graph_at(parse_name(f"mobilenet_{net.lower()}_ssdlite")))
        yield number(f"MNet {net} + SSDLite", "parameters", params, cost.params)
        yield number(f"MNet {net} + SSDLite", "multiply-adds", macs, cost.macs)
    for row, params, macs in (("SSD300", "36.1M", "35.2G"), ("SSD512", "36.1M", "99.5G"), ("YOLOv2", "50.7M", "17.5G")):
        yield not_computed(row, "parameters", params, reason="no net of this catalogue")
        yield not_computed(row, "multiply-adds", macs, reason="no net of this catalogue")


def prediction_layers(*, separable: bool) -> tuple[int, int]:
    """Count SSD's layers on MobileNetV2 at 320 pixels: weights, without biases and norms, and multiply-adds."""
    params = macs = 0
    maps = [(*FIRST_MAP, 20), (*LAST_MAP, 10)]
    channels, size = LAST_MAP[0], 10
    for extra in EXTRAS:
        narrow, size_after = channels * extra.narrowed, -(-size // 2)
        widen = _conv3(extra.narrowed, extra.outputs, separable)
        params += narrow + widen
        macs += narrow * size**2 + widen * size_after**2
        channels, size = extra.outputs, size_after
        maps.append((channels, 6, size))
    for inputs, anchors, side in maps:
        weights = _conv3(inputs, anchors * ANSWERS, separable)
        params += weights
        macs += weights * side**2
    return params, macs


def _conv3(inputs: int, outputs: int, separable: bool) -> int:
    return 9 * inputs + inputs * outputs if separable else 9 * inputs * outputs


TABLES = (
    Table("2", "MobileNetV2 architecture", f"{PAPER}, Table 2", table_2),
    Table("3", "Channels / memory in Kb at each size, 16 bits", f"{PAPER}, Table 3, last and first version", table_3),
    Table("4", "Performance on ImageNet", f"{PAPER}, Table 4", partial(printed_in, f"{PAPER}, Table 4")),
    Table("5", "SSD and SSDLite prediction layers", f"{PAPER}, Table 5", table_5),
    Table("6", "Detection on COCO", f"{PAPER}, Table 6", table_6),
)
