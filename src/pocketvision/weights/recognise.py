"""Tells which net of the catalogue, at which width, a file's shapes are those of."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from pocketvision.errors import WeightsError
from pocketvision.models.catalogue import build, names, published
from pocketvision.values import ModelSpec
from pocketvision.weights.tflite import Array, TfliteLayer, TfliteNet

if TYPE_CHECKING:
    from torch import nn

    from pocketvision.models.blocks import Net

Shape = tuple[int, ...]


class Slot(NamedTuple):
    """One layer of a net of ours, as a file of folded layers must fill it; classifiers are 1x1 convolutions here."""

    name: str
    shape: Shape
    stride: int
    activation: Literal["none", "relu", "relu6"]


def widths(name: str) -> tuple[float, ...]:
    """Return the widths at which weights of a net may have been published."""
    return tuple(sorted({line.width for line in published() if line.name == name} | {1.0}))


@cache
def slots(name: str, width: float, num_classes: int) -> tuple[tuple[Slot, ...], int]:
    """Return a net's layers in order, and its number of shortcuts."""
    net = skeleton(name, width, num_classes)
    return tuple(_slots(net, "")), sum(bool(getattr(module, "shortcut", False)) for module in net.modules())


def skeleton(name: str, width: float, num_classes: int) -> "Net":
    """Build a net of shapes without values, on torch's meta device."""
    import torch

    with torch.device("meta"):
        return build(name, width=width, num_classes=num_classes)


def _slots(module: "nn.Module", prefix: str) -> Iterator[Slot]:
    from torch import nn

    children = list(module.named_children())
    for place, (name, child) in enumerate(children):
        if isinstance(child, nn.Conv2d | nn.Linear):
            following = [other for _, other in children[place + 1 :] if not isinstance(other, nn.BatchNorm2d)]
            shape = tuple(child.weight.shape) + (1, 1) * isinstance(child, nn.Linear)
            stride = int(child.stride[0]) if isinstance(child, nn.Conv2d) else 1
            yield Slot(prefix + name, shape, stride, _activation(following[0] if following else None))
        else:
            yield from _slots(child, f"{prefix}{name}.")


def _activation(module: "nn.Module | None") -> Literal["none", "relu", "relu6"]:
    from torch import nn

    if isinstance(module, nn.ReLU6):
        return "relu6"
    return "relu" if isinstance(module, nn.ReLU) else "none"


def recognise_layers(found: TfliteNet, file: str) -> tuple[ModelSpec, dict[str, Array]]:
    """Match folded layers with a net's; return which net, and weights and biases under our names.

    `WeightsError` says where the nearest net parts from the file.
    """
    nearest = (-1, "")
    for name in names():
        for width in widths(name):
            expected, shortcuts = slots(name, width, found.num_classes)
            agreed, difference = _compare(found.layers, expected)
            if not difference and found.shortcuts != shortcuts:
                difference = f"it has {found.shortcuts} additions, not {shortcuts}"
            if not difference:
                spec = ModelSpec(name, width, found.resolution, found.num_classes, _padding(found.layers, file))
                return spec, _named(found.layers, expected)
            nearest = max(nearest, (agreed, f"{name} of width {width:g}, but {difference}"))
    raise WeightsError(f"{file} holds no net of the catalogue ({', '.join(names())}). It is nearest to {nearest[1]}")


def _compare(layers: Sequence[TfliteLayer], expected: Sequence[Slot]) -> tuple[int, str]:
    for place, (layer, slot) in enumerate(zip(layers, expected, strict=False)):
        shape = layer.weight.shape + (1, 1) * (layer.weight.ndim == 2)
        here = (shape, layer.stride, layer.activation)
        there = (slot.shape, slot.stride, slot.activation)
        if here != there:
            return place, f"layer {place} ('{layer.name}') has {_words(*here)} for {_words(*there)}"
    if len(layers) != len(expected):
        return min(len(layers), len(expected)), f"it has {len(layers)} layers, not {len(expected)}"
    return len(layers), ""


def _words(shape: Shape, stride: int, activation: str) -> str:
    return f"{'x'.join(map(str, shape))} stride {stride} activation {activation}"


def _padding(layers: Sequence[TfliteLayer], file: str) -> Literal["symmetric", "same"]:
    rules = {layer.padding for layer in layers} - {"either"}
    if len(rules) == 2:
        raise WeightsError(f"{file} mixes TensorFlow's padding rule with the symmetric one; no net of ours does")
    return "symmetric" if rules == {"symmetric"} else "same"


def _named(layers: Sequence[TfliteLayer], expected: Sequence[Slot]) -> dict[str, Array]:
    tensors: dict[str, Array] = {}
    for layer, slot in zip(layers, expected, strict=True):
        linear = slot.name.startswith("classifier.") and slot.shape[2:] == (1, 1)
        tensors[f"{slot.name}.weight"] = layer.weight.reshape(slot.shape[:2]) if linear else layer.weight
        tensors[f"{slot.name}.bias"] = layer.bias
    return tensors


def recognise_state(name: str, shapes: Mapping[str, Shape], file: str) -> ModelSpec:
    """Find the width at which our net has these state dict shapes, batch norm counters left out."""
    if "classifier.1.weight" not in shapes:
        raise WeightsError(f"{file} has no classifier")
    classes = shapes["classifier.1.weight"][0]
    difference = ""
    for width in widths(name):
        state = skeleton(name, width, classes).state_dict()
        wanted = {key: tuple(value.shape) for key, value in state.items() if not key.endswith("num_batches_tracked")}
        if wanted == shapes:
            return ModelSpec(name, width, num_classes=classes)
        difference = difference or _first_difference(wanted, shapes)
    known = ", ".join(f"{width:g}" for width in widths(name))
    raise WeightsError(f"{file} looks like {name}, but fits none of its widths {known}: {difference}")


def _first_difference(wanted: Mapping[str, Shape], found: Mapping[str, Shape]) -> str:
    if missing := sorted(set(wanted) - set(found)):
        return f"missing {', '.join(missing[:5])}"
    if extra := sorted(set(found) - set(wanted)):
        return f"left over {', '.join(extra[:5])}"
    key = next(key for key in wanted if wanted[key] != found[key])
    return f"'{key}' has shape {list(found[key])}"
