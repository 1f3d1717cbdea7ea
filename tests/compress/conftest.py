"""Images and a net whose channels differ as widely as those of nets trained in float."""

from dataclasses import replace

import numpy as np
import pytest

from pocketvision.graph.graph import Conv, Graph
from pocketvision.graph.sketch import Sketch


@pytest.fixture
def draw():
    """Return a function that draws smooth images with some noise, so that answers differ."""

    def image_batch(count, size=32, seed=0):
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 256, (count, 4, 4, 3)).repeat(size // 4, axis=1).repeat(size // 4, axis=2)
        return np.clip(coarse + rng.integers(-20, 21, coarse.shape), 0, 255).astype(np.uint8)

    return image_batch


@pytest.fixture
def uneven():
    """Return a function that makes a separable net of one activation, every eighth channel 32 times as large."""

    def net(activation="relu"):
        sketch = Sketch(32, seed=3)
        tensor = sketch.conv("image", 16, kernel=3, stride=2, activation=activation)
        for _ in range(3):
            tensor = sketch.conv(sketch.depthwise(tensor, activation=activation), 24, activation=activation)
        graph = sketch.finish(sketch.linear(sketch.mean(tensor), 10))
        return Graph(tuple(_apart(graph, node) for node in graph.nodes))

    return net


def _apart(graph, node):
    """Enlarge every eighth output channel and shrink all others, and undo it in the depthwise convolution behind."""
    if not isinstance(node, Conv):
        return node
    factors = np.where(np.arange(len(node.bias)) % 8, 1 / 8, 4).astype(np.float32)
    if node.groups > 1:
        return replace(node, weight=node.weight / factors[:, None, None, None])
    if any(isinstance(reader, Conv) for reader in graph.consumers(node.name)):
        return replace(node, weight=node.weight * factors[:, None, None, None], bias=node.bias * factors)
    return node
