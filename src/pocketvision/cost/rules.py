"""One formula a kernel: multiply-adds (one multiply and one add count as 1; activations, pools and sums as 0)."""

from pocketvision.errors import GraphError
from pocketvision.graph.graph import (
    Activate,
    Add,
    Concat,
    Conv,
    GlobalAvgPool,
    Input,
    Linear,
    MaxPool,
    Node,
    Shape,
    Softmax,
)


def macs(node: Node, shape: Shape) -> int:
    """Return the multiply-adds of a node with output `shape`; raises GraphError for a kernel without a formula."""
    match node:
        case Conv():
            outputs, height, width = shape
            _, inputs, kernel_height, kernel_width = node.weight.shape
            return outputs * height * width * int(inputs * kernel_height * kernel_width)
        case Linear():
            return int(node.weight.size)
        case Input() | Add() | Concat() | MaxPool() | GlobalAvgPool() | Activate() | Softmax():
            return 0
    raise GraphError(f"no counting rule for {type(node).__name__} ('{node.name}')")


def params(node: Node) -> int:
    """Return the learned values of a node: weights, biases, gamma and beta of a batch norm folded into it."""
    return node.learned if isinstance(node, Conv | Linear) else 0


def weight_bytes(node: Node, precision: str) -> int:
    """Return the bytes of weights and biases in a file: float32, or int8 weights with int32 biases and a float32
    scale for every output channel."""
    if not isinstance(node, Conv | Linear):
        return 0
    if precision == "float":
        return 4 * int(node.weight.size + node.bias.size)
    return int(node.weight.size) + 8 * int(node.bias.size)
