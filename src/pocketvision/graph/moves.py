"""Kernels that choose, join or reorder values without computing new ones: the same for floats and for levels."""

import numpy as np

from pocketvision.graph.graph import Concat, Flatten, MaxPool, Node, Pads, Shuffle, Slice, ToRows
from pocketvision.graph.sums import Tensor, padded, taps

Move = Concat | Flatten | MaxPool | Shuffle | Slice | ToRows


def is_move(node: Node) -> bool:
    """Whether a kernel's output holds only values of its inputs, so that both can share one scale."""
    return isinstance(node, Move)


def move(node: Node, inputs: list[Tensor]) -> Tensor:
    """Run any of these kernels but the max pool on [N, H, W, C] or [N, C]."""
    x = inputs[0]
    match node:
        case Concat():
            return np.concatenate(inputs, axis=-1)
        case Slice():
            return x[..., node.start : node.stop]
        case Shuffle():
            mixed: Tensor = x.reshape(*x.shape[:-1], node.groups, -1).swapaxes(-1, -2).reshape(x.shape)
            return mixed
        case Flatten():
            return x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        case ToRows():
            return x.reshape(len(x), -1, node.values)
    raise AssertionError(f"{type(node).__name__} moves nothing")


def max_pool(node: MaxPool, x: Tensor, pads: Pads, pooled: tuple[int, ...]) -> Tensor:
    """Take the largest of each window, `pooled` windows down and across; what is padded never wins."""
    top, left, bottom, right = pads
    tall, wide = ((steps - 1) * step + size for steps, step, size in zip(pooled, node.stride, node.kernel, strict=True))
    # With `ceil` the last window may reach past the padding.
    below, beyond = max(bottom, tall - top - x.shape[1]), max(right, wide - left - x.shape[2])
    x = padded(x, (top, left, below, beyond), 0 if x.dtype == np.uint8 else -np.inf)
    first, *others = taps(x, node.kernel, node.stride)
    best = first.copy()
    for view in others:
        np.maximum(best, view, out=best)
    return best
