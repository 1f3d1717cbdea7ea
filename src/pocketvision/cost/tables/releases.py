"""What releases print of a net: one table for each place that publishes weights, one for other papers' quotations."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from pocketvision.cost.tables.cells import Cell, Table, line_cells
from pocketvision.models.published import Published, published


class Release(NamedTuple):
    """A place, and how the sources of its lines begin."""

    table: str
    title: str
    starts: tuple[str, ...]


RELEASES = (
    Release("slim", "TF-slim", ("tensorflow/models research/slim",)),
    Release("tpu", "The authors' TensorFlow release", ("tensorflow/tpu",)),
    Release("torchvision", "torchvision", ("pytorch/vision", "recalled: pytorch/vision")),
    Release("timm", "timm", ("timm",)),
    Release("keras", "Keras Applications", ("keras-team", "recalled: keras-team")),
    Release("imgclsmob", "imgclsmob", ("osmr/imgclsmob",)),
    Release("d-li14", "d-li14's PyTorch release", ("d-li14",)),
    Release("megvii", "The authors' PyTorch release", ("megvii-model",)),
    Release(
        "authors",
        "The authors' release",
        ("clavichord93", "forresti", "songhan", "decoded", "huawei", "recalled: KaimingHe"),
    ),
    Release("caffe", "Caffe models", ("shicai", "recalled: BVLC", "recalled: Cadene")),
)
PAPERS = Release("papers", "In papers", ("paper", "recalled: paper", "recalled", "recomputed"))
"""Whatever no release and no numbered table takes."""


def release_tables(name: str, numbered: tuple[Table, ...]) -> Iterator[Table]:
    """Yield the tables of one net's lines; those in `numbered` tables of its paper are not repeated."""
    in_tables = tuple(table.source for table in numbered)
    rest = [
        line
        for line in published()
        if line.name == name
        and (line.params or line.macs)
        and not line.source.removeprefix("recalled: ").startswith(in_tables)
    ]
    for release in RELEASES:
        taken = [line for line in rest if line.source.startswith(release.starts)]
        rest = [line for line in rest if line not in taken]
        if taken:
            yield Table(release.table, release.title, _source(taken), partial(_cells, taken))
    if rest:
        yield Table(PAPERS.table, PAPERS.title, _source(rest), partial(_cells, rest))


def _source(lines: list[Published]) -> str:
    sources = list(dict.fromkeys(line.source for line in lines))
    return sources[0] if len(sources) == 1 else f"{sources[0]}, and {len(sources) - 1} more"


def _cells(lines: list[Published]) -> Iterator[Cell]:
    for line in lines:
        yield from line_cells(line)
