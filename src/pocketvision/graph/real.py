"""The float kernels: float32 activations [N, H, W, C] or [N, C]; sums, norms and activation functions."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from pocketvision.graph.graph import Activation, AvgPool, Input, LocalNorm, Pads
from pocketvision.graph.sums import Tensor, padded, taps


def image(node: Input, images: NDArray[np.uint8]) -> Tensor:
    """Normalize pixels as (pixel / 255 - mean) / std."""
    scale, shift = 1 / (255 * np.array(node.std)), np.array(node.mean) / np.array(node.std)
    normalized: Tensor = images * scale.astype(np.float32) - shift.astype(np.float32)
    return normalized


def activated(x: Tensor, activation: Activation, slope: float = 0.0) -> Tensor:
    """Apply an activation; `x` may be overwritten."""
    return x if activation == "none" else _ACTIVATIONS[activation](x, np.float32(slope))


def average(node: AvgPool, x: Tensor, pads: Pads) -> Tensor:
    """Average over each window."""
    return _window_sums(x, node, pads) / window_sizes(node, x.shape[1:3], pads, x.dtype)


def window_sizes(node: AvgPool, size: tuple[int, ...], pads: Pads, dtype: np.dtype[np.generic]) -> Tensor:
    """Return how many values each window averages, [1, H', W', 1], or one number for all of them."""
    if node.count_padding or not any(pads):
        return np.array(node.kernel[0] * node.kernel[1], dtype)
    return _window_sums(np.ones((1, *size, 1), dtype), node, pads)


def _window_sums(x: Tensor, node: AvgPool, pads: Pads) -> Tensor:
    first, *others = taps(padded(x, pads, 0), node.kernel, node.stride)
    total = first.copy()
    for view in others:
        total += view
    return total


def local_norm(node: LocalNorm, x: Tensor) -> Tensor:
    """Divide by what the neighboring channels hold."""
    half = node.size // 2
    squares = np.pad(x * x, [(0, 0)] * (x.ndim - 1) + [(half, half)])
    channels = x.shape[-1]
    total = squares[..., :channels].copy()
    for shift in range(1, node.size):
        total += squares[..., shift : shift + channels]
    total *= np.float32(node.alpha / node.size)
    total += np.float32(node.k)
    normed: Tensor = x * total ** np.float32(-node.beta)
    return normed


def softmax(logits: Tensor) -> NDArray[np.float32]:
    """Return probabilities over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float32] = (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)
    return probabilities


def sigmoid(x: Tensor) -> Tensor:
    """Return a probability for each value by itself."""
    power = np.exp(-np.abs(x))  # never overflows
    result: Tensor = np.where(x >= 0, 1, power) / (1 + power)
    return result.astype(x.dtype)


def _hardsigmoid(x: Tensor) -> Tensor:
    gate: Tensor = np.clip(x * np.float32(1 / 6) + np.float32(0.5), 0, 1)
    return gate


_ACTIVATIONS: Mapping[Activation, Callable[[Tensor, np.float32], Tensor]] = {
    "relu": lambda x, _: np.maximum(x, 0, out=x),
    "relu6": lambda x, _: np.clip(x, 0, 6, out=x),
    "leaky_relu": lambda x, slope: np.where(x >= 0, x, x * slope),
    "hardswish": lambda x, _: x * _hardsigmoid(x),
    "hardsigmoid": lambda x, _: _hardsigmoid(x),
    "sigmoid": lambda x, _: sigmoid(x),
    "silu": lambda x, _: x * sigmoid(x),
}
