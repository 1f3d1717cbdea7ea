"""How LiteRT rounds, on top of the exact sums of `integer.py`: XNNPACK, its fast kernels, and its reference kernels.

Sources: XNNPACK's src/microparams-init.c and src/qs8-vadd, and TensorFlow Lite's kernels/internal/common.h,
kernels/internal/quantization_util.cc and kernels/internal/reference/integer_ops. The tests hold these to both.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pocketvision.graph.graph import Node, Quant, Softmax
from pocketvision.graph.integer import Levels, Rounding, dequantize, mean, requantized
from pocketvision.graph.sums import Tensor

PROBABILITY = Quant(1 / 256, 0)
"""The one range of probabilities that LiteRT's integer softmax gives: the largest is 255/256."""
_LEFT = 20  # bits that both of LiteRT's additions keep below the point


def _xnnpack_add(pair: Sequence[Levels], sources: Sequence[Quant], target: Quant) -> Tensor:
    """Add with factors of some 20 bits, relative to the larger one; halves go up."""
    factors = [np.float32(source.scale) / np.float32(target.scale) for source in sources]
    shift = _LEFT - (math.frexp(float(max(factors)))[1] - 1)
    total: Tensor = np.array(1 << (shift - 1), np.int64)
    for levels, source, factor in zip(pair, sources, factors, strict=True):
        total = total + (levels.astype(np.int64) - source.zero_point) * round(float(factor) * 2.0**shift)
    moved: Tensor = (total >> shift) + target.zero_point
    return moved


def _xnnpack_multiply(pair: Sequence[Levels], sources: Sequence[Quant], target: Quant) -> Tensor:
    """Multiply by one factor in float32 and round before the zero point is added."""
    product = np.float32(sources[0].scale) * np.float32(sources[1].scale)
    return requantized(_product(pair, sources), product, target)


def _product(pair: Sequence[Levels], sources: Sequence[Quant]) -> Tensor:
    first, second = (levels.astype(np.int32) - source.zero_point for levels, source in zip(pair, sources, strict=True))
    product: Tensor = first * second
    return product


def _fixed(value: float) -> tuple[int, int]:
    """Return a factor as 31 bits and a power of two, halves away from zero."""
    part, exponent = math.frexp(value)
    whole = math.floor(part * 2**31 + 0.5)
    return (whole // 2, exponent + 1) if whole == 2**31 else (whole, exponent)


def _twice_rounded(values: Tensor, factor: int, shift: int) -> Tensor:
    """Multiply as gemmlowp does: to the high half, halves away from zero, then shifted, halves away from zero."""
    product = (values.astype(np.int64) << max(shift, 0)) * factor
    high = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    high = np.where(high >= 0, high >> 31, -(-high >> 31))
    right = max(-shift, 0)
    mask = (1 << right) - 1
    shifted: Tensor = (high >> right) + ((high & mask) > (mask >> 1) + (high < 0))
    return shifted


def _once_rounded(values: Tensor, factor: int, shift: int) -> Tensor:
    total = 31 - shift
    rounded: Tensor = (values.astype(np.int64) * factor + (1 << (total - 1))) >> total
    return rounded


def _by_channel(sums: Tensor, units: Tensor, target: Quant, *, once: bool) -> Tensor:
    out = np.empty(sums.shape, np.int64)
    for channel, unit in enumerate(units):
        factor, shift = _fixed(float(unit) / float(np.float32(target.scale)))
        rounding = _once_rounded if once else _twice_rounded
        out[..., channel] = rounding(sums[..., channel], factor, shift)
    out += target.zero_point
    return out


def _reference_conv(sums: Tensor, units: Tensor, target: Quant) -> Tensor:
    return _by_channel(sums, units, target, once=False)


def _reference_linear(sums: Tensor, units: Tensor, target: Quant) -> Tensor:
    return _by_channel(sums, units, target, once=True)


def _reference_add(pair: Sequence[Levels], sources: Sequence[Quant], target: Quant) -> Tensor:
    """Bring both to twice the larger scale with 20 more bits, add, and bring the sum to the output's scale."""
    twice = 2.0 * max(source.scale for source in sources)
    total: Tensor = np.array(0, np.int64)
    for levels, source in zip(pair, sources, strict=True):
        centerd = (levels.astype(np.int64) - source.zero_point) << _LEFT
        total = total + _twice_rounded(centerd, *_fixed(source.scale / twice))
    return _twice_rounded(total, *_fixed(twice / (2.0**_LEFT * target.scale))) + target.zero_point


def _reference_multiply(pair: Sequence[Levels], sources: Sequence[Quant], target: Quant) -> Tensor:
    factor = _fixed(sources[0].scale * sources[1].scale / target.scale)
    return _twice_rounded(_product(pair, sources), *factor) + target.zero_point


def _reference_mean(sums: Tensor, area: int, source: Quant, target: Quant) -> Tensor:
    """Divide the factor by the area first, in whole numbers, as far as it has bits to spare."""
    factor, shift = _fixed(source.scale / target.scale)
    spare = min(area.bit_length() - 1, 32, 31 + shift)
    return _twice_rounded(sums, (factor << spare) // area, shift - spare) + target.zero_point


def softmax(levels: Levels, source: Quant) -> Levels:
    """Return probabilities [N, classes] in levels of `PROBABILITY`, as LiteRT's kernel on x86 computes them.

    Powers come from a table in float32 and are summed in order; halves go up. Other kernels are a level off in few
    values (kernels/internal/optimized/optimized_ops.h, Softmax).
    """
    below = levels.max(axis=-1, keepdims=True) - levels
    table = np.exp(-np.float32(source.scale) * np.arange(256, dtype=np.float32)).astype(np.float32)
    powers = table[below]
    sums = np.add.accumulate(powers, axis=-1, dtype=np.float32)[..., -1:]
    shares = powers * (np.float32(1) / (sums * np.float32(PROBABILITY.scale)))
    rounded: Levels = np.minimum((shares + np.float32(0.5)).astype(np.int32), 255).astype(np.uint8)
    return rounded


def sigmoid(levels: Levels, source: Quant) -> Levels:
    """Return probabilities in levels of `PROBABILITY`; halves go up, and the largest is 255/256."""
    shares = 1 / (1 + np.exp(-dequantize(levels, source).astype(np.float64)))
    return np.minimum(np.floor(256 * shares + 0.5), 255).astype(np.uint8)


def probabilities(ending: Node, levels: Levels, source: Quant) -> NDArray[np.float32]:
    """Return what an ending in whole numbers answers."""
    whole = softmax if isinstance(ending, Softmax) else sigmoid
    return dequantize(whole(levels, source), PROBABILITY)


XNNPACK = Rounding("xnnpack", requantized, requantized, _xnnpack_add, _xnnpack_multiply, mean, sixfold=True)
"""LiteRT as it runs by default on x86 and ARM."""
LITERT = Rounding(
    "litert",
    _reference_conv,
    _reference_linear,
    _reference_add,
    _reference_multiply,
    _reference_mean,
    sixfold=True,
)
"""LiteRT's reference kernels (BUILTIN_REF), which say what is right on devices without fast ones."""
