"""Recognizes whose names a state dict has, and gives its tensors ours: nothing left over, nothing missing."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import WeightsError
from pocketvision.weights.layouts import authors, keras, lukemelas, timm, torchvision
from pocketvision.weights.layouts.layers import Leaf, Match, Padding, leaves

Array = NDArray[Any]
Layout = Literal["torchvision", "timm", "lukemelas", "keras", "authors"]
_COUNTER = "num_batches_tracked"
_HEAD = "classifier."
_SHOWN = 5
_STATISTICS = ("weight", "bias", "running_mean", "running_var")


class Renamed(NamedTuple):
    """A state dict under our names, in PyTorch's layout, and what shapes alone do not tell of it."""

    name: str
    layout: Layout
    tensors: dict[str, Array]
    norm_eps: float
    padding: Padding


def rename(tensors: Mapping[str, Array], file: str, architecture: str = "") -> Renamed:
    """Tell which net of ours a state dict is and put it under our names.

    Left out are batch norm counters and auxiliary heads. Any other name that the net has not, and every name that it
    lacks, is a `WeightsError`, but for a classifier that is not there at all; so is a state dict of a net we have not.
    `file`, without its folder, is for messages; `architecture`, or else that name, tells timm's weights from
    TensorFlow, whose padding and epsilon shapes do not show. Keras's names are
    `layer/variable`; its arrays are turned from channels last, a bias before a batch norm goes into its mean, and a
    batch norm without scale gets ones.
    """
    if keras.is_keras(tensors):
        tensors = keras.to_torch(tensors)
    layout, match = _recognize(tensors, file, architecture)
    ours = leaves(match.name, match.groups)
    kept = {
        key: value
        for key, value in tensors.items()
        if not key.endswith(f".{_COUNTER}") and not key.startswith(match.dropped or ("\0",))
    }
    if layout == "keras":
        kept = _with_scales(kept, match.layers)
        kept = _without_biases(kept, match.layers, ours)
    keys = _keys(match, ours)
    keys = _without_head(keys, kept)
    _check(kept, keys, f"{file} looks like {layout}'s {match.name}, but")
    renamed = {our: _fitted(kept[their], leaf) for their, (our, leaf) in keys.items()}
    return Renamed(match.name, layout, renamed, match.norm_eps, match.padding)


def _recognize(tensors: Mapping[str, Array], file: str, architecture: str) -> tuple[Layout, Match]:
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    found: tuple[tuple[Layout, Match | None], ...] = (
        ("keras", keras.match(shapes)),
        ("torchvision", torchvision.match(shapes)),
        ("timm", timm.match(shapes, file, architecture)),
        ("lukemelas", lukemelas.match(shapes)),
        ("authors", authors.match(shapes, file)),
    )
    for layout, match in found:
        if match is not None:
            return layout, match
    raise WeightsError(
        f"{file} holds no known layout. Known: our own .safetensors files, and torchvision's, timm's, Keras "
        f"Applications', efficientnet_pytorch's and the authors' names for nets of the catalogue. Its first names: "
        f"{', '.join(sorted(tensors)[:_SHOWN])}"
    )


def _keys(match: Match, ours: Iterable[Leaf]) -> dict[str, tuple[str, Leaf]]:
    """Map each of their names to ours and its layer."""
    keys: dict[str, tuple[str, Leaf]] = {}
    for layer, leaf in zip(match.layers, ours, strict=True):
        parts = _STATISTICS if leaf.kind == "norm" else ("weight", "bias")[: 1 + leaf.biased]
        keys |= {f"{layer}.{part}": (f"{leaf.name}.{part}", leaf) for part in parts}
    return keys


def _without_head(keys: dict[str, tuple[str, Leaf]], found: Iterable[str]) -> dict[str, tuple[str, Leaf]]:
    """Leave out the layers of the classifier that are absent, where its last one is: a file without an answer."""
    ours = {leaf.name: [their for their, (_, other) in keys.items() if other is leaf] for _, leaf in keys.values()}
    absent = {name for name, theirs in ours.items() if name.startswith(_HEAD) and not set(theirs) & set(found)}
    last = [*ours][-1]
    if last not in absent:
        return keys
    return {their: (our, leaf) for their, (our, leaf) in keys.items() if leaf.name not in absent}


def _check(found: Iterable[str], wanted: Iterable[str], start: str) -> None:
    complaints = []
    if unknown := sorted(set(found) - set(wanted)):
        complaints.append(f"holds {len(unknown)} too many: {', '.join(unknown[:_SHOWN])}")
    if missing := sorted(set(wanted) - set(found)):
        complaints.append(f"lacks {len(missing)}: {', '.join(missing[:_SHOWN])}")
    if complaints:
        raise WeightsError(f"{start} {'; and '.join(complaints)}")


def _fitted(value: Array, leaf: Leaf) -> Array:
    """Turn a 1x1 convolution into the linear layer it is, or back; a kernel over whole maps is flattened."""
    if leaf.kind == "linear" and value.ndim == 4 and value.size:
        return value.reshape(len(value), -1)
    if leaf.kind == "conv" and value.ndim == 2:
        return value.reshape(*value.shape, 1, 1)
    return value


def _with_scales(tensors: dict[str, Array], layers: Iterable[str]) -> dict[str, Array]:
    """Give ones to batch norms that were trained without a scale."""
    full = dict(tensors)
    for layer in layers:
        if f"{layer}.running_mean" in full and f"{layer}.weight" not in full:
            full[f"{layer}.weight"] = np.ones_like(full[f"{layer}.running_mean"])
    return full


def _without_biases(tensors: dict[str, Array], layers: tuple[str, ...], ours: tuple[Leaf, ...]) -> dict[str, Array]:
    """Take a convolution's bias, where ours has none, off the mean of the batch norm behind it: the same answers."""
    full = dict(tensors)
    for place, (layer, leaf) in enumerate(zip(layers, ours, strict=True)):
        if leaf.kind == "conv" and not leaf.biased:
            bias, mean = f"{layer}.bias", f"{layers[place + 1]}.running_mean"
            if bias in full and mean in full and full[bias].shape == full[mean].shape:
                full[mean] = full[mean] - full.pop(bias)
    return full
