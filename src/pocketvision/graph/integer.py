"""The integer kernels: uint8 activations [N, H, W, C] or [N, C], int8 weights, exact int32 sums.

Sums are exact everywhere; runtimes differ in how they bring them to the output's levels. That part is a `Rounding`.
The one here follows onnxruntime: a sum becomes float32, is multiplied by float32(si * sw / so), rounded half to even,
moved by the zero point and saturated. `fixed.py` has those of LiteRT.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.graph import real
from pocketvision.graph.graph import Activation, AvgPool, Clamp, Conv, Linear, Pads, Quant
from pocketvision.graph.sums import Tensor, convolve

Levels = NDArray[np.uint8]
HALF = Quant(0.5, 0)
THREE_LEVEL = 127
THREE = Quant(float(np.float32(3 / THREE_LEVEL)), 0)
"""Three in many small levels: LiteRT's sums are exact to some 20 bits of the larger scale."""
"""Under which level 1 means one half."""
_LARGEST: dict[Activation, float] = {"relu6": 6.0, "hardsigmoid": 1.0}


def dequantize(levels: Levels, quant: Quant) -> NDArray[np.float32]:
    """Return the real values of levels."""
    return (levels.astype(np.float32) - np.float32(quant.zero_point)) * np.float32(quant.scale)


def quantize(values: Tensor, quant: Quant) -> Levels:
    """Return the nearest levels of real values, halves to even."""
    return _saturate(np.rint(values / np.float32(quant.scale)), quant.zero_point, (0, 255))


def bounds(activation: Activation, quant: Quant) -> tuple[int, int]:
    """Return the levels an activation allows: all 256 where the range itself already clamps."""
    low = 0 if activation == "none" else quant.zero_point
    high = quant.zero_point + round(_LARGEST[activation] / quant.scale) if activation in _LARGEST else 255
    return low, min(high, 255)


def clamps(activation: Activation, quant: Quant) -> bool:
    """Whether the levels by themselves do all the clamping of an activation."""
    return bounds(activation, quant) == (0, 255)


@dataclass(frozen=True)
class Rounding:
    """How one runtime brings exact sums to levels; each function gives levels before the activation's clamp."""

    name: str
    conv: Callable[[Tensor, Tensor, Quant], Tensor]
    """(int32 sums [..., O], real value of one unit [O], output's quant)"""
    linear: Callable[[Tensor, Tensor, Quant], Tensor]
    add: Callable[[Sequence[Levels], Sequence[Quant], Quant], Tensor]
    multiply: Callable[[Sequence[Levels], Sequence[Quant], Quant], Tensor]
    mean: Callable[[Tensor, int, Quant, Quant], Tensor]
    """(int32 sums, how many values each, input's quant, output's quant)"""
    sixfold: bool = False
    """Whether the files of this runtime write a hard sigmoid as (x + 3) at six times its scale, not as x/6 + 1/2."""


def conv(node: Conv, x: Levels, pads: Pads, *, source: Quant, target: Quant, rounding: Rounding) -> Levels:
    """Run a quantized convolution."""
    assert node.weight_scale is not None
    centerd, weight = _exact(x, node.weight, source)
    sums = convolve(centerd, weight, stride=node.stride, pads=pads, groups=node.groups)
    return _layer(rounding.conv, sums, node, source=source, target=target)


def linear(node: Linear, x: Levels, *, source: Quant, target: Quant, rounding: Rounding) -> Levels:
    """Run a quantized fully connected layer."""
    centerd, weight = _exact(x, node.weight, source)
    return _layer(rounding.linear, centerd @ weight.T, node, source=source, target=target)


def add(
    pair: Sequence[Levels], *, sources: Sequence[Quant], target: Quant, activation: Clamp, rounding: Rounding
) -> Levels:
    """Add two tensors."""
    return _clipped(rounding.add(pair, sources, target), bounds(activation, target))


def multiply(pair: Sequence[Levels], *, sources: Sequence[Quant], target: Quant, rounding: Rounding) -> Levels:
    """Multiply two tensors."""
    return _clipped(rounding.multiply(pair, sources, target), (0, 255))


def _add(pair: Sequence[Levels], sources: Sequence[Quant], target: Quant) -> Tensor:
    """Add as onnxruntime's QLinearAdd: fused multiply-adds in float32, the second tensor first."""
    first, second = (np.float32(source.scale) / np.float32(target.scale) for source in sources)
    zeros = _fused(np.array(sources[0].zero_point), first, second * np.float32(sources[1].zero_point))
    total = _fused(pair[1], second, np.float32(target.zero_point) - zeros)
    rounded: Tensor = np.rint(_fused(pair[0], first, total))
    return rounded


def _fused(levels: Tensor, factor: np.float32, term: Tensor | np.float32) -> Tensor:
    """Multiply and add with one rounding: 8 times 24 bits fit in float64."""
    total: Tensor = levels.astype(np.float64) * np.float64(factor) + term
    return total.astype(np.float32)


def _multiply(pair: Sequence[Levels], sources: Sequence[Quant], target: Quant) -> Tensor:
    """Multiply as onnxruntime's QLinearMul: whole numbers, one factor in float32, the zero point before rounding."""
    first, second = (levels.astype(np.int32) - source.zero_point for levels, source in zip(pair, sources, strict=True))
    scale = np.float32(sources[0].scale) * np.float32(sources[1].scale) / np.float32(target.scale)
    moved = (first * second).astype(np.float32) * scale + np.float32(target.zero_point)
    rounded: Tensor = np.rint(moved)
    return rounded


def hardsigmoid(x: Levels, *, source: Quant, target: Quant, rounding: Rounding) -> Levels:
    """Add one half to a sixth of x, as a sum of levels; `target` has to clamp to 0..1 by itself."""
    assert clamps("hardsigmoid", target)
    if rounding.sixfold:
        pair, sources, target = (x, np.full_like(x, THREE_LEVEL)), (source, THREE), sixfold(target)
    else:
        pair, sources = (x, np.ones_like(x)), (sixth(source), HALF)
    return _clipped(rounding.add(pair, sources, target), (0, 255))


def sixfold(quant: Quant) -> Quant:
    """Return what the same levels mean when they are multiplied by six."""
    return Quant(float(np.float32(6 * quant.scale)), quant.zero_point)


def sixth(quant: Quant) -> Quant:
    """Return what the same levels mean when they are divided by six."""
    return Quant(float(np.float32(quant.scale) / np.float32(6)), quant.zero_point)


def average(node: AvgPool, x: Levels, pads: Pads, *, source: Quant, target: Quant) -> Levels:
    """Average over each window, in float32 as onnxruntime does; next to a tie the order of its sum may decide."""
    return quantize(real.average(node, dequantize(x, source), pads), target)


def global_mean(x: Levels, *, source: Quant, target: Quant, rounding: Rounding, keep: bool = False) -> Levels:
    """Average [N, H, W, C] over height and width to [N, C], or [N, 1, 1, C] where `keep` says so."""
    area = x.shape[1] * x.shape[2]
    sums = x.sum(axis=(1, 2), dtype=np.int32, keepdims=keep) - np.int32(source.zero_point * area)
    return _clipped(rounding.mean(sums, area, source, target), (0, 255))


def mean(sums: Tensor, area: int, source: Quant, target: Quant) -> Tensor:
    """Divide sums and move them to the output's levels at once, in float32."""
    scale = np.float32(source.scale) / (np.float32(target.scale) * np.float32(area))
    rounded: Tensor = np.rint(sums.astype(np.float32) * scale)
    return rounded + target.zero_point


def rescale(levels: Levels, source: Quant, target: Quant) -> Levels:
    """Move levels to another scale; the same array where the scales are equal."""
    return levels if source == target else quantize(dequantize(levels, source), target)


def _exact(x: Levels, weight: Tensor, source: Quant) -> tuple[Tensor, Tensor]:
    """Return x without its zero point and the weights, in floats wide enough to hold every partial sum."""
    heaviest = int(np.abs(weight.astype(np.int32)).reshape(len(weight), -1).sum(axis=1).max())
    farthest = max(source.zero_point, 255 - source.zero_point)
    dtype = np.dtype(np.float32 if heaviest * farthest < 2**24 else np.float64)
    centerd: Tensor = x.astype(dtype)
    centerd -= source.zero_point
    return centerd, weight.astype(dtype)


def _layer(
    rounding: Callable[[Tensor, Tensor, Quant], Tensor],
    sums: Tensor,
    node: Conv | Linear,
    *,
    source: Quant,
    target: Quant,
) -> Levels:
    assert node.weight_scale is not None
    exact = sums.astype(np.int32)
    exact += node.bias.astype(np.int32)
    units = np.float32(source.scale) * node.weight_scale.astype(np.float32)
    return _clipped(rounding(exact, units, target), bounds(node.activation, target))


def requantized(sums: Tensor, units: Tensor | np.float32, target: Quant) -> Tensor:
    """Multiply sums by one float32 factor a channel and round half to even, as onnxruntime and XNNPACK do."""
    scaled = sums.astype(np.float32)
    scaled *= units / np.float32(target.scale)
    rounded: Tensor = np.rint(scaled, out=scaled)
    rounded += rounded.dtype.type(target.zero_point)
    return rounded


def _saturate(rounded: Tensor, zero_point: int, allowed: tuple[int, int]) -> Levels:
    return _clipped(rounded + rounded.dtype.type(zero_point), allowed)


def _clipped(levels: Tensor, allowed: tuple[int, int]) -> Levels:
    return np.clip(levels, *allowed, out=levels).astype(np.uint8)


ONNXRUNTIME = Rounding("onnxruntime", requantized, requantized, _add, _multiply, mean)
