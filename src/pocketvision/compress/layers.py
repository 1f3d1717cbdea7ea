"""Which layer costs what: the noise that 8 bits bring into each layer, and what each layer alone does to the answer."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.quantize import lower
from pocketvision.errors import GraphError
from pocketvision.graph.graph import Conv, Graph, Linear
from pocketvision.graph.integer import dequantize, quantize
from pocketvision.graph.run import Images, batches, kernel, rerun, tensors
from pocketvision.graph.sums import Tensor
from pocketvision.progress import Progress, Silent, track

Alike = Callable[[Tensor, Tensor], NDArray[np.float64]]
"""Tells of two nets' answers [N, ...] how much of each is the same, 0..1: [N]."""


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
    """Of what the ending reads, such as logits, when this layer alone has 8-bit weights and levels and all others are
    float."""
    alone_same: float
    """Share of images, 0..1, on which that net decides as the float net does."""


def same_class(ones: Tensor, others: Tensor) -> NDArray[np.float64]:
    """Return 1 for images of which two nets name the same class, by probabilities [N, classes]."""
    return np.asarray(ones.argmax(axis=1) == others.argmax(axis=1), np.float64)


def layer_losses(
    plain: Graph, small: Graph, images: Images, *, alike: Alike = same_class, progress: Progress | None = None
) -> tuple[LayerLoss, ...]:
    """Return the loss of every layer with weights; `plain` is the float graph that `small` was quantized from.

    Images [N, R, R, C] need no labels. The time grows with the square of the layers; some 25 images tell enough.
    """
    if small.quant is None or plain.quant is not None:
        raise GraphError("the losses of layers need the float graph and, second, the one quantized from it")
    if not plain.ends:
        raise GraphError("the losses of layers need a graph with an ending, such as a softmax")
    lowered = lower(plain).graph
    found: dict[str, _Sums] = defaultdict(_Sums)
    parts = batches(lowered, images)
    for batch in track(parts, progress or Silent(), "compare layers", len(parts)):
        _compare(lowered, small, batch, found, alike)
    layers = [node for node in lowered.nodes if isinstance(node, Conv | Linear)]
    return tuple(found[node.name].loss(node, len(images)) for node in layers)


@dataclass
class _Sums:
    """Squares over images."""

    signal: float = 0.0
    noise: float = 0.0
    answer: float = 0.0
    answer_noise: float = 0.0
    same: float = 0.0

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


def _compare(plain: Graph, small: Graph, batch: Images, found: dict[str, _Sums], alike: Alike) -> None:
    assert small.quant is not None
    exact = dict(tensors(plain, batch))
    layers = {node.name: node for node in plain.nodes if isinstance(node, Conv | Linear)}
    rounded = {node.name: node for node in small.nodes if isinstance(node, Conv | Linear)}
    for name, levels in tensors(small, batch):
        if name in rounded:
            found[name].signal += _square(exact[name])
            found[name].noise += _square(dequantize(levels, small.quant[name]) - exact[name])
    for name, node in layers.items():
        levels = quantize(kernel(plain, _with(node, rounded[name]), [exact[node.inputs[0]]]), small.quant[name])
        changed = rerun(plain, exact, name, dequantize(levels, small.quant[name]))
        for end in plain.ends:
            found[name].answer += _square(exact[end])
            found[name].answer_noise += _square(changed[end] - exact[end]) if end in changed else 0.0
        found[name].same += float(alike(changed[plain.output], exact[plain.output]).sum())


def _with(node: Conv | Linear, rounded: Conv | Linear) -> Conv | Linear:
    """Return the layer with the rounded weights and its own bias."""
    assert rounded.weight_scale is not None
    rows = rounded.weight_scale.reshape(-1, *[1] * (rounded.weight.ndim - 1)).astype(np.float32)
    return replace(node, weight=rounded.weight.astype(np.float32) * rows)


def _square(tensor: Tensor) -> float:
    return float(np.square(tensor, dtype=np.float64).sum())
