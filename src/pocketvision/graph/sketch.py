"""Graphs drawn by hand, with seeded random weights: the reference net of every latency, and nets to test with."""

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.graph.graph import (
    Add,
    Clamp,
    Concat,
    Conv,
    GlobalAvgPool,
    Graph,
    Input,
    Linear,
    MaxPool,
    Node,
    Pads,
    Softmax,
)


class _Settings(NamedTuple):
    stride: tuple[int, int]
    padding: Pads | Literal["same"]
    groups: int
    activation: Clamp


class Sketch:
    """Collects kernels in running order; each method returns the name of its output tensor.

    Weights are He normal (He et al. 2015), so that activations keep their size through any depth; small random biases.
    """

    def __init__(self, resolution: int, *, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        picture = Input("image", (), resolution, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self._nodes: list[Node] = [picture]
        self._channels = {"image": 3}

    def normalise(self, mean: tuple[float, float, float], std: tuple[float, float, float]) -> None:
        """Normalise pictures as (pixel / 255 - mean) / std instead of to -1..1."""
        picture = self._nodes[0]
        assert isinstance(picture, Input)
        self._nodes[0] = replace(picture, mean=mean, std=std)

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
        return self._conv(source, (outputs, self._channels[source] // groups, kernel, kernel), settings)

    def depthwise(
        self,
        source: str,
        *,
        stride: int = 1,
        activation: Clamp = "relu",
        padding: Pads | Literal["same"] = (1, 1, 1, 1),
    ) -> str:
        """Convolve every channel 3x3 by itself."""
        channels = self._channels[source]
        settings = _Settings((stride, stride), padding, channels, activation)
        return self._conv(source, (channels, 1, 3, 3), settings)

    def linear(self, source: str, outputs: int) -> str:
        """Connect fully, without activation."""
        weight = self._he((outputs, self._channels[source]))
        node = Linear(self._name(), (source,), weight, self._bias(outputs), "none", weight.size + outputs)
        return self._append(node, outputs)

    def add(self, first: str, second: str, *, activation: Clamp = "none") -> str:
        """Sum two tensors."""
        return self._append(Add(self._name(), (first, second), activation), self._channels[first])

    def concat(self, *sources: str) -> str:
        """Join along channels."""
        return self._append(Concat(self._name(), sources), sum(self._channels[name] for name in sources))

    def max_pool(self, source: str, *, kernel: int = 3, stride: int = 2, ceil: bool = True) -> str:
        """Take the largest of each window."""
        return self._append(
            MaxPool(self._name(), (source,), (kernel, kernel), (stride, stride), ceil), self._channels[source]
        )

    def mean(self, source: str) -> str:
        """Average over height and width."""
        return self._append(GlobalAvgPool(self._name(), (source,)), self._channels[source])

    def finish(self, source: str) -> Graph:
        """Return the graph, with a softmax of `source` as its output."""
        self._append(Softmax(self._name(), (source,)), self._channels[source])
        return Graph(tuple(self._nodes))

    def _conv(self, source: str, shape: tuple[int, ...], settings: "_Settings") -> str:
        weight = self._he(shape)
        node = Conv(self._name(), (source,), weight, self._bias(shape[0]), *settings, weight.size + 2 * shape[0])
        return self._append(node, shape[0])

    def _append(self, node: Node, channels: int) -> str:
        self._nodes.append(node)
        self._channels[node.name] = channels
        return node.name

    def _name(self) -> str:
        return f"n{len(self._nodes)}"

    def _he(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        deviation = np.sqrt(2 / np.prod(shape[1:]))
        weight: NDArray[np.float32] = (self._rng.standard_normal(shape) * deviation).astype(np.float32)
        return weight

    def _bias(self, outputs: int) -> NDArray[np.float32]:
        return (self._rng.standard_normal(outputs) * 0.1).astype(np.float32)
