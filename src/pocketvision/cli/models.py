"""The verb `models`."""

from typing import Annotated

import typer

from pocketvision.cli import options as o


def models(
    name: Annotated[str | None, typer.Argument(help="Only this net.")] = None,
    json: o.Json = False,
) -> None:
    """List the nets with their published figures, by width and resolution."""
    import pocketvision
    from pocketvision.cli.terminal import emit, table

    lines = pocketvision.models(name)
    if json:
        emit(lines)
        return
    columns = ["name", "width", "pixels", "params", "multiply-adds", "top-1", "top-5", "source"]
    rows = [
        [
            line.name,
            f"{line.width:g}",
            f"{line.resolution}",
            line.params,
            line.macs,
            f"{line.top1:g}",
            f"{line.top5:g}" if line.top5 is not None else "-",
            line.source,
        ]
        for line in lines
    ]
    table(columns, rows)
