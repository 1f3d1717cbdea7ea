"""The verb `report`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli import options as o


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run of `fit`.")],
    output: Annotated[Path | None, typer.Option(help="Folder for the page; by default the run's.")] = None,
    json: o.Json = False,
) -> None:
    """Write the page and the model card of a finished run again."""
    import pocketvision
    from pocketvision.cli.terminal import emit

    page = pocketvision.report(run, output=output)
    emit({"report": page}) if json else print(page)
