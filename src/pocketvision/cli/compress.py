"""The verb `compress`."""

from typing import Annotated

import typer

from pocketvision.cli import options as o


def compress(
    source: o.Source,
    data: Annotated[
        str | None,
        typer.Argument(help="Images to calibrate and judge on, for a FILE; where a RUN's own are now."),
    ] = None,
    steps: Annotated[
        str, typer.Option(help="Out of equalize, ranges, int8 and bias, with commas.")
    ] = "equalize,ranges,int8,bias",
    labels: o.FileLabels = None,
    json: o.Json = False,
) -> None:
    """Show what int8 costs the net of a run or a file, by steps and by layers; `export` writes it."""
    import pocketvision
    from pocketvision.cli.terminal import Terminal, emit, table

    found = pocketvision.compress(source, data, steps=steps, labels=labels, progress=Terminal())
    if json:
        emit(found)
        return
    rows = [
        [
            stage.steps,
            f"{stage.weight_bytes:,}",
            f"{stage.validation.value:.1%}" if stage.validation else "no labels",
            f"{stage.same_answer:.1%}",
        ]
        for stage in found.stages
    ]
    table(["steps", "weight bytes", "validation", "same as float"], rows)
    print(f"\n{found.images} validation images. Layer by layer, noise in decibels (more is better):")
    layers = [
        [loss.layer, loss.kind, f"{loss.noise_db:.1f}", f"{loss.alone_db:.1f}", f"{loss.alone_same:.1%}"]
        for loss in found.layers
    ]
    table(["layer", "kind", "in the int8 net", "logits, if alone int8", "same, if alone int8"], layers)
