"""How the result of `compress` is shown."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketvision.values import Trial
    from pocketvision.verbs.compress import Compressing


def _trial(one: "Trial") -> list[str]:
    strength = "as rounded" if one.strength is None else f"{one.strength:.3g}"
    return [strength, f"{one.download_bytes:,}", f"{one.accuracy:.1%}", "written" if one.taken else ""]


def show(found: "Compressing") -> None:
    """Print the steps, then the layers."""
    from pocketvision.cli.terminal import table

    rows = [
        [
            stage.steps,
            f"{stage.weight_bytes:,}",
            f"{stage.packed_bytes:,}",
            f"{stage.validation.value:.1%}" if stage.validation else "no labels",
            f"{stage.same_answer:.1%}",
        ]
        for stage in found.stages
    ]
    table(["steps", "weight bytes", "after deflate", "validation", "same as float"], rows)
    print(f"\n{found.images} validation images.")
    if found.layers:
        _layers(found)
    if found.trials:
        print()
        table(["strength", f"bytes under {found.compressor}", "validation", ""], [_trial(one) for one in found.trials])
    if found.file is not None:
        strength = "" if found.strength is None else f", strength {found.strength:.3g}"
        print(f"\n{found.file}: {found.download_bytes:,} bytes under {found.compressor}{strength}")


def _layers(found: "Compressing") -> None:
    from pocketvision.cli.terminal import table

    print("Layer by layer, noise in decibels (more is better):")
    layers = [
        [loss.layer, loss.kind, f"{loss.noise_db:.1f}", f"{loss.alone_db:.1f}", f"{loss.alone_same:.1%}"]
        for loss in found.layers
    ]
    table(["layer", "kind", "in the int8 net", "logits, if alone int8", "same, if alone int8"], layers)
