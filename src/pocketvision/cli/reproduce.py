"""How the result of `reproduce` is shown."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketvision.cost.tables.cells import ReproducedTable


def show(found: "list[ReproducedTable]") -> None:
    """Print the tables."""
    for one in found:
        _print(one)
    if len(found) > 1:
        print("Tables: " + ", ".join(one.table for one in found) + "; `--table` shows one.")


def _print(one: "ReproducedTable") -> None:
    from pocketvision.cli.terminal import table

    print(f"{one.name}, table {one.table}: {one.title}\n{one.source}\n")
    rows = [
        [
            cell.row,
            cell.column,
            cell.published,
            cell.computed or "-",
            cell.difference,
            f"{cell.verdict}: {cell.reason}" if cell.reason else cell.verdict,
        ]
        for cell in one.cells
    ]
    table(["row", "column", "published", "computed", "difference", "verdict"], rows)
    print(f"\n{one.holding} of {one.compared} figures hold.\n")
