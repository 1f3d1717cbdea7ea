"""What a reproduced table is made of: cells with a printed and a computed side, and the verdict on them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pocketvision.cost.conventions import counted
from pocketvision.cost.graphs import graph_at
from pocketvision.models.catalogue import family_of
from pocketvision.models.published import CELLS, Published, published, read_figure

COLUMNS = {"params": "parameters", "macs": "multiply-adds"}
OPERATIONS = {"half of all operations": "FLOPs / 2", "2 a multiply-add": "FLOPs", "2 a normalized value": "gmacs"}
"""What the column of multiply-adds is called under the rules that count something else."""

Verdict = Literal["holds", "differs", "not computed", "not printed"]


@dataclass(frozen=True)
class Cell:
    """One figure of a table."""

    row: str
    """Where it stands."""
    column: str
    """Where it stands."""
    published: str
    """As printed."""
    computed: str
    """Empty where nothing can be computed."""
    difference: str
    """Computed minus published, in the unit of what is printed; empty for what is no number."""
    verdict: Verdict
    """Numbers hold within one unit of the last printed digit, cut or rounded; all else has to be equal."""
    reason: str
    """Why it does not hold, as far as that is known."""


@dataclass(frozen=True)
class ReproducedTable:
    """A table, published and computed side by side."""

    name: str
    """Name of the net."""
    table: str
    """Its number in the net's paper, or a release such as `slim` or `torchvision`."""
    title: str
    """What it is about."""
    source: str
    """Where it is printed."""
    cells: tuple[Cell, ...]
    """Its figures, one by one."""

    @property
    def holding(self) -> int:
        """How many cells hold."""
        return sum(cell.verdict == "holds" for cell in self.cells)

    @property
    def compared(self) -> int:
        """How many cells hold or differ."""
        return sum(cell.verdict in ("holds", "differs") for cell in self.cells)


class Table(NamedTuple):
    """A table that can be reproduced; `cells` does it."""

    number: str
    title: str
    source: str
    cells: Callable[[], Iterable[Cell]]


def number(row: str, column: str, printed: str, computed: float, *, reason: str = "") -> Cell:
    """Compare a printed figure ('569M', '94.86', '3504872') with a count; a reason is kept only where it differs."""
    figure = read_figure(printed)
    holds = figure.holds(computed)
    return Cell(
        row=row,
        column=column,
        published=printed,
        computed=f"{computed:,.0f}" if computed >= 1000 else f"{computed:.4g}",
        difference=_difference(printed, computed - figure.value),
        verdict="holds" if holds else "differs",
        reason="" if holds else reason,
    )


def _difference(printed: str, difference: float) -> str:
    unit = {"k": 1e3, "M": 1e6, "G": 1e9}.get(printed[-1], 1.0)
    digits = len(printed.partition(".")[2].rstrip("kMG"))
    exact = unit == 1.0 and not digits
    return "0" if difference == 0 else f"{difference / unit:+,.{0 if exact else digits + 1}f}{printed[-1] * (unit > 1)}"


def words(row: str, column: str, printed: str, computed: str, *, reason: str = "") -> Cell:
    """Compare what is no number, such as a layer's shape."""
    holds = printed == computed
    return Cell(row, column, printed, computed, "", "holds" if holds else "differs", "" if holds else reason)


def not_printed(row: str, column: str, computed: str, *, reason: str) -> Cell:
    """Show a count beside nothing."""
    return Cell(row, column, "", computed, "", "not printed", reason)


def not_computed(row: str, column: str, printed: str, *, reason: str) -> Cell:
    """Keep a printed figure that nothing here can compute."""
    return Cell(row, column, printed, "", "", "not computed", reason)


def line_cells(line: Published, *, named: bool = False) -> Iterator[Cell]:
    """Compare what one line of published.csv prints with the net; `named` puts the net's name before the row's."""
    row = _row(line)
    if named:
        row = f"{line.name}: {row}"
    printed = [(cell, _column(line, cell), getattr(line, cell)) for cell in CELLS if getattr(line, cell)]
    if not line.computable:
        yield from (not_computed(row, column, figure, reason=line.reason) for _, column, figure in printed)
        return
    found = counted(graph_at(line.spec), line.rules)
    for cell, column, figure in printed:
        yield number(row, column, figure, getattr(found, cell), reason=line.reason)


def _row(line: Published) -> str:
    usual = line.resolution == family_of(line.name).resolution or str(line.resolution) in line.variant
    data = "" if line.data == "ImageNet" else f", {line.data}"
    return f"{line.variant}{data}" if usual else f"{line.variant}{data}, {line.resolution} px"


def _column(line: Published, cell: str) -> str:
    if cell == "macs":
        return next((OPERATIONS[rule] for rule in line.rules if rule in OPERATIONS), COLUMNS[cell])
    return COLUMNS[cell]


def printed_in(source: str) -> Iterator[Cell]:
    """Compare every line whose source begins so."""
    lines = [line for line in published() if line.source.startswith(source)]
    several = len({line.name for line in lines}) > 1
    for line in lines:
        yield from line_cells(line, named=several)
