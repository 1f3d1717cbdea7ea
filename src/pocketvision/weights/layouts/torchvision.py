"""Torchvision's names for our layers.

Sources: torchvision/models/{alexnet,vgg,googlenet,inception,resnet,squeezenet,mobilenetv2,mobilenetv3,shufflenetv2,
mnasnet,efficientnet}.py. Residual nets, VGG's body and Inception v3 have the same names in timm.
"""

from collections.abc import Callable, Iterable, Iterator

from pocketvision.models.catalogue import names
from pocketvision.weights.layouts.layers import Match, Pairs, Shapes, blocks, excites, highest, numbered, side

_TENSORFLOW_EPS = 1e-3


def match(shapes: Shapes) -> Match | None:
    """Recognize a state dict by its characteristic names; None if it is none of torchvision's."""
    for mark, recognize in _MARKS.items():
        if mark in shapes:
            return recognize(shapes)
    return None


# ---------------------------------------------------------------- plain chains


def _plain(shapes: Shapes) -> Match | None:
    if highest(shapes, "features.") == _LAST_OF_ALEXNET:
        layers = [f"features.{i}" for i in (0, 3, 6, 8, 10)] + [f"classifier.{i}" for i in (1, 4, 6)]
        return Match("alexnet_one_tower", tuple(layers))
    depth = vgg_depth(shapes)
    if depth is None:
        return None
    return Match(f"vgg{depth}", (*vgg_body(depth), *(f"classifier.{i}" for i in (0, 3, 6))))


_LAST_OF_ALEXNET = 10
VGG_STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def vgg_depth(shapes: Shapes) -> int | None:
    """Return how many layers a VGG has, by the place of its last convolution; None if it has batch norms."""
    last = highest(shapes, "features.")
    return next((depth for depth in VGG_STAGES if [*vgg_body(depth)][-1] == f"features.{last}"), None)


def vgg_body(depth: int) -> Iterator[str]:
    """Yield the convolutions' names; each takes two places, with its ReLU, and each stage's pool takes one."""
    place = 0
    for stage, _ in numbered(VGG_STAGES[depth]):
        yield f"features.{place + stage}"
        place += 2


def _squeezenet(shapes: Shapes) -> Match:
    first = shapes.get("features.0.weight", ())
    version, fires = (
        ("1_0", (3, 4, 5, 7, 8, 9, 10, 12)) if first[2:] == (7, 7) else ("1_1", (3, 4, 6, 7, 9, 10, 11, 12))
    )
    parts = [f"features.{i}.{part}" for i in fires for part in ("squeeze", "expand1x1", "expand3x3")]
    return Match(f"squeezenet{version}", ("features.0", *parts, "classifier.1"))


# ---------------------------------------------------------------- branches


def _units(prefix: str, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield f"{prefix}{name}.conv"
        yield f"{prefix}{name}.bn"


def _googlenet(_shapes: Shapes) -> Match:
    branches = ("branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4.1")
    modules = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
    body = [layer for module in modules for layer in _units(f"inception{module}.", branches)]
    layers = (*_units("", ("conv1", "conv2", "conv3")), *body, "fc")
    return Match("googlenet_bn", layers, _TENSORFLOW_EPS, dropped=("aux1.", "aux2."))


_STEM = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
_DOUBLE = ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
_SEVENS = ("branch7x7_1", "branch7x7_2", "branch7x7_3", *(f"branch7x7dbl_{i}" for i in range(1, 6)))
_A = ("branch1x1", "branch5x5_1", "branch5x5_2", *_DOUBLE, "branch_pool")
_B = ("branch3x3", *_DOUBLE)
_C = ("branch1x1", *_SEVENS, "branch_pool")
_D = ("branch3x3_1", "branch3x3_2", *(f"branch7x7x3_{i}" for i in range(1, 5)))
_E = (
    *("branch1x1", "branch3x3_1", "branch3x3_2a", "branch3x3_2b"),
    *("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3a", "branch3x3dbl_3b", "branch_pool"),
)
_MIXED = {"5b": _A, "5c": _A, "5d": _A, "6a": _B, "6b": _C, "6c": _C, "6d": _C, "6e": _C, "7a": _D, "7b": _E, "7c": _E}


def _inception_v3(_shapes: Shapes) -> Match:
    body = [layer for module, branches in _MIXED.items() for layer in _units(f"Mixed_{module}.", branches)]
    return Match("inception_v3", (*_units("", _STEM), *body, "fc"), _TENSORFLOW_EPS, dropped=("AuxLogits.",))


# ---------------------------------------------------------------- residual nets

_RESNETS: dict[tuple[int, ...], str] = {
    (2, 2, 2, 2): "18",
    (3, 4, 6, 3): "50",
    (3, 4, 23, 3): "101",
    (3, 8, 36, 3): "152",
}


def _resnet(shapes: Shapes) -> Match | None:
    counts = tuple(highest(shapes, f"layer{stage}.") + 1 for stage in (1, 2, 3, 4))
    bottleneck = "layer1.0.conv3.weight" in shapes
    depth = _RESNETS.get(counts)
    if depth is None:
        return None
    if not bottleneck:
        name = "resnet34" if depth == "50" else f"resnet{depth}"
    else:
        outputs, inputs = (side(shapes, "layer1.0.conv2.weight", axis) for axis in (0, 1))
        name = f"resnet{depth}" if outputs == inputs else f"resnext{depth}_{outputs // max(1, inputs)}x{inputs}d"
    return Match(name, tuple(_resnet_layers(counts, bottleneck=bottleneck))) if name in names() else None


def _resnet_layers(counts: tuple[int, ...], *, bottleneck: bool) -> Iterator[str]:
    yield from ("conv1", "bn1")
    for stage, place in numbered(counts, start=1):
        unit = f"layer{stage}.{place}"
        for number in range(1, 4 if bottleneck else 3):
            yield from (f"{unit}.conv{number}", f"{unit}.bn{number}")
        # The first unit of a stage changes the shape, but for the first stage of plain units.
        if place == 0 and (bottleneck or stage > 1):
            yield from (f"{unit}.downsample.0", f"{unit}.downsample.1")
    yield "fc"


# ---------------------------------------------------------------- small nets


def _mobilenet_v2(_shapes: Shapes) -> Match:
    layers = ["features.0.0", "features.0.1"]
    for block in range(1, 18):
        last = 1 if block == 1 else 2
        layers += [f"features.{block}.conv.{layer}.{part}" for layer in range(last) for part in (0, 1)]
        # The projection and its norm lie flat, not in a sequence of their own.
        layers += [f"features.{block}.conv.{last}", f"features.{block}.conv.{last + 1}"]
    return Match("mobilenet_v2", (*layers, "features.18.0", "features.18.1", "classifier.1"))


def _mobilenet_v3(shapes: Shapes) -> Match:
    name = "mobilenet_v3_large" if highest(shapes, "features.") > 12 else "mobilenet_v3_small"
    first, *body, last = blocks(name)
    layers = [*_flat("features.0", first)]
    for number, block in enumerate(body, start=1):
        layers += _block(f"features.{number}.block", block)
    layers += _flat(f"features.{len(body) + 1}", last)
    return Match(name, (*layers, "classifier.0", "classifier.3"), _TENSORFLOW_EPS)


def _efficientnet(_shapes: Shapes) -> Match:
    first, *body, last = blocks("efficientnet_b0")
    layers = [*_flat("features.0", first)]
    for (stage, place), block in zip(numbered((1, 2, 2, 3, 3, 4, 1), start=1), body, strict=True):
        layers += _block(f"features.{stage}.{place}.block", block)
    return Match("efficientnet_b0", (*layers, *_flat("features.8", last), "classifier.1"))


def _flat(prefix: str, block: Pairs) -> list[str]:
    return [f"{prefix}.{place}" for place in range(2 * len(block))]


def _block(prefix: str, block: Pairs) -> Iterator[str]:
    for place, pair in enumerate(block):
        parts = ("fc1", "fc2") if excites(pair) else ("0", "1")
        yield from (f"{prefix}.{place}.{part}" for part in parts)


def _shufflenet_v2(_shapes: Shapes) -> Match:
    layers = ["conv1.0", "conv1.1"]
    for stage, place in numbered((4, 8, 4), start=2):
        unit = f"stage{stage}.{place}"
        if place == 0:
            layers += [f"{unit}.branch1.{layer}" for layer in range(4)]
        layers += [f"{unit}.branch2.{layer}" for layer in (0, 1, 3, 4, 5, 6)]
    return Match("shufflenet_v2", (*layers, "conv5.0", "conv5.1", "fc"))


def _mnasnet(_shapes: Shapes) -> Match:
    places = (0, 1, 3, 4, 6, 7)
    layers = [f"layers.{place}" for place in places]
    for stage, block in numbered((3, 3, 3, 2, 4, 1), start=8):
        layers += [f"layers.{stage}.{block}.layers.{place}" for place in places]
    return Match("mnasnet_b1", (*layers, "layers.14", "layers.15", "classifier.1"))


_MARKS: dict[str, Callable[[Shapes], Match | None]] = {
    "inception3a.branch1.conv.weight": _googlenet,
    "Mixed_5b.branch1x1.conv.weight": _inception_v3,
    "layer1.0.conv1.weight": _resnet,
    "features.3.squeeze.weight": _squeezenet,
    "features.1.conv.0.0.weight": _mobilenet_v2,
    "features.1.0.block.0.0.weight": _efficientnet,
    "features.1.block.0.0.weight": _mobilenet_v3,
    "stage2.0.branch1.0.weight": _shufflenet_v2,
    "layers.8.0.layers.0.weight": _mnasnet,
    "classifier.6.weight": _plain,
}
