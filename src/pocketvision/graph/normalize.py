"""Where an image is normalized: parts of it can move from the input into the first convolutions."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pocketvision.errors import GraphError
from pocketvision.graph.graph import Conv, Graph, Input, Linear, Node
from pocketvision.graph.sums import Tensor


def with_deviation(graph: Graph, deviation: float) -> Graph:
    """Return an equal net that divides the image by `deviation`; its first weights make up for it."""
    image = replace(graph.input, std=(deviation,) * len(graph.input.std))
    factors = deviation / np.array(graph.input.std)
    return _moved(graph, image, lambda node: _scaled(node, factors))


def with_mean(graph: Graph, mean: float) -> Graph:
    """Return a net that takes `mean` from every channel; the first biases make up for it, except at the border.

    Padding then means a pixel of `mean`, not of each channel's own mean.
    """
    image = replace(graph.input, mean=(mean,) * len(graph.input.mean))
    shifts = (mean - np.array(graph.input.mean)) / np.array(graph.input.std)
    return _moved(graph, image, lambda node: _shifted(node, shifts))


def feeds_convolutions(graph: Graph) -> bool:
    """Whether only convolutions read the image."""
    return all(isinstance(node, Conv) for node in graph.consumers(graph.input.name))


def in_half(graph: Graph) -> bool:
    """Whether weights are float16: scaled ones would be rounded twice."""
    return any(isinstance(node, Conv | Linear) and node.weight.dtype == np.float16 for node in graph.nodes)


def _moved(graph: Graph, image: Input, change: Callable[[Conv], Conv]) -> Graph:
    nodes: list[Node] = [image]
    for node in graph.nodes[1:]:
        if image.name not in node.inputs:
            nodes.append(node)
        elif isinstance(node, Conv):
            nodes.append(change(node))
        else:
            raise GraphError(f"the image has to go into a convolution, not into '{node.name}'")
    return Graph(tuple(nodes))


def _scaled(node: Conv, factors: Tensor) -> Conv:
    weight: Tensor = node.weight
    weight = weight * per_weight(node, factors)
    return replace(node, weight=weight.astype(np.float32))


def _shifted(node: Conv, shifts: Tensor) -> Conv:
    weight: Tensor = node.weight
    bias = node.bias + (weight * per_weight(node, shifts)).sum(axis=(1, 2, 3))
    return replace(node, bias=bias.astype(np.float32))


def per_weight(node: Conv, values: Tensor) -> Tensor:
    """Spread one value per input channel over weights: [O, I / groups, 1, 1]."""
    outputs, depth = node.weight.shape[:2]
    first = np.arange(outputs) // (outputs // node.groups) * depth
    spread: Tensor = values[first[:, None] + np.arange(depth)]
    return spread[:, :, None, None]
