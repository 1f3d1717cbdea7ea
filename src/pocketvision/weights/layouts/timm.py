"""Timm's names for our layers, where they are not torchvision's.

Sources: timm/models/{efficientnet,_efficientnet_builder,mobilenetv3,ghostnet,vgg,xception}.py.
"""

import re
from collections.abc import Iterator

from pocketvision.errors import WeightsError
from pocketvision.models.catalogue import families
from pocketvision.models.spelling import spelled
from pocketvision.weights.layouts import torchvision
from pocketvision.weights.layouts.layers import Match, Pairs, Shapes, blocks, excites, highest, numbered

_V1 = (1, 2, 2, 6, 2)
_V2 = (1, 2, 3, 4, 3, 3, 1)
_EFFICIENTNET = (1, 2, 2, 3, 3, 4, 1)
_INVERTED: dict[tuple[tuple[int, ...], bool], str] = {
    (_V2, False): "mobilenet_v2",
    ((1, 3, 3, 3, 2, 4, 1), False): "mnasnet_b1",
    ((1, 2, 3, 4, 2, 3, 1), True): "mnasnet_a1",
    ((1, 1, 2, 4, 3, 3, 1), True): "mnasnet_small",
    (_EFFICIENTNET, True): "efficientnet_b0",
    (_EFFICIENTNET, False): "efficientnet_lite0",
}
"""Nets by the number of blocks in each stage, and by whether there are squeeze-and-excite units."""
_BOTH = {
    "efficientnet_b0": "efficientnet_b0",
    "efficientnet_lite0": "efficientnet_lite0",
    "mobilenet_v3_large": "mobilenetv3_large_100",
    "mobilenet_v3_small": "mobilenetv3_small_100",
}
"""Nets that timm has trained in PyTorch as well as taken from TensorFlow; of the minimalistic ones only the latter."""
_TWINS = re.compile(r"^tf_|efficientnet|mobilenet_?v3")
_FROM_TENSORFLOW = re.compile(r"^tf_|(?<![a-z0-9])tf_(?:efficientnet|mobilenet_?v3)")
_V4 = (2, 2, 6, 6, 1)
_LCNET = (1, 2, 2, 2, 4, 2)
_GHOST = (1, 1, 1, 1, 1, 1, 5, 1, 4)
_V3: dict[tuple[int, ...], str] = {(1, 2, 3, 4, 2, 3): "mobilenet_v3_large", (1, 2, 3, 2, 3): "mobilenet_v3_small"}


def match(shapes: Shapes, file: str, architecture: str) -> Match | None:
    """Recognize a state dict by its characteristic names; None if it is none of timm's own.

    Weights that came from TensorFlow have the same names and shapes; only the architecture, `tf_...`, or their file's
    name tells them. `WeightsError` where neither does and there are both.
    """
    found = _match(shapes)
    if found is None or not _from_tensorflow(found.name, architecture, file):
        return found
    return found._replace(norm_eps=1e-3, padding="same")


def _from_tensorflow(net: str, architecture: str, file: str) -> bool:
    # What a script calls its net need not be a name that means anything; then the file's name may be one.
    told = next((words for words in (architecture.lower(), file.lower()) if _TWINS.search(words)), "")
    if told:
        return _FROM_TENSORFLOW.search(told) is not None
    if net.endswith("_minimalistic"):
        return True
    if net not in _BOTH or spelled(architecture, families()) is not None:
        return False
    raise WeightsError(
        f"{file} holds timm's {net} or its tf_ twin, which pads and normalizes differently: names and shapes are the "
        "same, and nothing says which. Put the config.json of the hub beside it, or begin the file's name with timm's "
        f"name of the net, '{_BOTH[net]}' or 'tf_{_BOTH[net]}'"
    )


def _match(shapes: Shapes) -> Match | None:
    if "pre_logits.fc1.weight" in shapes:
        return _vgg(shapes)
    if "block1.rep.0.conv1.weight" in shapes:
        return Match("xception", tuple(_xception()))
    if "conv_stem.weight" not in shapes:
        return None
    if "blocks.0.0.ghost1.primary_conv.0.weight" in shapes:
        return _ghostnet()
    counts = tuple(highest(shapes, f"blocks.{stage}.") + 1 for stage in range(highest(shapes, "blocks.") + 1))
    if "norm_head.weight" in shapes:
        return _mobilenet_v4(counts)
    if "conv_head.bias" in shapes and counts == _LCNET:
        return _lcnet(counts)
    if "conv_head.bias" in shapes:
        return _mobilenet_v3(counts, excited=any(".se." in key for key in shapes))
    if "conv_head.weight" not in shapes:
        return _mobilenet_v1(counts)
    name = _INVERTED.get((counts, any(".se." in key for key in shapes)))
    return _inverted(name, counts) if name else None


def _vgg(shapes: Shapes) -> Match | None:
    depth = torchvision.vgg_depth(shapes)
    if depth is None:
        return None
    return Match(f"vgg{depth}", (*torchvision.vgg_body(depth), "pre_logits.fc1", "pre_logits.fc2", "head.fc"))


def _mobilenet_v1(counts: tuple[int, ...]) -> Match | None:
    if counts != _V1:
        return None
    names = ["conv_stem", "bn1"]
    for stage, place in numbered(counts):
        names += [f"blocks.{stage}.{place}.{part}" for part in ("conv_dw", "bn1", "conv_pw", "bn2")]
    return Match("mobilenet_v1", (*names, "classifier"))


def _inverted(name: str, counts: tuple[int, ...]) -> Match:
    _, *body, _ = blocks(name)
    names = ["conv_stem", "bn1"]
    for (stage, place), block in zip(numbered(counts), body, strict=True):
        names += _block(f"blocks.{stage}.{place}", block)
    return Match(name, (*names, "conv_head", "bn2", "classifier"))


def _mobilenet_v3(counts: tuple[int, ...], *, excited: bool) -> Match | None:
    if counts[:-1] not in _V3:
        return None
    name = _V3[counts[:-1]] + ("" if excited else "_minimalistic")
    _, *body, _ = blocks(name)
    names = ["conv_stem", "bn1"]
    for (stage, place), block in zip(numbered(counts[:-1]), body, strict=True):
        names += _block(f"blocks.{stage}.{place}", block)
    last = f"blocks.{len(counts) - 1}.0"
    return Match(name, (*names, f"{last}.conv", f"{last}.bn1", "conv_head", "classifier"))


def _lcnet(counts: tuple[int, ...]) -> Match:
    _, *body = blocks("lcnet")
    names = ["conv_stem", "bn1"]
    for (stage, place), block in zip(numbered(counts), body, strict=True):
        names += _block(f"blocks.{stage}.{place}", block)
    return Match("lcnet", (*names, "conv_head", "classifier"))


def _block(prefix: str, block: Pairs) -> Iterator[str]:
    """Name the layers of a separable block, or of an inverted residual, which expands before."""
    convolutions = iter(("conv_dw", "conv_pw") if block[0][0].depthwise else ("conv_pw", "conv_dw", "conv_pwl"))
    norm = 0
    for pair in block:
        if excites(pair):
            yield from (f"{prefix}.se.conv_reduce", f"{prefix}.se.conv_expand")
        else:
            norm += 1
            yield from (f"{prefix}.{next(convolutions)}", f"{prefix}.bn{norm}")


def _mobilenet_v4(counts: tuple[int, ...]) -> Match | None:
    if counts != _V4:
        return None
    name = "mobilenet_v4_conv_small"
    _, _, _, *body, _ = blocks(name)
    names = ["conv_stem", "bn1"]
    names += [f"blocks.{stage}.{place}.{part}" for stage, place in numbered(_V4[:2]) for part in ("conv", "bn1")]
    for (stage, place), block in zip(numbered(_V4[2:-1], start=2), body, strict=True):
        names += _universal(f"blocks.{stage}.{place}", block)
    return Match(name, (*names, "blocks.4.0.conv", "blocks.4.0.bn1", "conv_head", "norm_head", "classifier"))


def _universal(prefix: str, block: Pairs) -> Iterator[str]:
    """Name the layers of a universal inverted bottleneck, whose two depthwise layers are optional."""
    pointwise = 0
    for conv, _ in block:
        if conv.depthwise:
            part = "dw_mid" if pointwise else "dw_start"
        else:
            part = "pw_proj" if pointwise else "pw_exp"
            pointwise += 1
        yield from (f"{prefix}.{part}.conv", f"{prefix}.{part}.bn")


def _ghostnet() -> Match:
    _, *body, _ = blocks("ghostnet")
    names = ["conv_stem", "bn1"]
    for (stage, place), block in zip(numbered(_GHOST), body, strict=True):
        names += _ghost(f"blocks.{stage}.{place}", block)
    last = f"blocks.{len(_GHOST)}.0"
    return Match("ghostnet", (*names, f"{last}.conv", f"{last}.bn1", "conv_head", "classifier"))


def _ghost(prefix: str, block: Pairs) -> Iterator[str]:
    """Name two ghost modules, what lies between them, and the shortcut's two convolutions, if there are any.

    The cheap half of a ghost module is depthwise, so a depthwise layer straight behind it stands for itself.
    """
    parts = ["ghost1.primary_conv", "ghost1.cheap_operation"]
    rest = list(block[2:])
    if rest[0][0].depthwise:
        parts.append("dw")
        rest.pop(0)
    if excites(rest[0]):
        parts.append("se")
        rest.pop(0)
    parts += ["ghost2.primary_conv", "ghost2.cheap_operation"]
    for part in parts:
        pair = {"dw": ("conv_dw", "bn_dw"), "se": ("se.conv_reduce", "se.conv_expand")}.get(part)
        yield from (f"{prefix}.{layer}" for layer in pair or (f"{part}.0", f"{part}.1"))
    yield from (f"{prefix}.shortcut.{place}" for place in range(2 * len(rest) - 4))


def _xception() -> Iterator[str]:
    yield from ("conv1", "bn1", "conv2", "bn2")
    for block in range(1, 13):
        # A block begins with a ReLU, but for the first one, and the last layer of the last one has its own place.
        first = 0 if block == 1 else 1
        for unit in range(2 if block in (1, 2, 3, 12) else 3):
            place = f"block{block}.rep.{first + 3 * unit}"
            yield from (f"{place}.conv1", f"{place}.pointwise", f"block{block}.rep.{first + 3 * unit + 1}")
        if block in (1, 2, 3, 12):
            yield from (f"block{block}.skip", f"block{block}.skipbn")
    for number in (3, 4):
        yield from (f"conv{number}.conv1", f"conv{number}.pointwise", f"bn{number}")
    yield "fc"
