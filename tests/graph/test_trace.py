"""Tracing: the graph answers as the torch net does, at every padding, width and resolution."""

import numpy as np
import pytest
import torch
from torch import nn

from pocketvision.errors import GraphError
from pocketvision.graph.graph import Add, Conv, Graph
from pocketvision.graph.run import run
from pocketvision.graph.trace import trace, trace_spec
from pocketvision.models.catalogue import build, names
from pocketvision.train.transfer import to_input
from pocketvision.values import ImageSpec, ModelSpec


def lively(net: nn.Module) -> nn.Module:
    """Give batch norms statistics and parameters of their own, so that folding them shows."""
    torch.manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            module.running_mean = torch.randn(module.num_features) * 0.2
            module.running_var = torch.rand(module.num_features) + 0.5
    return net.eval()


PADDED = [(name, padding) for name in names() for padding in ("symmetric", "same")]
PADDED.remove(("squeezenet1_1", "same"))  # it has one padding rule


@pytest.mark.parametrize("resolution", [64, 75])
@pytest.mark.parametrize(("name", "padding"), PADDED)
def test_the_graph_answers_as_the_net(name: str, resolution: int, padding: str) -> None:
    torch.manual_seed(0)
    net = lively(build(name, width=0.25, resolution=resolution, num_classes=7, padding=padding))
    image = ImageSpec(resolution, mean=(0.48, 0.45, 0.4), std=(0.23, 0.22, 0.25))
    pictures = np.random.default_rng(0).integers(0, 256, (3, resolution, resolution, 3), np.uint8)
    with torch.no_grad():
        expected = net(to_input(pictures, image, torch.device("cpu"))).softmax(1).numpy()
    assert np.abs(run(trace(net, image), pictures) - expected).max() < 1e-5


@pytest.mark.parametrize("name", names())
def test_shapes_are_those_of_torch(name: str) -> None:
    net = build(name, width=0.5, num_classes=7).eval()
    graph = trace(net, ImageSpec(96))
    seen: dict[str, tuple[int, ...]] = {}
    for path, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda _, __, out, path=path: seen.update({path: tuple(out.shape[1:])}))
    with torch.no_grad():
        net(torch.zeros(1, 3, 96, 96))
    assert {path: graph.shapes[path] for path in seen} == seen


def test_another_resolution_is_the_same_net_traced_there() -> None:
    graph = trace_spec(ModelSpec("mobilenet_v2", 0.5, 224))
    there = trace_spec(ModelSpec("mobilenet_v2", 0.5, 96))
    assert dict(graph.at(96).shapes) == dict(there.shapes)


def test_nothing_but_the_kernels_is_left() -> None:
    graph = trace_spec(ModelSpec("mobilenet_v2"))
    assert sum(isinstance(node, Conv) for node in graph.nodes) == 52
    assert sum(isinstance(node, Add) for node in graph.nodes) == 10
    assert len(graph.nodes) == 52 + 10 + 4  # image, mean, linear, softmax


def test_weights_on_the_meta_device_take_no_memory() -> None:
    graph: Graph = trace_spec(ModelSpec("mobilenet_v2"))
    assert all(set(node.weight.strides) == {0} for node in graph.nodes if isinstance(node, Conv))


def test_layers_without_a_kernel_are_named() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    with pytest.raises(GraphError, match="GELU"):
        trace(net, ImageSpec(32))


def test_too_small_a_picture_is_an_error_with_the_layer() -> None:
    graph = trace_spec(ModelSpec("squeezenet1_1", 1.0, 64))
    with pytest.raises(GraphError, match="larger resolution"):
        _ = graph.at(8).shapes


def test_a_norm_whose_input_is_read_elsewhere_is_not_folded() -> None:
    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            return torch.flatten(nn.functional.adaptive_avg_pool2d(y + self.norm(y), 1), 1)

    with pytest.raises(GraphError, match="cannot be folded"):
        trace(Forked().eval(), ImageSpec(32))
