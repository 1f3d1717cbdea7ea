"""Which layer costs what: the noise that 8 bits bring into each layer, and what each layer alone does to the answer."""

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from pocketvision.compress.quantize import lower
from pocketvision.errors import GraphError
from pocketvision.graph.graph import Conv, Graph, Linear
from pocketvision.graph.integer import dequantize, quantize
from pocketvision.graph.run import Images, batches, kernel, rerun, tensors
from pocketvision.graph.sums import Tensor
from pocketvision.progress import Progress, Silent, track


@dataclass(frozen=True)
class LayerLoss:
    """What 8 bits cost at one layer; decibels are 10 log10 of squared signal to squared noise, 6 a bit."""

    layer: str
    """Name of the layer."""
    kind: str
    """Such as `conv dw 3x3`."""
    noise_db: float
    """Of the layer's output in the whole int8 net: everything before it is rounded too."""
    alone_db: float
    """Of the logits when this layer alone has 8-bit weights and levels and all others are float."""
    alone_same: float
    """Share of images, 0..1, on which that net names the float net's class."""


def layer_losses(
    plain: Graph, small: Graph, images: Images, *, progress: Progress | None = None
) -> tuple[LayerLoss, ...]:
    """Return the loss of every layer with weights; `plain` is the float graph that `small` was quantized from.

    Images [N, R, R, C] need no labels. The time grows with the square of the layers; some 25 images tell enough.
    """
    if small.quant is None or plain.quant is not None:
        raise GraphError("the losses of layers need the float graph and, second, the one quantized from it")
    lowered = lower(plain).graph
    found: dict[str, _Sums] = defaultdict(_Sums)
    parts = batches(lowered, images)
    for batch in track(parts, progress or Silent(), "compare layers", len(parts)):
        _compare(lowered, small, batch, found)
    layers = [node for node in lowered.nodes if isinstance(node, Conv | Linear)]
    return tuple(found[node.name].loss(node, len(images)) for node in layers)


@dataclass
class _Sums:
    """Squares over images."""

    signal: float = 0.0
    noise: float = 0.0
    answer: float = 0.0
    answer_noise: float = 0.0
    same: int = 0

    def loss(self, node: Conv | Linear, count: int) -> LayerLoss:
        noise, alone = _decibels(self.signal, self.noise), _decibels(self.answer, self.answer_noise)
        return LayerLoss(node.name, kind_of(node), noise, alone, self.same / count)


def kind_of(node: Conv | Linear) -> str:
    """Return `depthwise`, `pointwise`, `grouped`, `linear`, or a convolution's window such as `3x3`."""
    if isinstance(node, Linear):
        return "linear"
    _, depth, height, width = node.weight.shape
    if node.groups > 1:
        return "depthwise" if depth == 1 else "grouped"
    return "pointwise" if height == width == 1 else f"{height}x{width}"


def _decibels(signal: float, noise: float) -> float:
    return float(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30)))


def _compare(plain: Graph, small: Graph, batch: Images, found: dict[str, _Sums]) -> None:
    assert small.quant is not None
    exact = dict(tensors(plain, batch))
    logits = plain.logits
    layers = {node.name: node for node in plain.nodes if isinstance(node, Conv | Linear)}
    rounded = {node.name: node for node in small.nodes if isinstance(node, Conv | Linear)}
    for name, levels in tensors(small, batch):
        if name in rounded:
            found[name].signal += _square(exact[name])
            found[name].noise += _square(dequantize(levels, small.quant[name]) - exact[name])
    for name, node in layers.items():
        levels = quantize(kernel(plain, _with(node, rounded[name]), [exact[node.inputs[0]]]), small.quant[name])
        changed = rerun(plain, exact, name, dequantize(levels, small.quant[name]))[logits]
        found[name].answer += _square(exact[logits])
        found[name].answer_noise += _square(changed - exact[logits])
        found[name].same += int((changed.argmax(axis=1) == exact[logits].argmax(axis=1)).sum())


def _with(node: Conv | Linear, rounded: Conv | Linear) -> Conv | Linear:
    """Return the layer with the rounded weights and its own bias."""
    assert rounded.weight_scale is not None
    rows = rounded.weight_scale.reshape(-1, *[1] * (rounded.weight.ndim - 1)).astype(np.float32)
    return replace(node, weight=rounded.weight.astype(np.float32) * rows)


def _square(tensor: Tensor) -> float:
    return float(np.square(tensor, dtype=np.float64).sum())
