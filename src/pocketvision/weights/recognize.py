"""Tells which net of the catalogue, at which width, a file's shapes are those of."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import WeightsError
from pocketvision.models.catalogue import build_spec, family_of
from pocketvision.models.figures import figures
from pocketvision.values import ModelSpec
from pocketvision.weights.sources import sources
from pocketvision.weights.tflite import Activation, Levels, TfliteLayer, TfliteNet
from pocketvision.weights.tflite_file import Array
from pocketvision.words import some

if TYPE_CHECKING:
    from torch import nn

    from pocketvision.models.blocks import Net

Shape = tuple[int, ...]
T = TypeVar("T", bound=np.generic)
_HEAD = "classifier."
_COUNTER = "num_batches_tracked"
_DETECTORS = ("mobilenet_v1", "mobilenet_v2")
"""Backbones of the detectors that TensorFlow published as SSD and SSDLite."""
_STEM = 32
"""Channels of their first layer at width 1."""
_NEAREST = 12
"""So many nets of a similar number of weights are held against a file before it is called unknown."""


class Setting(NamedTuple):
    """A net of the catalogue at one width; `values` are its weights and biases with batch norms folded."""

    name: str
    width: float
    groups: int | None
    values: int
    depth: int | None = None


class Slot(NamedTuple):
    """One layer of a net of ours, as a file of folded layers must fill it; classifiers are 1x1 convolutions here."""

    name: str
    shape: Shape
    stride: int
    activation: Activation
    padded: bool
    linear: bool


class Recognized(NamedTuple):
    """What a file of folded layers holds, under our names."""

    spec: ModelSpec
    tensors: dict[str, Array]
    levels: dict[str, Levels]
    """Of each convolution and fully connected layer, where the file is quantized."""


@cache
def settings() -> tuple[Setting, ...]:
    """Return every net at every width of which weights may have been published."""
    return tuple(
        dict.fromkeys(Setting(line.name, line.width, line.groups, line.float_bytes // 4) for line in figures())
    )


def widths(name: str) -> tuple[float, ...]:
    """Return the widths at which weights of a net may have been published."""
    counted = {setting.width for setting in settings() if setting.name == name}
    return tuple(sorted(counted | {source.width for source in sources() if source.name == name} | {1.0}))


def _nearest(values: int, features: int, classes: int) -> list[Setting]:
    """Return the settings by how near their number of weights is to a file's, the nearest first.

    Settings are counted with 1000 classes, so that the file is too.
    """
    counted = values + (1000 - classes) * (features + 1)
    return sorted(settings(), key=lambda setting: abs(setting.values - counted))


def skeleton(name: str, width: float, num_classes: int, groups: int | None = None, depth: int | None = None) -> "Net":
    """Build a net of shapes without values, on torch's meta device."""
    return skeleton_of(ModelSpec(name, width, num_classes=num_classes, groups=groups, depth=depth))


def skeleton_of(spec: ModelSpec) -> "Net":
    """Build the net of a spec of shapes without values, at its usual resolution and padding."""
    import torch

    family = family_of(spec.name)
    rule: Any = family.paddings[0]
    with torch.device("meta"):
        net = build_spec(replace(spec, resolution=family.resolution, padding=rule))
    return net.eval()


def slots(
    name: str, width: float, num_classes: int, groups: int | None = None, depth: int | None = None
) -> tuple[Slot, ...]:
    """Return a net's layers in order."""
    return slots_of(ModelSpec(name, width, num_classes=num_classes, groups=groups, depth=depth))


@cache
def slots_of(spec: ModelSpec) -> tuple[Slot, ...]:
    """Return the layers of a spec's net in order."""
    return tuple(_slots(skeleton_of(spec), ""))


def _slots(module: "nn.Module", prefix: str) -> Iterator[Slot]:
    from torch import nn

    from pocketvision.models.blocks import Conv2dSame

    children = list(module.named_children())
    for place, (name, child) in enumerate(children):
        if isinstance(child, nn.Conv2d | nn.Linear):
            following = [other for _, other in children[place + 1 :] if not isinstance(other, nn.BatchNorm2d)]
            activation = _activation(following[0] if following else None)
            if isinstance(child, nn.Conv2d):
                padded = isinstance(child, Conv2dSame) or any(int(side) for side in child.padding)
                yield Slot(prefix + name, tuple(child.weight.shape), int(child.stride[0]), activation, padded, False)
            else:
                yield Slot(prefix + name, (*child.weight.shape, 1, 1), 1, activation, False, True)
        else:
            yield from _slots(child, f"{prefix}{name}.")


def _activation(module: "nn.Module | None") -> Activation:
    from torch import nn

    if isinstance(module, nn.ReLU6):
        return "relu6"
    return "relu" if isinstance(module, nn.ReLU) else "none"


def _additions(spec: ModelSpec) -> int:
    """Count the sums of two maps in a net, by running it on no values."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Sums(TorchDispatchMode):  # type: ignore[no-untyped-call]
        count = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.count += func in (torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor)
            return func(*args, **(kwargs or {}))

    net, side = skeleton_of(spec), family_of(spec.name).resolution
    with Sums() as sums, torch.no_grad():  # type: ignore[no-untyped-call]
        net(torch.empty(1, 3, side, side, device="meta"))
    return int(sums.count)


# ---------------------------------------------------------------- folded layers


def recognize_layers(found: TfliteNet, file: str, known: ModelSpec | None = None) -> Recognized:
    """Match folded layers with a net's, in order: with those of `known`, else of the catalogue at published widths.

    `WeightsError` says where the nearest net parts from the file.
    """
    last = found.layers[-1]
    values = sum(layer.weight.size + layer.bias.size for layer in found.layers)
    nearest: tuple[float, str] = (-math.inf, "")
    near = _nearest(values, last.weight[0].size, found.num_classes)[:_NEAREST]
    usual = _specs(near, found.num_classes) if found.detector is None else _detectors(found)
    for spec in usual if known is None else [_counted(known, found.num_classes)]:
        expected = slots_of(spec)
        difference = _difference(found.layers, expected)
        if not difference and (sums := _additions(spec)) != found.shortcuts:
            difference = f"it has {found.shortcuts} additions, not {sums}"
        if not difference:
            padding = _padding(found.layers, spec.name, file)
            whole = replace(spec, resolution=found.resolution, padding=padding)
            return Recognized(whole, *_named(found.layers, expected))
        words = f"{spec.name} of width {spec.width:g}, but {difference}"
        nearest = max(nearest, (_alike(found.layers, expected), words))
    raise WeightsError(
        f"{file} holds no net of the catalogue, which `pocketvision models` lists. It is nearest to {nearest[1]}"
    )


def _specs(near: Sequence[Setting], classes: int) -> Iterator[ModelSpec]:
    for one in near:
        yield ModelSpec(one.name, one.width, num_classes=classes, groups=one.groups, depth=one.depth)


def _detectors(found: TfliteNet) -> Iterator[ModelSpec]:
    """Yield TensorFlow's published detectors with a file's maps."""
    from pocketvision.models.blocks import scale

    first = len(found.layers[0].bias)
    for name in _DETECTORS:
        for width in (one for one in widths(name) if scale(_STEM, one) == first):
            yield ModelSpec(name, width, num_classes=found.num_classes, detector=found.detector)


def _counted(known: ModelSpec, classes: int) -> ModelSpec:
    """Return a net with as many outputs as a file's last layer; a detector's has those of several anchors."""
    plain = ModelSpec(known.name, known.width, num_classes=classes, groups=known.groups, depth=known.depth)
    return plain if known.detector is None else replace(known, resolution=plain.resolution)


def _difference(layers: Sequence[TfliteLayer], expected: Sequence[Slot]) -> str:
    for place, (layer, slot) in enumerate(zip(layers, expected, strict=False)):
        here, there = _key(layer), (slot.shape, slot.stride, slot.activation)
        if here != there:
            return f"layer {place} ('{layer.name}') has {_words(*here)} for {_words(*there)}"
        if here[0][2] > 1 and slot.padded == (layer.padding == "none"):
            kind = "pads nothing" if slot.padded else "pads"
            return f"layer {place} ('{layer.name}') {kind}, unlike the net's"
    return "" if len(layers) == len(expected) else f"it has {len(layers)} layers, not {len(expected)}"


def _key(layer: TfliteLayer) -> tuple[Shape, int, Activation]:
    return layer.weight.shape + (1, 1) * (layer.weight.ndim == 2), layer.stride, layer.activation


def _alike(layers: Sequence[TfliteLayer], expected: Sequence[Slot]) -> int:
    """Count the layers that both have, wherever they stand, less those that only one has."""
    here = Counter(_key(layer) for layer in layers)
    there = Counter((slot.shape, slot.stride, slot.activation) for slot in expected)
    return (here & there).total() - (here - there).total() - (there - here).total()


def _words(shape: Shape, stride: int, activation: str) -> str:
    return f"{'x'.join(map(str, shape))} stride {stride} activation {activation}"


def _padding(layers: Sequence[TfliteLayer], name: str, file: str) -> Literal["symmetric", "same"]:
    rules = {layer.padding for layer in layers} - {"either", "none"}
    if len(rules) == 2:
        raise WeightsError(f"{file} mixes TensorFlow's padding rule with the symmetric one; no net of ours does")
    allowed = family_of(name).paddings
    wanted: Literal["symmetric", "same"] = "symmetric" if rules == {"symmetric"} else "same"
    if wanted in allowed:
        return wanted
    if rules:
        raise WeightsError(f"{file} pads by the rule '{wanted}', and {name} is known with {' or '.join(allowed)} only")
    return "symmetric"


def _named(layers: Sequence[TfliteLayer], expected: Sequence[Slot]) -> tuple[dict[str, Array], dict[str, Levels]]:
    tensors: dict[str, Array] = {}
    levels: dict[str, Levels] = {}
    channels = 0
    for layer, slot in zip(layers, expected, strict=True):
        tensors[f"{slot.name}.weight"] = _ordered(layer.weight, slot, channels)
        tensors[f"{slot.name}.bias"] = layer.bias
        if layer.levels is not None:
            levels[slot.name] = replace(layer.levels, weight=_ordered(layer.levels.weight, slot, channels))
        channels = len(layer.bias)
    return tensors, levels


def _ordered(weight: NDArray[T], slot: Slot, channels: int) -> NDArray[T]:
    """Shape weights as our parameter; flattened maps come with their channels fastest, and ours slowest."""
    if not slot.linear:
        return weight.reshape(slot.shape)
    outputs, inputs = slot.shape[:2]
    side = math.isqrt(inputs // channels) if channels else 1
    if side < 2 or side * side * channels != inputs:
        return weight.reshape(outputs, inputs)
    return np.ascontiguousarray(weight.reshape(outputs, side, side, channels).transpose(0, 3, 1, 2)).reshape(
        outputs, -1
    )


# ---------------------------------------------------------------- state dicts


def last_weight(name: str) -> str:
    """Return the name of the weight of a net's last layer."""
    return f"{slots(name, 1.0, 1000)[-1].name}.weight"


def recognize_state(name: str, shapes: Mapping[str, Shape], file: str) -> ModelSpec:
    """Find the width at which our net has these state dict shapes, batch norm counters left out.

    Without a classifier it counts as one of 1000 classes. `WeightsError` names what is missing, left over and
    misshapen against the nearest width.
    """
    head = last_weight(name)
    classes = shapes[head][0] if head in shapes else 1000
    nearest: tuple[int, str] | None = None
    chosen = {(setting.width, setting.groups) for setting in settings() if setting.name == name}
    chosen |= {(width, None) for width in widths(name)}
    for width, groups in sorted(chosen, key=str):
        state = skeleton(name, width, classes, groups).state_dict()
        wanted = {key: tuple(value.shape) for key, value in state.items() if not key.endswith(_COUNTER)}
        if head not in shapes:
            wanted = {key: shape for key, shape in wanted.items() if key in shapes or not key.startswith(_HEAD)}
        if wanted == dict(shapes):
            return ModelSpec(name, width, family_of(name).resolution, classes, groups=groups)
        agreed = sum(shapes.get(key) == shape for key, shape in wanted.items())
        if nearest is None or agreed > nearest[0]:
            nearest = agreed, f"nearest is width {width:g}: {differences(wanted, shapes)}"
    assert nearest is not None
    known = ", ".join(f"{width:g}" for width in widths(name))
    raise WeightsError(f"{file} looks like {name}, but fits none of its widths {known}; {nearest[1]}")


def differences(wanted: Mapping[str, Shape], found: Mapping[str, Shape]) -> str:
    """Say in words what is missing, left over and misshapen among named tensors; empty where all fit."""
    complaints = []
    if missing := sorted(set(wanted) - set(found)):
        complaints.append(f"missing in the file: {some(missing)}")
    if extra := sorted(set(found) - set(wanted)):
        complaints.append(f"unknown to the net: {some(extra)}")
    both = sorted(set(wanted) & set(found))
    if odd := [f"{key} is {list(found[key])}, not {list(wanted[key])}" for key in both if found[key] != wanted[key]]:
        complaints.append(f"of another shape: {some(odd)}")
    return "; ".join(complaints)
