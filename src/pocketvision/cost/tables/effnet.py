"""Tables of "EffNet: An Efficient Structure for Convolutional Neural Networks" (arXiv 1801.06434)."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from pocketvision.cost.count import count
from pocketvision.cost.graphs import graph_at
from pocketvision.cost.tables.cells import Cell, Table, number, printed_in
from pocketvision.values import ModelSpec

PAPER = "paper arXiv 1801.06434"


class Factor(NamedTuple):
    """The factor column of the table for CIFAR-10: FLOPs over those of the baseline."""

    net: str
    name: str
    factor: str


# fmt: off
CIFAR_10 = (
    Factor("MobileNet",  "effnet_mobilenet",  "0.07"),
    Factor("ShuffleNet", "effnet_shufflenet", "0.06"),
    Factor("EffNet",     "effnet",            "0.14"),
)
# fmt: on


def cifar_10() -> Iterator[Cell]:
    """Compare FLOPs, which are twice the multiply-adds here, and their factor to the baseline's."""
    source = f"{PAPER}, results table for CIFAR-10"
    yield from printed_in(f"recalled: {source}")
    baseline = count(graph_at(ModelSpec("effnet_baseline", 1.0, 32, 10))).macs
    for row in CIFAR_10:
        macs = count(graph_at(ModelSpec(row.name, 1.0, 32, 10))).macs
        yield number(row.net, "factor", row.factor, macs / baseline)


def _others(data: str) -> Table:
    source = f"{PAPER}, results table for {data}"
    return Table(data.lower(), f"EffNet and its rivals on {data}", source, partial(printed_in, f"recalled: {source}"))


TABLES = (
    Table("cifar10", "EffNet and its rivals on CIFAR-10", f"{PAPER}, results table for CIFAR-10", cifar_10),
    _others("SVHN"),
    _others("GTSRB"),
)
