"""The verb `export`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pocketvision.cli import options as o


def export(  # noqa: PLR0913, PLR0917  a command's options
    source: o.Source,
    data: Annotated[
        str | None,
        typer.Argument(help="Images to calibrate int8 on, for a float FILE; where a RUN's own are now."),
    ] = None,
    format: Annotated[
        str, typer.Option(help="onnx, litert, coreml, executorch, openvino, c; several with commas.")
    ] = "onnx",
    precision: Annotated[
        Literal["float", "float16", "int8", "palette8", "palette6", "palette4", "palette2"] | None,
        typer.Option(
            help="float, float16, int8, and for coreml palette8, palette6, palette4, palette2; by default float, or a "
            "quantized FILE's own int8."
        ),
    ] = None,
    io: Annotated[
        Literal["mixed", "uint8", "int8"],
        typer.Option(help="Ends of int8 LiteRT and C files: mixed (uint8 in, float32 out), uint8 or int8."),
    ] = "mixed",
    abstain: o.Abstain = "auto",
    labels: o.FileLabels = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the file; by default the run's export, or FILE-export.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the file without suffix; by default model.")] = None,
    json: o.Json = False,
) -> None:
    """Write the net of a run or a file as a file that holds all it needs: labels, image rule, probes."""
    import pocketvision
    from pocketvision.budget.parse import bytes_text
    from pocketvision.cli.terminal import Terminal, emit

    written = pocketvision.export(
        source,
        data,
        format=format,
        precision=precision,
        io=io,
        abstain=abstain,
        labels=labels,
        output=output,
        name=name,
        progress=Terminal(),
    )
    if json:
        emit(written)
        return
    sizes = {written.file: written.size_bytes} | {each.file: each.size_bytes for each in written.others}
    for file, size in sizes.items():
        print(f"{file}: {written.precision}, {bytes_text(size)}")
