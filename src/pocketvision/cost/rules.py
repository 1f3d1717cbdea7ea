"""One formula a kernel: multiply-adds (one multiply and one add count as 1; activations, pools and sums as 0)."""

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
from pocketvision.graph.storage import FLOAT, Storage, fitted

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


def weight_bytes(node: Node, asked: Storage | None = None) -> int:
    """Return the bytes of weights and biases as the node says that they are stored, or as they would be where the net
    is asked to be stored otherwise. In int8 a batch norm by itself is a depthwise 1x1 convolution."""
    if not isinstance(node, Conv | Linear | Affine):
        return 0
    size, channels = int(node.weight.size), int(node.bias.size)
    if asked is None:
        stored = FLOAT if isinstance(node, Affine) else node.storage
    else:
        depthwise = isinstance(node, Conv) and node.depthwise
        stored = fitted(asked, size, channels, depthwise=depthwise)
    return stored.file_bytes(size, channels)
