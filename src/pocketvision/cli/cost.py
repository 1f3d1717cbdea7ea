"""How the result of `cost` is shown."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pocketvision.cost.verb import CostOf


def show(
    found: "CostOf",
    *,
    layers: Annotated[bool, typer.Option("--layers", help="Print every layer too.")] = False,
) -> None:
    """Print totals and kinds of layers; every layer where that is asked."""
    _totals(found)
    _kinds(found)
    if layers:
        _layers(found)
    else:
        print("\n`--layers` lists every layer.")


def _totals(found: "CostOf") -> None:
    from pocketvision.words import bytes_text

    groups = "" if found.groups is None else f", {found.groups} groups"
    depth = "" if found.depth is None else f" depth {found.depth}"
    print(f"{found.name} {found.width:g}{depth} @ {found.resolution}px, {found.num_classes} classes{groups}\n")
    lines = [
        ("parameters", f"{found.params:,}"),
        ("  without batch norms", f"{found.params_without_norms:,}"),
        ("multiply-adds (MACs)", f"{found.macs:,}"),
        ("weights, float32", bytes_text(found.weight_bytes)),
        ("weights, int8", bytes_text(found.weight_bytes_int8)),
        ("peak memory, 32 bit", bytes_text(found.peak_activation_bytes)),
        ("peak memory, 16 bit", bytes_text(found.peak_activation_bytes_16bit)),
        ("peak memory,  8 bit", bytes_text(found.peak_activation_bytes_int8)),
    ]
    for name, value in lines:
        print(f"{name:<24}{value}")
    shapes = {layer.name: "x".join(map(str, layer.output)) for layer in found.layers}
    kinds = {layer.name: layer.kind for layer in found.layers}
    alive = " + ".join(shapes[name] for name in found.peak_tensors)
    print(f"{'  is reached in':<24}{found.peak_layer} ({kinds[found.peak_layer]}), which holds {alive}")
    if found.peak_least_bytes < found.peak_activation_bytes:
        print(f"{'  not proven least':<24}some order of layers may need down to {bytes_text(found.peak_least_bytes)}")


def _kinds(found: "CostOf") -> None:
    from pocketvision.cli.terminal import table

    rows = [
        [
            kind.kind,
            f"{kind.layers}",
            f"{kind.macs:,}",
            f"{kind.macs_percent:.2f}",
            f"{kind.weights:,}",
            f"{kind.weights_percent:.2f}",
            f"{kind.params:,}",
        ]
        for kind in found.kinds
    ]
    print()
    table(["kind", "layers", "MACs", "%", "weights", "%", "params"], rows)
    print("\nMACs: multiply-adds of one image; weights: without biases and batch norms; params: all learned values.")


def _layers(found: "CostOf") -> None:
    from pocketvision.cli.terminal import table

    rows = [
        [layer.name, layer.kind, "x".join(map(str, layer.output)), f"{layer.params:,}", f"{layer.macs:,}"]
        for layer in found.layers
    ]
    print()
    table(["layer", "kind", "output", "params", "MACs"], rows)
