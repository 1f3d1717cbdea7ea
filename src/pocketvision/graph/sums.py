"""Convolution sums in numpy, for float values and for integers held exactly in floats; arrays are [N, H, W, C]."""

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.graph.graph import Pads

Tensor = NDArray[Any]


def convolve(x: Tensor, weight: Tensor, *, stride: tuple[int, int], pads: Pads, groups: int) -> Tensor:
    """Sum over window and channels; weight [O, I / groups, kh, kw] in the dtype of x; no bias."""
    outputs, depth, *_ = weight.shape
    x = padded(x, pads, 0)
    if depth == 1 and outputs == groups:
        return _depthwise(x, weight, stride)
    if groups == 1:
        return _dense(x, weight, stride)
    share = outputs // groups
    parts = [
        _dense(x[..., g * depth : (g + 1) * depth], weight[g * share : (g + 1) * share], stride) for g in range(groups)
    ]
    return np.concatenate(parts, axis=-1)


def padded(x: Tensor, pads: Pads, value: float) -> Tensor:
    """Return x with a border of `value`; x itself where there is none."""
    if not any(pads):
        return x
    top, left, bottom, right = pads
    count, height, width, channels = x.shape
    out = np.full((count, height + top + bottom, width + left + right, channels), value, x.dtype)
    out[:, top : top + height, left : left + width] = x
    return out


def taps(x: Tensor, kernel: tuple[int, int], stride: tuple[int, int]) -> list[Tensor]:
    """Return one strided view [N, H', W', C] for each place of the window, row by row."""
    height = (x.shape[1] - kernel[0]) // stride[0] + 1
    width = (x.shape[2] - kernel[1]) // stride[1] + 1
    return [
        x[:, i : i + (height - 1) * stride[0] + 1 : stride[0], j : j + (width - 1) * stride[1] + 1 : stride[1]]
        for i, j in product(range(kernel[0]), range(kernel[1]))
    ]


def _depthwise(x: Tensor, weight: Tensor, stride: tuple[int, int]) -> Tensor:
    rows = weight.reshape(len(weight), -1).T
    first, *others = taps(x, weight.shape[2:], stride)
    total: Tensor = first * rows[0]
    term = np.empty_like(total)
    for view, row in zip(others, rows[1:], strict=True):
        np.multiply(view, row, out=term)
        total += term
    return total


def _dense(x: Tensor, weight: Tensor, stride: tuple[int, int]) -> Tensor:
    views = taps(x, weight.shape[2:], stride)
    columns: Tensor = views[0] if len(views) == 1 else np.concatenate(views, axis=-1)
    matrix = weight.transpose(2, 3, 1, 0).reshape(-1, len(weight))
    out: Tensor = columns.reshape(-1, columns.shape[-1]) @ matrix
    cells: Tensor = out.reshape(*columns.shape[:3], len(weight))
    return cells
