"""Graphs drawn by hand, with seeded random weights: the reference net of every latency, and nets to test with."""

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.graph.graph import (
    Activate,
    Activation,
    Add,
    Affine,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Flatten,
    GlobalAvgPool,
    Graph,
    Input,
    Linear,
    LocalNorm,
    MaxPool,
    Mul,
    Node,
    Pads,
    Shape,
    Shuffle,
    Slice,
    Softmax,
    shape_of,
)

Padding = Pads | Literal["same"]
_UNPADDED: Pads = (0, 0, 0, 0)


class _Settings(NamedTuple):
    stride: tuple[int, int]
    padding: Padding
    groups: int
    activation: Clamp


class Sketch:
    """Collects kernels in running order; each method returns the name of its output tensor.

    Weights are He normal (He et al. 2015), so that activations keep their size through any depth; small random biases.
    """

    def __init__(self, resolution: int, *, seed: int = 0, channels: int = 3) -> None:
        self._rng = np.random.default_rng(seed)
        self._nodes: list[Node] = []
        self._shapes: dict[str, Shape] = {}
        self._append(Input("image", (), resolution, (0.5,) * channels, (0.5,) * channels))

    def normalize(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """Normalize images as (pixel / 255 - mean) / std instead of to -1..1."""
        image = self._nodes[0]
        assert isinstance(image, Input)
        self._nodes[0] = replace(image, mean=mean, std=std)

    def conv(
        self,
        source: str,
        outputs: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: Clamp = "relu",
    ) -> str:
        """Convolve, padded by half the kernel."""
        half = kernel // 2
        settings = _Settings((stride, stride), (half, half, half, half), groups, activation)
        return self._conv(source, (outputs, self._shapes[source][0] // groups, kernel, kernel), settings)

    def depthwise(
        self, source: str, *, stride: int = 1, activation: Clamp = "relu", padding: Padding = (1, 1, 1, 1)
    ) -> str:
        """Convolve every channel 3x3 by itself."""
        channels = self._shapes[source][0]
        settings = _Settings((stride, stride), padding, channels, activation)
        return self._conv(source, (channels, 1, 3, 3), settings)

    def linear(self, source: str, outputs: int) -> str:
        """Connect fully, without activation."""
        weight = self._he((outputs, self._shapes[source][0]))
        node = Linear(self._name(), (source,), weight, self._bias(outputs), "none", weight.size + outputs)
        return self._append(node)

    def add(self, first: str, second: str, *, activation: Clamp = "none") -> str:
        """Sum two tensors."""
        return self._append(Add(self._name(), (first, second), activation))

    def concat(self, *sources: str) -> str:
        """Join along channels."""
        return self._append(Concat(self._name(), sources))

    def affine(self, source: str, *, activation: Clamp = "none") -> str:
        """Multiply and shift every channel by itself, as a batch norm does."""
        channels = self._shapes[source][0]
        weight = self._rng.uniform(0.5, 1.5, channels).astype(np.float32)
        return self._append(Affine(self._name(), (source,), weight, self._bias(channels), activation, 2 * channels))

    def multiply(self, first: str, second: str) -> str:
        """Multiply by a tensor of the same shape, or by one value a channel."""
        return self._append(Mul(self._name(), (first, second)))

    def slice(self, source: str, start: int, stop: int) -> str:
        """Keep some channels."""
        return self._append(Slice(self._name(), (source,), start, stop))

    def shuffle(self, source: str, groups: int) -> str:
        """Shuffle channels."""
        return self._append(Shuffle(self._name(), (source,), groups))

    def max_pool(
        self, source: str, *, kernel: int = 3, stride: int = 2, ceil: bool = True, padding: Padding = _UNPADDED
    ) -> str:
        """Take the largest of each window."""
        return self._append(MaxPool(self._name(), (source,), (kernel, kernel), (stride, stride), ceil, padding))

    def average_pool(
        self,
        source: str,
        *,
        kernel: int = 3,
        stride: int = 1,
        padding: Padding = (1, 1, 1, 1),
        count_padding: bool = True,
    ) -> str:
        """Average each window."""
        sizes = (kernel, kernel), (stride, stride)
        return self._append(AvgPool(self._name(), (source,), *sizes, padding, count_padding))

    def mean(self, source: str, *, keep: bool = False) -> str:
        """Average over height and width."""
        return self._append(GlobalAvgPool(self._name(), (source,), keep))

    def flatten(self, source: str) -> str:
        """Lay maps out as one vector."""
        return self._append(Flatten(self._name(), (source,)))

    def local_norm(self, source: str, *, size: int = 5, alpha: float = 1e-4, k: float = 2.0) -> str:
        """Normalize over neighboring channels, with AlexNet's constants unless told otherwise."""
        return self._append(LocalNorm(self._name(), (source,), size, alpha, 0.75, k))

    def activate(self, source: str, activation: Activation, *, slope: float = 0.0) -> str:
        """Apply an activation by itself."""
        return self._append(Activate(self._name(), (source,), activation, slope))

    def finish(self, source: str) -> Graph:
        """Return the graph, with a softmax of `source` as its output."""
        self._append(Softmax(self._name(), (source,)))
        return Graph(tuple(self._nodes))

    def _conv(self, source: str, shape: tuple[int, ...], settings: "_Settings") -> str:
        weight = self._he(shape)
        node = Conv(self._name(), (source,), weight, self._bias(shape[0]), *settings, weight.size + 2 * shape[0])
        return self._append(node)

    def _append(self, node: Node) -> str:
        self._nodes.append(node)
        self._shapes[node.name] = shape_of(node, [self._shapes[name] for name in node.inputs])
        return node.name

    def _name(self) -> str:
        return f"n{len(self._nodes)}"

    def _he(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        deviation = np.sqrt(2 / np.prod(shape[1:]))
        weight: NDArray[np.float32] = (self._rng.standard_normal(shape) * deviation).astype(np.float32)
        return weight

    def _bias(self, outputs: int) -> NDArray[np.float32]:
        return (self._rng.standard_normal(outputs) * 0.1).astype(np.float32)
