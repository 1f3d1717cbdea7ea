"""The verb `models`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pocketvision.cli import options as o

if TYPE_CHECKING:
    from pocketvision.models.figures import CatalogueLine


def models(  # noqa: PLR0913, PLR0917  a command's options
    name: Annotated[str | None, typer.Argument(help="Only this net, with its layers and its block.")] = None,
    max_params: o.MaxParams = None,
    max_macs: o.MaxMacs = None,
    max_size: o.MaxSize = None,
    max_memory: o.MaxMemory = None,
    min_accuracy: Annotated[str | None, typer.Option(help="Least published top-1, such as 0.7.")] = None,
    every: Annotated[bool, typer.Option("--every", "--all", help="Every width and resolution.")] = False,
    sort: Annotated[
        Literal["top1", "params", "macs", "size", "memory", "year", "name"] | None, typer.Option(help="Best first.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw accuracy against multiply-adds: .html, .svg or .png.")] = None,
    json: o.Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values on stdout.")] = False,
) -> None:
    """Compare the nets: cost, memory, published accuracy, where weights are; under limits, or one in detail."""
    import pocketvision
    from pocketvision.cli.terminal import emit

    lines = pocketvision.models(
        name,
        max_params=max_params,
        max_macs=max_macs,
        max_size=max_size,
        max_memory=max_memory,
        min_accuracy=min_accuracy,
        every=every,
        sort=sort,
        plot=plot,
    )
    if json:
        emit(lines)
    elif csv:
        _comma_separated(lines)
    else:
        _tables(lines, one=name is not None)
        if plot is not None:
            typer.echo(f"\nDrawn: {plot}", err=True)


def _comma_separated(lines: "list[CatalogueLine]") -> None:
    import csv
    import sys
    from dataclasses import asdict

    rows = [asdict(line) | {"weights": " ".join(line.weights)} for line in lines]
    writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _tables(lines: "list[CatalogueLine]", *, one: bool) -> None:
    from pocketvision.cli.terminal import table

    if one:
        print(f"{lines[0].name}, {lines[0].year}: {lines[0].idea}\n")
    columns = ["net", "width", "px", "params", "MACs", "float", "int8", "memory", "top-1", "top-5", "weights"]
    rows = [_row(line) for line in lines]
    if not one:
        columns += ["year", "idea"]
        rows = [[*row, str(line.year), line.idea] for row, line in zip(rows, lines, strict=True)]
    table(columns, rows)
    print(
        "\nCounted with 1000 classes; MACs: multiply-adds of one image; float, int8: bytes of the weights; memory: "
        "peak of an int8 inference;\ntop-1 and top-5: published, on ImageNet, in percent."
    )
    others = {f"{line.data} with {line.num_classes} classes" for line in lines if line.data not in ("", "ImageNet")}
    if others:
        print(f"* on {', '.join(sorted(others))}, and counted so.")
    if one:
        _details(lines[0].name)
        sources = dict.fromkeys(line.source for line in lines if line.source)
        print("\nAccuracies from: " + "; ".join(sources) if sources else "\nNo published accuracy is known here.")
    else:
        print("`pocketvision models NAME` shows one net with its layers; `--every` lists every width and resolution.")


def _row(line: "CatalogueLine") -> list[str]:
    return [
        line.name + (f" g={line.groups}" if line.groups else ""),
        f"{line.width:g}",
        f"{line.resolution}",
        f"{line.params / 1e6:.2f}M",
        f"{line.macs / 1e6:,.0f}M" if line.macs >= 1e7 else f"{line.macs / 1e6:.1f}M",
        _bytes(line.float_bytes),
        _bytes(line.int8_bytes),
        _bytes(line.peak_bytes_int8),
        "-" if line.top1 is None else f"{line.top1:.1f}" + ("" if line.data == "ImageNet" else "*"),
        "-" if line.top5 is None else f"{line.top5:.1f}",
        ", ".join(line.weights) or "-",
    ]


def _bytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} KB"


def _details(name: str) -> None:
    from pocketvision.cli.terminal import table
    from pocketvision.models.figures import anatomy
    from pocketvision.report.block import draw_block

    shape = anatomy(name)
    print(f"\nIts block ({shape.block_name}):\n\n{draw_block(shape)}\n")
    rows = [
        [layer.name, layer.kind, " x ".join(map(str, layer.output)), f"{layer.params:,}", f"{layer.macs:,}"]
        for layer in shape.layers
    ]
    table(["layer", "kind", "output", "params", "MACs"], rows)
