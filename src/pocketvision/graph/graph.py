"""The inference graph: what the phone runs. Some fifteen kernels with numpy weights, shapes and quantization.

Activations are logically NCHW without the batch axis: [C, H, W], [C] after pooling, or rows [values, L] of a detector.
A node's name is the name of its one output. The graph is quantized when `quant` holds a (scale, zero point) for every
tensor up to the endings; its weights are then int8 with one scale per output channel, and its biases int32 in units of
input times weight scale.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import GraphError
from pocketvision.graph.storage import FLOAT, Storage

Clamp = Literal["none", "relu", "relu6"]
"""What a kernel can do to its own output; runtimes fuse these for nothing."""
Activation = Literal["none", "relu", "relu6", "leaky_relu", "hardswish", "hardsigmoid", "sigmoid", "silu"]
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
    """The image: uint8 RGB, handed over as [H, W, 3] and normalized as (pixel / 255 - mean) / std.

    A net for other than three channels has as many means and deviations.
    """

    resolution: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Conv(Node):
    """Convolution of every kind: full, grouped, depthwise, pointwise; weight [O, I / groups, kh, kw]."""

    weight: Array
    bias: Array
    """[O]; float32, or int32 when quantized."""
    stride: tuple[int, int]
    padding: Pads | Literal["same"]
    """`same` is TensorFlow's rule: the output is ceil(input / stride), the odd pixel is added at the end."""
    groups: int
    activation: Clamp
    learned: int
    """Learned values of the layer this came from: weights, bias, and gamma and beta of a folded batch norm."""
    weight_scale: Array | None = None
    """[O] float32 when quantized."""
    norm: int = 0
    """How many of `learned` are a batch norm's."""
    storage: Storage = FLOAT

    @property
    def depthwise(self) -> bool:
        """Whether each output channel reads one of many input channels."""
        return self.groups > 1 and self.weight.shape[1] == 1


@dataclass(frozen=True, eq=False)
class Linear(Node):
    """Fully connected layer on [C]; weight [O, I]."""

    weight: Array
    bias: Array
    activation: Clamp
    learned: int
    weight_scale: Array | None = None
    norm: int = 0
    storage: Storage = FLOAT


@dataclass(frozen=True, eq=False)
class Affine(Node):
    """Multiplies every channel by `weight` [C] and adds `bias` [C]: a batch norm that no convolution could take in.

    In integers it is a depthwise 1x1 convolution.
    """

    weight: Array
    bias: Array
    activation: Clamp
    learned: int


@dataclass(frozen=True, eq=False)
class Add(Node):
    """Elementwise sum of two equal shapes."""

    activation: Clamp


@dataclass(frozen=True, eq=False)
class Mul(Node):
    """Elementwise product of [C, H, W] with the same shape or with one value a channel, [C, 1, 1]."""


@dataclass(frozen=True, eq=False)
class Concat(Node):
    """Joins along channels."""


@dataclass(frozen=True, eq=False)
class Slice(Node):
    """Channels `start` up to, without, `stop`."""

    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Shuffle(Node):
    """Channel shuffle (ShuffleNet): channels [g, C / g] are read as [C / g, g]."""

    groups: int


@dataclass(frozen=True, eq=False)
class MaxPool(Node):
    """Max pooling; what is padded never wins. `ceil` keeps a partial window at the end, as Caffe does."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    ceil: bool
    padding: Pads | Literal["same"] = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class AvgPool(Node):
    """Average pooling; `count_padding` divides by the whole window also at the border (Caffe, PyTorch)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: Pads | Literal["same"] = (0, 0, 0, 0)
    count_padding: bool = True


@dataclass(frozen=True, eq=False)
class GlobalAvgPool(Node):
    """Mean over height and width: [C, H, W] -> [C], or [C, 1, 1] where `keep` says so."""

    keep: bool = False


@dataclass(frozen=True, eq=False)
class Flatten(Node):
    """[C, H, W] -> [C * H * W], channels slowest."""


@dataclass(frozen=True, eq=False)
class ToRows(Node):
    """[C, H, W] -> [values, H * W * C / values]: `values` channels that belong together become one row each.

    Rows stand in the order of lines, columns, and groups of channels: the anchors of a detector's map.
    """

    values: int


@dataclass(frozen=True, eq=False)
class LocalNorm(Node):
    """Local response normalization over `size` channels: x / (k + alpha / size * sum x^2)^beta (AlexNet, 3.3)."""

    size: int
    alpha: float
    beta: float
    k: float


@dataclass(frozen=True, eq=False)
class Activate(Node):
    """An activation that no other kernel could take in; `slope` is the leaky ReLU's."""

    activation: Activation
    slope: float = 0.0


@dataclass(frozen=True, eq=False)
class Ending(Node):
    """What makes answers of a net's last maps, at the end of its graph and always float; the task says which ones."""


@dataclass(frozen=True, eq=False)
class Softmax(Ending):
    """Probabilities that share 1 among them: exactly one of the labels is true."""


@dataclass(frozen=True, eq=False)
class Sigmoid(Ending):
    """A probability for each by itself: any number of the labels are true."""


@dataclass(frozen=True, eq=False)
class JoinRows(Ending):
    """Rows of several maps, one map after the other: [values, L] each. In float, so that every map keeps its levels."""


@dataclass(frozen=True, eq=False)
class Suppress(Ending):
    """Boxes of codes [4, L] and scores [classes, L], those left out that overlap a better one of their class.

    Gives [6, most]: y1, x1, y2, x2 as shares of the image, the class and the score, best first, zeros behind the last.
    The first input are the codes, the second the scores. `boxes.py` has the formulas.
    """

    anchors: Array
    """[L, 4]: center y, center x, height, width, as shares of the image."""
    score_threshold: float
    """Least score of a box."""
    iou_threshold: float
    """Largest overlap with a better box of the same class, as intersection over union."""
    most: int
    """Boxes that are kept."""


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

    @property
    def logits(self) -> str:
        """Return the name of what the ending makes probabilities of; raises GraphError for a graph without one."""
        if not isinstance(self.nodes[-1], Ending):
            raise GraphError("the graph ends without probabilities, so it has no logits")
        return self.nodes[-1].inputs[0]

    @property
    def ends(self) -> tuple[str, ...]:
        """Return the names of the tensors that endings read and none of them made: of a classifier its logits."""
        made = {node.name for node in self.nodes if isinstance(node, Ending)}
        read = (name for node in self.nodes if isinstance(node, Ending) for name in node.inputs)
        return tuple(dict.fromkeys(name for name in read if name not in made))

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Return the shape of every tensor by name; raises GraphError where a kernel does not fit."""
        shapes: dict[str, Shape] = {}
        for node in self.nodes:
            shapes[node.name] = shape_of(node, [shapes[name] for name in node.inputs])
        return shapes

    def at(self, resolution: int) -> "Graph":
        """Return the same net for images of another size."""
        return Graph((replace(self.input, resolution=resolution), *self.nodes[1:]), self.quant)

    def pads(self, node: "Conv | MaxPool | AvgPool") -> Pads:
        """Return the padding of a convolution or pool in pixels: top, left, bottom, right."""
        _, height, width = self.shapes[node.inputs[0]]
        return pads(node, height, width)

    def consumers(self, name: str) -> tuple[Node, ...]:
        """Return the nodes that read a tensor."""
        return tuple(node for node in self.nodes if name in node.inputs)


def pads(node: Conv | MaxPool | AvgPool, height: int, width: int) -> Pads:
    """Resolve a convolution's or a pool's padding for an input of this size."""
    if node.padding != "same":
        return node.padding
    kernel = node.weight.shape[2:] if isinstance(node, Conv) else node.kernel
    return same_pads((height, width), kernel, node.stride)


def same_pads(size: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, int]) -> Pads:
    """Return what TensorFlow's rule `same` pads an input of this height and width with."""
    top, bottom = _same(size[0], kernel[0], stride[0])
    left, right = _same(size[1], kernel[1], stride[1])
    return top, left, bottom, right


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def shape_of(node: Node, inputs: list[Shape]) -> Shape:
    """Return the shape of a node's output; raises GraphError where the kernel does not fit its inputs."""
    first = inputs[0] if inputs else ()
    match node:
        case Input():
            return len(node.mean), node.resolution, node.resolution
        case Conv() | MaxPool() | AvgPool():
            return _windowed(node, first)
        case Linear():
            _require(node, first == (node.weight.shape[1],), first)
            return (node.weight.shape[0],)
        case Add():
            _require(node, first == inputs[1], first)
            return first
        case Mul():
            _require(node, inputs[1] in (first, (first[0], 1, 1)), inputs[1])
            return first
        case Concat():
            _require(node, len({shape[1:] for shape in inputs}) == 1, first)
            return sum(shape[0] for shape in inputs), *first[1:]
        case GlobalAvgPool():
            return (first[0], 1, 1) if node.keep else first[:1]
        case Flatten():
            return (math.prod(first),)
    if isinstance(node, ToRows | JoinRows | Suppress):
        return _in_rows(node, inputs)
    return _channelwise(node, first)


def _in_rows(node: ToRows | JoinRows | Suppress, inputs: list[Shape]) -> Shape:
    first = inputs[0]
    match node:
        case ToRows():
            _require(node, len(first) == 3 and first[0] % node.values == 0, first)
            return node.values, math.prod(first) // node.values
        case JoinRows():
            _require(node, len({shape[0] for shape in inputs}) == 1 and len(first) == 2, first)
            return first[0], sum(shape[1] for shape in inputs)
    _require(node, first == (4, len(node.anchors)) and inputs[1][1:] == first[1:], first)
    return 6, node.most


def _channelwise(node: Node, shape: Shape) -> Shape:
    match node:
        case Affine():
            _require(node, shape[0] == len(node.weight), shape)
        case Shuffle():
            _require(node, shape[0] % node.groups == 0, shape)
        case Slice():
            _require(node, 0 <= node.start < node.stop <= shape[0], shape)
            return node.stop - node.start, *shape[1:]
        case LocalNorm() | Activate() | Ending():
            pass
        case _:
            raise GraphError(f"the graph has no shape rule for {type(node).__name__} ('{node.name}')")
    return shape


def _windowed(node: Conv | MaxPool | AvgPool, shape: Shape) -> Shape:
    _require(node, len(shape) == 3, shape)
    channels, *sizes = shape
    kernel = node.weight.shape[2:] if isinstance(node, Conv) else node.kernel
    if isinstance(node, Conv):
        _require(node, channels == node.weight.shape[1] * node.groups, shape)
        channels = node.weight.shape[0]
    padded = pads(node, sizes[0], sizes[1])
    ceil = isinstance(node, MaxPool) and node.ceil
    out: list[int] = []
    for axis, size in enumerate(sizes):
        before, after = padded[axis], padded[axis + 2]
        steps = size + before + after - kernel[axis]
        _require(node, steps >= 0, shape)
        count = (-(-steps // node.stride[axis]) if ceil else steps // node.stride[axis]) + 1
        # A window has to start inside the image (Caffe's and PyTorch's rule).
        out.append(count - 1 if ceil and (count - 1) * node.stride[axis] >= size + before else count)
    return channels, *out


def _require(node: Node, fits: bool, shape: Shape) -> None:
    if not fits:
        raise GraphError(
            f"{type(node).__name__} '{node.name}' cannot take an input of shape {shape}; try a larger resolution"
        )
