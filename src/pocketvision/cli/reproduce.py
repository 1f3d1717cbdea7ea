"""The verb `reproduce`."""

from typing import TYPE_CHECKING, Annotated

import typer

from pocketvision.cli import options as o

if TYPE_CHECKING:
    from pocketvision.cost.tables.cells import ReproducedTable


def reproduce(
    name: Annotated[str, typer.Argument(help="A net's name, such as mobilenet_v1.")],
    table: Annotated[
        str | None, typer.Option(help="A table of its paper, such as 2, or of a release, such as slim; else all.")
    ] = None,
    json: o.Json = False,
) -> None:
    """Reproduce a paper's tables: published and computed figures side by side, with a verdict on each."""
    import pocketvision
    from pocketvision.cli.terminal import Terminal, emit

    found = pocketvision.reproduce(name, table=table, progress=Terminal())
    if json:
        emit(found)
        return
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
