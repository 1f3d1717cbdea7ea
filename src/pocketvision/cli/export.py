"""The verb `export`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pocketvision.cli import options as o


def export(  # noqa: PLR0917  a command's options
    run: Annotated[Path, typer.Argument(help="Folder of a run of `train` or `fit`.")],
    format: Annotated[
        str, typer.Option(help="onnx, litert, coreml, executorch, openvino, c; several with commas.")
    ] = "onnx",
    precision: Annotated[
        Literal["float", "float16", "int8", "palette8", "palette6", "palette4", "palette2"],
        typer.Option(help="float, float16, int8; for coreml also palette8, palette6, palette4, palette2."),
    ] = "float",
    abstain: o.Abstain = "auto",
    output: Annotated[Path | None, typer.Option(help="Folder for the file; by default the run's export.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the file without suffix; by default model.")] = None,
    json: o.Json = False,
) -> None:
    """Write a trained net as a file that holds all it needs: labels, picture rule, probes."""
    import pocketvision
    from pocketvision.budget.parse import bytes_text
    from pocketvision.cli.terminal import Terminal, emit

    written = pocketvision.export(
        run, format=format, precision=precision, abstain=abstain, output=output, name=name, progress=Terminal()
    )
    if json:
        emit(written)
        return
    sizes = {written.file: written.size_bytes} | {each.file: each.size_bytes for each in written.others}
    for file, size in sizes.items():
        print(f"{file}: {written.precision}, {bytes_text(size)}")
