"""How the result of `models` is shown."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pocketvision.models.figures import CatalogueLine


def show(
    lines: "list[CatalogueLine]",
    given: Mapping[str, Any],
    *,
    csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values on stdout.")] = False,
) -> None:
    """Print the catalogue, or one net in detail."""
    if csv:
        _comma_separated(lines)
        return
    _tables(lines, one=given["name"] is not None)
    if given["plot"] is not None:
        typer.echo(f"\nDrawn: {given['plot']}", err=True)


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
