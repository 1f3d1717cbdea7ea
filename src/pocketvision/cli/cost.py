"""The verb `cost`."""

from typing import Annotated

import typer

from pocketvision.cli import options as o


def cost(
    name: Annotated[str, typer.Argument(help="A net's name, such as mobilenet_v2 or mobilenet_v1_0.25_128.")],
    width: o.Width = None,
    resolution: o.Resolution = None,
    num_classes: Annotated[int, typer.Option(help="Outputs of the classifier.")] = 1000,
    json: o.Json = False,
) -> None:
    """Count a net: parameters, multiply-adds, bytes, peak activation memory."""
    import pocketvision
    from pocketvision.cli.terminal import emit, table

    found = pocketvision.cost(name, width=width, resolution=resolution, num_classes=num_classes)
    if json:
        emit(found)
        return
    rows = [
        [layer.name, layer.kind, "x".join(map(str, layer.output)), f"{layer.params:,}", f"{layer.macs:,}"]
        for layer in found.layers
    ]
    table(["layer", "kind", "output", "params", "multiply-adds"], rows)
    print(f"\n{found.name} {found.width:g} @ {found.resolution}px, {found.num_classes} classes")
    print(f"  parameters             {found.params:,}")
    print(f"  multiply-adds (MACs)   {found.macs:,}")
    print(f"  weights                {found.weight_bytes:,} bytes as float32, {found.weight_bytes_int8:,} as int8")
    peak, small = found.peak_activation_bytes, found.peak_activation_bytes_int8
    print(f"  peak activations       {peak:,} bytes as float32, {small:,} as int8")
