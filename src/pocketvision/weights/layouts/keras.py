"""Keras Applications' names for our layers, and its arrays in PyTorch's layout.

Sources: keras/src/applications/{mobilenet,mobilenet_v2,mobilenet_v3,vgg16,vgg19,resnet,inception_v3,xception,
efficientnet}.py.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from pocketvision.errors import WeightsError
from pocketvision.weights.layouts.layers import Match, Pairs, Shapes, blocks, excites, highest, numbered

Array = NDArray[Any]
_VARIABLES = {
    "kernel": "weight",
    "depthwise_kernel": "weight",
    "pointwise_kernel": "weight",
    "W": "weight",
    "bias": "bias",
    "b": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "running_mean": "running_mean",
    "running_std": "running_var",
}
"""Keras's words for a layer's variables; W, b and the running ones (the last a variance, for all its name) are those
of its first release, from which some files are."""
_OLD_LAYERS = {"convolution2d": "conv2d", "batchnormalization": "batch_normalization"}
_PREPROCESSING = ("normalization.", "rescaling.", "rescaling_1.")
_HEADS = ("predictions", "probs", "fc1000", "logits", "conv_preds")
_TENSORFLOW_EPS = 1e-3
_RESNETS: dict[tuple[int, ...], int] = {(3, 4, 6, 3): 50, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152}


def is_keras(keys: Mapping[str, object]) -> bool:
    """Tell whether names are `layer/variable`."""
    return any("/" in key for key in keys)


def to_torch(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Turn `layer/variable` names into `layer.variable` in PyTorch's words, and arrays into PyTorch's layout.

    Layers are named as today's Keras names them: in lower case, and without the slashes of TensorFlow's scopes.
    """
    separable = {_split(key)[0] for key in tensors if "pointwise_kernel" in key}
    found = {}
    for key, value in tensors.items():
        layer, variable = _split(key)
        if layer in separable and variable in ("depthwise_kernel", "pointwise_kernel"):
            layer = f"{layer}.{variable.removesuffix('_kernel')}"
        name = f"{layer}.{_VARIABLES.get(variable, variable)}"
        if name in found:
            raise WeightsError(f"'{key}' and another array are both {name} here")
        found[name] = _laid_out(layer, value)
    return found


def _split(key: str) -> tuple[str, str]:
    layer, _, variable = key.partition(":")[0].rpartition("/")
    # Keras's first release put the layer's name before a variable's, and all put a number behind a repeated one.
    variable = re.sub(r"_\d+$", "", variable.removeprefix(f"{layer}_"))
    layer = re.sub(r"batchnorm$", "bn", layer.replace("/", "_").lower())
    for old, new in _OLD_LAYERS.items():
        layer = re.sub(rf"^{old}(?=_\d|$)", new, layer)
    return layer, variable


def _laid_out(layer: str, value: Array) -> Array:
    if value.ndim == 4:
        # One output for many inputs is a depthwise kernel: no net here has a convolution with a single filter, but for
        # the 1x1 convolution that is the classifier of a yes or no.
        if value.shape[3] == 1 and value.shape[2] > 1 and value.shape[:2] != (1, 1):
            return value.transpose(2, 3, 0, 1)
        return value.transpose(3, 2, 0, 1)
    if layer == "fc1" and value.ndim == 2 and len(value) == 7 * 7 * 512:
        # VGG flattens its last maps, which lie channels last in Keras.
        return value.reshape(7, 7, 512, value.shape[1]).transpose(3, 2, 0, 1).reshape(value.shape[1], -1)
    return value.transpose() if value.ndim == 2 else value


def match(shapes: Shapes) -> Match | None:
    """Recognize a net by its layers' names, as `to_torch` writes them; None if it is none of Keras's."""
    for mark, recognize in _MARKS.items():
        if f"{mark}.weight" in shapes or f"{mark}.running_mean" in shapes:
            return recognize(shapes)
    return _inception_v3(shapes) if len(_numbers(shapes, "conv2d", "weight")) > 50 else None


def _head(shapes: Shapes) -> str:
    """Return what this file calls the last layer, which several releases have named anew."""
    return next((head for head in _HEADS if f"{head}.weight" in shapes), _HEADS[0])


def _mobilenet_v1(shapes: Shapes) -> Match:
    names = ["conv1", "conv1_bn"]
    for block in range(1, 14):
        names += [f"conv_{kind}_{block}{part}" for kind in ("dw", "pw") for part in ("", "_bn")]
    return Match("mobilenet_v1", (*names, _head(shapes)), _TENSORFLOW_EPS, "same")


def _mobilenet_v2(shapes: Shapes) -> Match:
    names = ["conv1", "bn_conv1"]
    for block in range(17):
        prefix = f"block_{block}" if block else "expanded_conv"
        kinds = ("expand", "depthwise", "project") if block else ("depthwise", "project")
        names += [f"{prefix}_{kind}{part}" for kind in kinds for part in ("", "_bn")]
    return Match("mobilenet_v2", (*names, "conv_1", "conv_1_bn", _head(shapes)), _TENSORFLOW_EPS, "same")


def _mobilenet_v3(shapes: Shapes) -> Match:
    name = "mobilenet_v3_large" if "expanded_conv_14_project.weight" in shapes else "mobilenet_v3_small"
    if not any("squeeze_excite" in key for key in shapes):
        name += "_minimalistic"
    _, *body, _ = blocks(name)
    names = ["conv", "conv_bn"]
    for number, block in enumerate(body):
        prefix = f"expanded_conv_{number}" if number else "expanded_conv"
        convolutions = (prefix + part for part in _v3_parts(block))
        for pair in block:
            if excites(pair):
                names += [f"{prefix}_squeeze_excite_conv", f"{prefix}_squeeze_excite_conv_1"]
            else:
                conv = next(convolutions)
                names += [conv, f"{conv}_bn"]
    return Match(name, (*names, "conv_1", "conv_1_bn", "conv_2", _head(shapes)), _TENSORFLOW_EPS, "same")


def _v3_parts(block: Pairs) -> tuple[str, ...]:
    return ("_depthwise", "_project") if block[0][0].depthwise else ("_expand", "_depthwise", "_project")


def _efficientnet(shapes: Shapes) -> Match:
    _, *body, _ = blocks("efficientnet_b0")
    names = ["stem_conv", "stem_bn"]
    for (stage, place), block in zip(numbered((1, 2, 2, 3, 3, 4, 1), start=1), body, strict=True):
        prefix = f"block{stage}{'abcd'[place]}_"
        parts = ["dwconv", "bn", "se_reduce", "se_expand", "project_conv", "project_bn"]
        parts = parts if block[0][0].depthwise else ["expand_conv", "expand_bn", *parts]
        names += [prefix + part for part in parts]
    layers = (*names, "top_conv", "top_bn", _head(shapes))
    return Match("efficientnet_b0", layers, _TENSORFLOW_EPS, "same", dropped=_PREPROCESSING)


def _vgg(shapes: Shapes) -> Match:
    depth = 19 if "block5_conv4.weight" in shapes else 16
    stages = (2, 2, 4, 4, 4) if depth == 19 else (2, 2, 3, 3, 3)
    body = [f"block{stage}_conv{place + 1}" for stage, place in numbered(stages, start=1)]
    return Match(f"vgg{depth}", (*body, "fc1", "fc2", _head(shapes)))


def _resnet(shapes: Shapes) -> Match | None:
    counts = tuple(highest(shapes, f"conv{stage}_block") for stage in range(2, 6))
    depth = _RESNETS.get(counts)
    if depth is None:
        return None
    names = ["conv1_conv", "conv1_bn"]
    for stage, place in numbered(counts, start=2):
        convolutions = (1, 2, 3) if place else (1, 2, 3, 0)
        prefix = f"conv{stage}_block{place + 1}"
        names += [f"{prefix}_{number}_{part}" for number in convolutions for part in ("conv", "bn")]
    # Its units halve the maps in their first 1x1 convolution.
    return Match(f"resnet{depth}_paper", (*names, _head(shapes)), 1.001e-5)


def _inception_v3(shapes: Shapes) -> Match:
    names = _unnamed(shapes, 94)
    return Match("inception_v3", (*names, _head(shapes)), _TENSORFLOW_EPS, "same")


def _xception(shapes: Shapes) -> Match:
    skips = _unnamed(shapes, 4)
    names = ["block1_conv1", "block1_conv1_bn", "block1_conv2", "block1_conv2_bn"]
    for block in range(2, 15):
        shrinks = block in (2, 3, 4, 13)
        for unit in range(1, 3 if shrinks or block == 14 else 4):
            layer = f"block{block}_sepconv{unit}"
            names += [f"{layer}.depthwise", f"{layer}.pointwise", f"{layer}_bn"]
        if shrinks:
            names += [skips.pop(0), skips.pop(0)]
    return Match("xception", (*names, _head(shapes)), _TENSORFLOW_EPS, "same")


def _unnamed(shapes: Shapes, count: int) -> list[str]:
    """Return the names of convolutions and norms that nobody named, in the order in which Keras numbered them.

    It counts all layers of a session, so that the first one of a net may have any number; a bare name is number 0.
    """
    names = []
    first = [min(_numbers(shapes, *kind), default=0) for kind in _KINDS]
    for place in range(count):
        for (layer, _), start in zip(_KINDS, first, strict=True):
            names.append(f"{layer}_{start + place}" if start + place else layer)
    return names


_KINDS = (("conv2d", "weight"), ("batch_normalization", "running_mean"))


def _numbers(shapes: Shapes, layer: str, variable: str) -> set[int]:
    found = (re.fullmatch(rf"{layer}(?:_(\d{{1,9}}))?\.{variable}", key) for key in shapes)
    return {int(counted[1] or 0) for counted in found if counted}


_MARKS: dict[str, Callable[[Shapes], Match | None]] = {
    "conv_pw_13": _mobilenet_v1,
    "block_16_project": _mobilenet_v2,
    "expanded_conv_1_expand": _mobilenet_v3,
    "block7a_project_conv": _efficientnet,
    "block5_conv3": _vgg,
    "conv2_block1_1_conv": _resnet,
    "block14_sepconv2.pointwise": _xception,
}
