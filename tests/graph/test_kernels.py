"""The float kernels against torch, window by window and activation by activation."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pocketvision.errors import GraphError
from pocketvision.graph.graph import Activate, Graph, Input, LocalNorm, Node
from pocketvision.graph.run import activations, run
from pocketvision.graph.sketch import Sketch
from pocketvision.graph.trace import trace
from pocketvision.values import ImageSpec

ACTIVATIONS = {
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "leaky_relu": nn.LeakyReLU(0.3),
    "hardswish": nn.Hardswish(),
    "hardsigmoid": nn.Hardsigmoid(),
    "sigmoid": nn.Sigmoid(),
    "silu": nn.SiLU(),
}


def image_batch(size: int, count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def as_input(images: np.ndarray) -> Tensor:
    """Normalize as the plain input does, to -0.5..0.5."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2) / np.float32(255)) - 0.5


def last(graph: Graph, images: np.ndarray) -> np.ndarray:
    *_, (_, tensor) = activations(graph, images)
    return tensor


def after_input(*nodes, size: int) -> Graph:
    return Graph((Input("x", (), size, (0.5,) * 3, (1.0,) * 3), *nodes))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    values = np.array([-1e30, -100, -3.1, -3, -1, -0.0, 0, 0.5, 2.9, 3, 6.5, 100, 1e30], np.float32)
    graph = after_input(Activate("a", ("x",), name, 0.3), size=8)
    images = image_batch(8)
    found = last(graph, images)
    np.testing.assert_allclose(found, ACTIVATIONS[name](as_input(images)).numpy(), atol=1e-6)
    from pocketvision.graph.real import activated

    expected = ACTIVATIONS[name](torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(activated(values.copy(), name, 0.3), expected, rtol=1e-5, atol=1e-6)


WINDOWS = [
    (kernel, stride, padding)
    for kernel, stride in product([2, 3, (2, 3)], [1, 2, 3, (1, 2)])
    for padding in ([0, 1] if kernel in (2, 3) else [0, (1, 0)])
]


@pytest.mark.parametrize("size", [7, 8, 9, 10])
def test_pools_of_every_window(size: int) -> None:
    images = image_batch(size)
    values = as_input(images)
    for kernel, stride, padding in WINDOWS:
        pools = [nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil) for ceil in (False, True)]
        pools += [nn.AvgPool2d(kernel, stride, padding, count_include_pad=counted) for counted in (False, True)]
        for pool in pools:
            net = nn.Sequential(pool, nn.Flatten()).eval()
            nodes = trace(net, ImageSpec(size, std=(1.0, 1.0, 1.0))).nodes
            found = last(Graph(nodes[:2]), images)
            np.testing.assert_allclose(found, pool(values).numpy(), atol=1e-6, err_msg=str(pool))


@pytest.mark.parametrize("settings", [(1, 0.5, 0.75, 1.0), (3, 1e-4, 0.75, 2.0), (5, 2.0, 0.5, 1.0)])
def test_local_norm(settings: tuple[int, float, float, float]) -> None:
    size, alpha, beta, k = settings
    images = image_batch(6)
    found = last(after_input(LocalNorm("l", ("x",), size, alpha, beta, k), size=6), images)
    np.testing.assert_allclose(found, nn.LocalResponseNorm(*settings)(as_input(images)).numpy(), atol=1e-6)


def test_moves_of_channels() -> None:
    sketch = Sketch(4)
    maps = sketch.conv("image", 6, activation="none")
    for name in (sketch.shuffle(maps, 3), sketch.slice(maps, 1, 4), sketch.flatten(maps)):
        assert name
    graph = Graph(tuple(sketch._nodes))
    found = dict(activations(graph, image_batch(4)))
    values = torch.from_numpy(found[maps])
    assert (found["n2"] == nn.ChannelShuffle(3)(values).numpy()).all()
    assert (found["n3"] == values[:, 1:4].numpy()).all()
    assert (found["n4"] == values.flatten(1).numpy()).all()


def test_products_of_maps_and_of_one_value_a_channel() -> None:
    sketch = Sketch(4)
    maps = sketch.conv("image", 6, activation="none")
    gate = sketch.mean(maps, keep=True)
    sketch.multiply(maps, gate)
    sketch.multiply(maps, maps)
    found = dict(activations(Graph(tuple(sketch._nodes)), image_batch(4)))
    np.testing.assert_allclose(found["n3"], found[maps] * found[maps].mean((2, 3), keepdims=True), atol=1e-6)
    np.testing.assert_allclose(found["n4"], found[maps] ** 2, atol=1e-6)


def test_images_of_five_channels() -> None:
    sketch = Sketch(8, channels=5)
    graph = sketch.finish(sketch.mean(sketch.conv("image", 3, kernel=3)))
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 5), dtype=np.uint8)
    assert run(graph, images).shape == (2, 3)
    with pytest.raises(GraphError, match=r"\[N, 8, 8, 5\]"):
        run(graph, images[..., :3])


def test_what_has_no_kernel_is_not_run() -> None:
    class Strange(Node):
        """A node that nothing knows."""

    graph = after_input(Strange("o", ("x",)), size=4)
    with pytest.raises(GraphError, match="Strange"):
        run(graph, image_batch(4))
