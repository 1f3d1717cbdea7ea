"""The names of lukemelas' efficientnet_pytorch for our layers: https://github.com/lukemelas/EfficientNet-PyTorch.

All of its weights came from TensorFlow, so they pad and normalize as there.
"""

from collections.abc import Iterator

from pocketvision.weights.layouts.layers import Match, Pairs, Shapes, blocks, excites, highest, side

_NETS = {(16, True): "efficientnet_b0", (16, False): "efficientnet_lite0", (21, False): "efficientnet_lite1"}
"""By the number of blocks, and by whether there are squeeze-and-excite units."""
_LITE2 = 352
"""Channels behind the last block of lite2, which has as many blocks as lite1."""


def match(shapes: Shapes) -> Match | None:
    """Recognize a state dict by its characteristic names; None if it is none of this project's."""
    if "_conv_stem.weight" not in shapes or "_blocks.0._depthwise_conv.weight" not in shapes:
        return None
    count = highest(shapes, "_blocks.") + 1
    name = _NETS.get((count, "_blocks.0._se_reduce.weight" in shapes))
    if name is None:
        return None
    if name == "efficientnet_lite1" and side(shapes, f"_blocks.{count - 1}._project_conv.weight", 0) == _LITE2:
        name = "efficientnet_lite2"
    _, *body, _ = blocks(name)
    names = ["_conv_stem", "_bn0"]
    for place, block in enumerate(body):
        names += _block(f"_blocks.{place}", block)
    return Match(name, (*names, "_conv_head", "_bn1", "_fc"), norm_eps=1e-3, padding="same")


def _block(prefix: str, block: Pairs) -> Iterator[str]:
    """Name the layers of an inverted residual; the first block expands nothing, and its norms are numbered alike."""
    layers = iter((("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")))
    if block[0][0].depthwise:
        next(layers)
    for pair in block:
        parts = ("_se_reduce", "_se_expand") if excites(pair) else next(layers)
        yield from (f"{prefix}.{part}" for part in parts)
