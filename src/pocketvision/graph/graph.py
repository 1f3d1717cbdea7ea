"""The inference graph: what the phone runs. A dozen kernels with numpy weights, shapes, and quantisation parameters.

Activations are logically NCHW without the batch axis: [C, H, W], or [C] after pooling. A node's name is the name of
its one output. The graph is quantised when `quant` holds a (scale, zero point) for every tensor up to the softmax;
its weights are then int8 with one scale per output channel, and its biases int32 in units of input times weight scale.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import GraphError

Activation = Literal["none", "relu", "relu6"]
Shape = tuple[int, ...]
Pads = tuple[int, int, int, int]
"""Top, left, bottom, right."""
Array = NDArray[np.generic]


class Quant(NamedTuple):
    """real = scale * (uint8 - zero_point)."""

    scale: float
    zero_point: int


@dataclass(frozen=True, eq=False)
class Node:
    """One kernel; `inputs` are names of earlier nodes."""

    name: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Input(Node):
    """The picture: uint8 RGB, handed over as [H, W, 3] and normalised as (pixel / 255 - mean) / std."""

    resolution: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Conv(Node):
    """Convolution of every kind: full, grouped, depthwise, pointwise; weight [O, I / groups, kh, kw]."""

    weight: Array
    bias: Array
    """[O]; float32, or int32 when quantised."""
    stride: tuple[int, int]
    padding: Pads | Literal["same"]
    """`same` is TensorFlow's rule: the output is ceil(input / stride), the odd pixel is added at the end."""
    groups: int
    activation: Activation
    learned: int
    """Learned values of the layer this came from: weights, bias, and gamma and beta of a folded batch norm."""
    weight_scale: Array | None = None
    """[O] float32 when quantised."""


@dataclass(frozen=True, eq=False)
class Linear(Node):
    """Fully connected layer on [C]; weight [O, I]."""

    weight: Array
    bias: Array
    activation: Activation
    learned: int
    weight_scale: Array | None = None


@dataclass(frozen=True, eq=False)
class Add(Node):
    """Elementwise sum of two equal shapes."""

    activation: Activation


@dataclass(frozen=True, eq=False)
class Concat(Node):
    """Joins along channels."""


@dataclass(frozen=True, eq=False)
class MaxPool(Node):
    """Square max pooling without padding; `ceil` keeps a partial window at the end, as Caffe does."""

    kernel: int
    stride: int
    ceil: bool


@dataclass(frozen=True, eq=False)
class GlobalAvgPool(Node):
    """Mean over height and width: [C, H, W] -> [C]."""


@dataclass(frozen=True, eq=False)
class Activate(Node):
    """An activation that no other kernel could take in."""

    activation: Activation


@dataclass(frozen=True, eq=False)
class Softmax(Node):
    """Probabilities over [C]; always float."""


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in the order they run; the last one is the output."""

    nodes: tuple[Node, ...]
    quant: Mapping[str, Quant] | None = None

    @property
    def input(self) -> Input:
        """Return the one input node."""
        node = self.nodes[0]
        assert isinstance(node, Input)
        return node

    @property
    def output(self) -> str:
        """Return the name of the output tensor."""
        return self.nodes[-1].name

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Return the shape of every tensor by name; raises GraphError where a kernel does not fit."""
        shapes: dict[str, Shape] = {}
        for node in self.nodes:
            shapes[node.name] = _shape(node, [shapes[name] for name in node.inputs])
        return shapes

    def at(self, resolution: int) -> "Graph":
        """Return the same net for pictures of another size."""
        return Graph((replace(self.input, resolution=resolution), *self.nodes[1:]), self.quant)

    def pads(self, node: Conv) -> Pads:
        """Return the padding of a convolution in pixels: top, left, bottom, right."""
        _, height, width = self.shapes[node.inputs[0]]
        return pads(node, height, width)

    def consumers(self, name: str) -> tuple[Node, ...]:
        """Return the nodes that read a tensor."""
        return tuple(node for node in self.nodes if name in node.inputs)


def pads(node: Conv, height: int, width: int) -> Pads:
    """Resolve a convolution's padding for an input of this size."""
    if node.padding != "same":
        return node.padding
    top, bottom = _same(height, node.weight.shape[2], node.stride[0])
    left, right = _same(width, node.weight.shape[3], node.stride[1])
    return top, left, bottom, right


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _shape(node: Node, inputs: list[Shape]) -> Shape:
    match node:
        case Input():
            return 3, node.resolution, node.resolution
        case Conv():
            return _conv_shape(node, inputs[0])
        case MaxPool():
            channels, height, width = inputs[0]
            return channels, _pooled(node, height), _pooled(node, width)
        case Linear():
            _require(node, inputs[0] == (node.weight.shape[1],), inputs[0])
            return (node.weight.shape[0],)
        case Add():
            _require(node, inputs[0] == inputs[1], inputs[0])
            return inputs[0]
        case Concat():
            return sum(shape[0] for shape in inputs), *inputs[0][1:]
        case GlobalAvgPool():
            return inputs[0][:1]
        case Activate() | Softmax():
            return inputs[0]
    raise GraphError(f"the graph has no shape rule for {type(node).__name__} ('{node.name}')")


def _conv_shape(node: Conv, shape: Shape) -> Shape:
    channels, height, width = shape
    _require(node, channels == node.weight.shape[1] * node.groups, shape)
    top, left, bottom, right = pads(node, height, width)
    out_height = (height + top + bottom - node.weight.shape[2]) // node.stride[0] + 1
    out_width = (width + left + right - node.weight.shape[3]) // node.stride[1] + 1
    _require(node, out_height > 0 and out_width > 0, shape)
    return node.weight.shape[0], out_height, out_width


def _pooled(node: MaxPool, size: int) -> int:
    steps = size - node.kernel
    _require(node, steps >= 0, (size, size))
    pooled = (-(-steps // node.stride) if node.ceil else steps // node.stride) + 1
    # A window has to start inside the picture (Caffe's and PyTorch's rule).
    return pooled - 1 if node.ceil and (pooled - 1) * node.stride >= size else pooled


def _require(node: Node, fits: bool, shape: Shape) -> None:
    if not fits:
        raise GraphError(
            f"{type(node).__name__} '{node.name}' cannot take an input of shape {shape}; try a larger resolution"
        )
