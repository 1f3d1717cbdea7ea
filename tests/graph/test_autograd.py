"""The kernels in PyTorch answer as the numpy reference does, and let gradients through."""

import numpy as np
import pytest
import torch

from pocketvision.errors import GraphError
from pocketvision.graph.autograd import ends, logits, sums_of
from pocketvision.graph.graph import Conv, Graph, Linear, Node, Softmax
from pocketvision.graph.run import tensors
from pocketvision.graph.sketch import Sketch
from tests.export.detector import detector, images

ACTIVATIONS = ("hardswish", "hardsigmoid", "sigmoid", "silu", "relu6", "leaky_relu")


def plain(graph):
    return lambda node, x: sums_of(graph, node, x, torch.from_numpy(node.weight), torch.from_numpy(node.bias))


def every_kernel():
    sketch = Sketch(33, seed=1)
    first = sketch.local_norm(sketch.conv("image", 8, kernel=3, stride=2, activation="relu6"))
    deep = sketch.depthwise(first, stride=2, padding="same")
    grouped = sketch.shuffle(sketch.conv(deep, 8, kernel=3, groups=2, activation="none"), 2)
    joined = sketch.concat(sketch.slice(grouped, 2, 6), sketch.add(deep, grouped, activation="relu"))
    for activation in ACTIVATIONS:
        joined = sketch.activate(joined, activation, slope=0.1)
    gated = sketch.multiply(joined, sketch.mean(joined, keep=True))
    small = sketch.average_pool(sketch.max_pool(gated), count_padding=False)
    small = sketch.average_pool(sketch.max_pool(small, ceil=False, padding="same", stride=1))
    both = sketch.concat(sketch.flatten(small), sketch.mean(small))
    return sketch.finish(sketch.linear(both, 5))


def test_every_kernel_answers_as_the_reference():
    graph = every_kernel()
    images = np.random.default_rng(0).integers(0, 256, (3, 33, 33, 3)).astype(np.uint8)
    exact = dict(tensors(graph, images))
    seen = {}

    def passed(node, value):
        seen[node.name] = value.numpy()
        return value

    with torch.no_grad():
        found = logits(graph, images, plain(graph), passed)
    np.testing.assert_allclose(found.numpy(), exact[graph.logits], rtol=1e-4, atol=1e-5)
    assert set(seen) == {node.name for node in graph.nodes[:-1]}
    for name, value in seen.items():
        wanted = exact[name].transpose(0, 3, 1, 2) if exact[name].ndim == 4 else exact[name]
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_first_layer():
    graph = every_kernel()
    images = np.random.default_rng(0).integers(0, 256, (2, 33, 33, 3)).astype(np.uint8)
    layers = [node for node in graph.nodes if isinstance(node, Conv | Linear)]
    weights = {node.name: torch.from_numpy(node.weight).requires_grad_() for node in layers}
    answers = logits(
        graph, images, lambda node, x: sums_of(graph, node, x, weights[node.name], torch.from_numpy(node.bias))
    )
    answers.square().sum().backward()
    assert all(float(weight.grad.abs().max()) > 0 for weight in weights.values())


class Strange(Node):
    """A kernel that nothing knows."""


def test_a_kernel_without_gradients_is_told():
    sketch = Sketch(16)
    whole = sketch.finish(sketch.linear(sketch.mean(sketch.conv("image", 4)), 2))
    graph = Graph((whole.input, Strange("strange", ("image",)), Softmax("answers", ("strange",))))
    with pytest.raises(GraphError, match="no gradients are known through Strange"):
        logits(graph, np.zeros((1, 16, 16, 3), np.uint8), plain(graph))


def test_a_detectors_ends_are_those_of_the_reference():
    graph, pixels = detector(), images()[:2]
    exact = dict(tensors(graph, pixels))
    found = dict(ends(graph, pixels, plain(graph)))
    assert tuple(found) == tuple(name for name in exact if name in graph.ends)
    for name, rows in found.items():
        np.testing.assert_allclose(rows.numpy(), np.moveaxis(exact[name], -1, 1), atol=2e-3)
