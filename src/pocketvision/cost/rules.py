"""One formula a kernel: multiply-adds (one multiply and one add count as 1; activations, pools and sums as 0)."""

import math

from pocketvision.errors import GraphError
from pocketvision.graph.graph import (
    Activate,
    Add,
    Affine,
    AvgPool,
    Concat,
    Conv,
    Ending,
    Flatten,
    GlobalAvgPool,
    Input,
    Linear,
    LocalNorm,
    MaxPool,
    Mul,
    Node,
    Shape,
    Shuffle,
    Slice,
    ToRows,
)

PALETTE, PALETTE_BITS = "palette", (2, 4, 6, 8)
"""Precisions are named `palette4` and so on."""
FREE = (
    *(Input, Add, Mul, Concat, Slice, Shuffle, Flatten, ToRows, Ending),
    *(Affine, LocalNorm, Activate, MaxPool, AvgPool, GlobalAvgPool),
)
"""What the papers count as nothing: batch norms, activations, pools, sums and products of maps, copies."""


def macs(node: Node, shape: Shape) -> int:
    """Return the multiply-adds of a node with output `shape`, 0 for an unknown layer.

    Raises GraphError for a kernel without a formula.
    """
    match node:
        case Conv():
            outputs, height, width = shape
            _, inputs, kernel_height, kernel_width = node.weight.shape
            return outputs * height * width * int(inputs * kernel_height * kernel_width)
        case Linear():
            return int(node.weight.size)
    if isinstance(node, FREE):
        return 0
    raise GraphError(f"no counting rule for {type(node).__name__} ('{node.name}')")


def params(node: Node) -> int:
    """Return the learned values of a node: weights, biases, gamma and beta of a batch norm folded into it."""
    return node.learned if isinstance(node, Conv | Linear | Affine) else 0


def norm_params(node: Node) -> int:
    """Return how many of a node's learned values are a batch norm's."""
    if isinstance(node, Affine):
        return node.learned
    return node.norm if isinstance(node, Conv | Linear) else 0


def weights(node: Node) -> int:
    """Return a convolution's or fully connected layer's weights alone: no biases, no batch norms."""
    return int(node.weight.size) if isinstance(node, Conv | Linear) else 0


def palette_bits(node: Conv | Linear, bits: int) -> int | None:
    """Return with how many bits a layer names the values of its own table, None where float16 takes no more room.

    Depthwise layers get 8: they hold few of a net's weights, and each counts for much.
    """
    if isinstance(node, Conv) and node.groups > 1 and node.weight.shape[1] == 1:
        bits = max(bits, 8)
    return bits if palette_bytes(node.weight.size, bits, len(node.weight)) < 2 * node.weight.size else None


def palette_bytes(size: int, bits: int, channels: int) -> int:
    """Return the bytes of so many weights with their table and a scale for each channel, all float16."""
    return math.ceil(size * bits / 8) + 2 * int(2**bits + channels)


def weight_bytes(node: Node, precision: str) -> int:
    """Return the bytes of weights and biases in a file: float32, float16 weights with float32 biases, or int8 weights
    with int32 biases and a float32 scale for every output channel. A batch norm by itself is a depthwise 1x1
    convolution in int8. A palette's biases, tables and scales are float16."""
    if not isinstance(node, Conv | Linear | Affine):
        return 0
    if precision == "float":
        return 4 * int(node.weight.size + node.bias.size)
    if precision == "float16":
        return 2 * int(node.weight.size) + 4 * int(node.bias.size)
    if precision.startswith(PALETTE):
        bits = palette_bits(node, int(precision.removeprefix(PALETTE))) if isinstance(node, Conv | Linear) else None
        stored = palette_bytes(node.weight.size, bits, len(node.weight)) if bits else 2 * node.weight.size
        return int(stored + 2 * node.bias.size)
    return int(node.weight.size) + 8 * int(node.bias.size)
