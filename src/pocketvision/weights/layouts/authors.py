"""Names that a net's authors, and imgclsmob (pytorchcv), which has nets no other project has, give our layers.

Sources: clavichord93/FD-MobileNet; pytorchcv/models/{mobilenet,fdmobilenet,shufflenet,bninception,squeezenet}.py.
"""

from collections.abc import Iterator

from pocketvision.errors import WeightsError
from pocketvision.models.catalogue import family_of
from pocketvision.weights.layouts.layers import Match, Shapes, highest, numbered, side

_FD_MOBILENET = (1, 2, 2, 6)
_MOBILENET_V1 = (1, 2, 2, 6, 2)
_SQUEEZENET: dict[tuple[int, ...], str] = {(3, 4, 1): "squeezenet1_0", (2, 2, 4): "squeezenet1_1"}
"""Fire modules in each of imgclsmob's stages."""


def match(shapes: Shapes, file: str) -> Match | None:
    """Recognize a state dict by its characteristic names; None if it is none of these."""
    if "features.dw_conv_0.weight" in shapes:
        return _fd_mobilenet()
    if "features.stage1.unit1.dw_conv.conv.weight" in shapes:
        return _separable(shapes, file)
    if "features.stage1.unit1.compress_conv1.weight" in shapes:
        return _shufflenet(shapes)
    if "features.stage1.unit1.branches.branch1.conv.weight" in shapes:
        return _inception_v2()
    if "features.stage1.unit1.squeeze.conv.weight" in shapes:
        return _squeezenet(shapes, file)
    return None


def _fd_mobilenet() -> Match:
    names = ["features.conv_0", "features.norm_0"]
    for block in range(11):
        names += [f"features.{kind}_{part}_{block}" for kind in ("dw", "pw") for part in ("conv", "norm")]
    return Match("fd_mobilenet", (*names, "classifier"))


def _separable(shapes: Shapes, file: str) -> Match | None:
    counts = _stages(shapes)
    if counts == _MOBILENET_V1:
        raise WeightsError(
            f"{file} holds imgclsmob's MobileNet V1, which was trained with ReLU; mobilenet_v1 here has ReLU6, as in "
            "TensorFlow, Keras and timm, and would answer wrongly"
        )
    if counts != _FD_MOBILENET:
        return None
    names = list(_unit("features.init_block", ""))
    for stage, unit in numbered(counts, start=1):
        prefix = f"features.stage{stage}.unit{unit + 1}"
        names += [*_unit(prefix, ".dw_conv"), *_unit(prefix, ".pw_conv")]
    return Match("fd_mobilenet", (*names, "output"))


def _stages(shapes: Shapes) -> tuple[int, ...]:
    """Return the number of units in each stage; both are counted from 1."""
    stages = range(1, highest(shapes, "features.stage") + 1)
    return tuple(highest(shapes, f"features.stage{stage}.unit") for stage in stages)


def _unit(prefix: str, name: str) -> Iterator[str]:
    yield from (f"{prefix}{name}.conv", f"{prefix}{name}.bn")


def _shufflenet(shapes: Shapes) -> Match | None:
    counts = _stages(shapes)
    if counts != (4, 8, 4):
        return None
    names = list(_unit("features.init_block", ""))
    for stage, unit in numbered(counts, start=1):
        prefix = f"features.stage{stage}.unit{unit + 1}"
        names += [
            f"{prefix}.{kind}_{part}{i}"
            for i, kind in enumerate(("compress", "dw", "expand"), 1)
            for part in ("conv", "bn")
        ]
    return Match("shufflenet_v1", (*names, "output"), groups=_groups(shapes))


def _groups(shapes: Shapes) -> int | None:
    """Return the groups of an inner unit, whose bottleneck goes in whole into the depthwise layer and in shares on."""
    unit = "features.stage1.unit2"
    bottleneck, share = side(shapes, f"{unit}.dw_conv2.weight", 0), side(shapes, f"{unit}.expand_conv3.weight", 1)
    groups = bottleneck // max(1, share)
    return groups if groups in family_of("shufflenet_v1").groups else None


def _inception_v2() -> Match:
    names = [*_unit("features.init_block", ".conv1")]
    names += [*_unit("features.init_block.conv2", ".conv1"), *_unit("features.init_block.conv2", ".conv2")]
    for stage, unit in numbered((2, 5, 3), start=1):
        prefix = f"features.stage{stage}.unit{unit + 1}.branches"
        shrinks = stage > 1 and (unit == 0)
        double = ["conv1", "conv2", "conv3"]
        parts = [("branch1", ["conv1", "conv2"]), ("branch2", double)]
        if not shrinks:
            parts = [("branch1", []), ("branch2", ["conv1", "conv2"]), ("branch3", double), ("branch4", ["conv"])]
        for branch, convs in parts:
            for conv in convs or [""]:
                names += _unit(f"{prefix}.{branch}", f".{conv}" if conv else "")
    return Match("inception_v2", (*names, "output"))


def _squeezenet(shapes: Shapes, file: str) -> Match | None:
    counts = _stages(shapes)
    name = _SQUEEZENET.get(counts)
    if name is None:
        return None
    # Shortcuts have no weights: only the name tells the residual nets from the plain ones.
    if "squeezeresnet" in file.lower():
        name += "_simple_bypass"
    parts = ("squeeze", "expand1x1", "expand3x3")
    fires = [
        f"features.stage{stage}.unit{unit + 1}.{part}.conv"
        for stage, unit in numbered(counts, start=1)
        for part in parts
    ]
    return Match(name, ("features.init_block.conv", *fires, "output.final_conv"))
