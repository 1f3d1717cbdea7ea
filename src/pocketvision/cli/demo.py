"""The verb `demo`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli import options as o


def demo(  # noqa: PLR0917  a command's options
    source: Annotated[Path, typer.Argument(metavar="RUN|FILE", help="Folder of a run, or a delivered file.")],
    output: Annotated[Path | None, typer.Option(help="Folder to write; by default `demo` beside the file.")] = None,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Serve the folder, or only write it.")] = True,
    lan: Annotated[bool, typer.Option("--lan", help="Serve to the local network, with a QR code for phones.")] = False,
    port: Annotated[int, typer.Option(help="Port to serve at; 0 takes a free one.")] = 8000,
    cert: Annotated[
        str | None,
        typer.Option(help="PEM file with certificate and key, or `self-signed`: for the live camera on a phone."),
    ] = None,
    json: o.Json = False,
) -> None:
    """Write a page that answers images on a phone, and serve it until Ctrl-C."""
    import pocketvision
    from pocketvision.cli.terminal import Terminal, emit

    written = pocketvision.demo(source, output=output, serve=serve, lan=lan, port=port, cert=cert, progress=Terminal())
    emit(written) if json else print(written.folder)
