"""Tracing: what it makes of a net's layers, what it refuses, and what it leaves out."""

import pytest
import torch
from torch import nn

from pocketvision.errors import GraphError
from pocketvision.graph.graph import Add, AvgPool, Conv, Flatten, GlobalAvgPool, Graph, Linear
from pocketvision.graph.trace import trace, trace_spec
from pocketvision.values import ImageSpec, ModelSpec


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2", "googlenet", "squeezenet1_0"])
def test_another_resolution_is_the_same_net_traced_there(name: str) -> None:
    graph = trace_spec(ModelSpec(name, 0.5, 224))
    there = trace_spec(ModelSpec(name, 0.5, 96))
    assert dict(graph.at(96).shapes) == dict(there.shapes)


def test_a_net_that_flattens_maps_has_one_resolution() -> None:
    graph = trace_spec(ModelSpec("effnet", 1.0, 32))
    with pytest.raises(GraphError, match="Linear"):
        _ = graph.at(64).shapes


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


def test_too_small_a_image_is_an_error_with_the_layer() -> None:
    graph = trace_spec(ModelSpec("squeezenet1_1", 1.0, 64))
    with pytest.raises(GraphError, match="larger resolution"):
        _ = graph.at(8).shapes


def layers(*modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *modules).eval()


def test_means_are_vectors_only_where_they_are_flattened() -> None:
    flat = trace(layers(nn.AdaptiveAvgPool2d(1), nn.Dropout(), nn.Flatten(), nn.Linear(4, 2)), ImageSpec(8))
    assert [type(node) for node in flat.nodes[2:4]] == [GlobalAvgPool, Linear]
    late = trace(layers(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 6, 1), nn.Flatten()), ImageSpec(8))
    assert [type(node) for node in late.nodes[2:5]] == [GlobalAvgPool, Conv, Flatten]
    assert late.shapes[late.nodes[2].name] == (4, 1, 1)


def test_adaptive_pools_become_windows_where_sizes_divide() -> None:
    graph = trace(layers(nn.AdaptiveAvgPool2d((4, 2)), nn.AdaptiveAvgPool2d(None), nn.Flatten()), ImageSpec(8))
    [pool] = [node for node in graph.nodes if isinstance(node, AvgPool)]
    assert (pool.kernel, pool.stride) == ((2, 4), (2, 4))
    with pytest.raises(GraphError, match=r"8x8 to 3x3.*resolution"):
        trace(layers(nn.AdaptiveAvgPool2d(3)), ImageSpec(8))


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.MaxPool2d(2, dilation=2),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.LocalResponseNorm(4),
        nn.Flatten(2),
        nn.BatchNorm2d(4, track_running_stats=False),
    ],
)
def test_settings_without_a_kernel_are_refused(module: nn.Module) -> None:
    with pytest.raises(GraphError):
        trace(layers(module), ImageSpec(8))


def test_a_net_for_other_channels() -> None:
    for channels in (1, 5):
        net = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
        graph = trace(net, ImageSpec(8, mean=(0.4, 0.5, 0.6)))
        assert graph.shapes["image"] == (channels, 8, 8)
        assert graph.input.mean == pytest.approx((0.5,) * channels)


def test_a_clamp_behind_a_join_is_done_before_it() -> None:
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.relu = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            left, right = self.first(x), self.second(x)
            maps = self.relu(torch.cat([left, self.relu(right)], 1))
            return torch.flatten(nn.functional.adaptive_avg_pool2d(maps, 1), 1)

    graph = trace(Joined().eval(), ImageSpec(8))
    assert [type(node).__name__ for node in graph.nodes[1:4]] == ["Conv", "Conv", "Concat"]
    assert [node.activation for node in graph.nodes if isinstance(node, Conv)] == ["relu", "relu"]


def test_weights_that_run_twice_are_counted_once() -> None:
    conv = nn.Conv2d(4, 4, 1)
    graph = trace(layers(conv, nn.ReLU(), conv, nn.Flatten()), ImageSpec(8))
    assert [node.learned for node in graph.nodes if isinstance(node, Conv)] == [3 * 4 * 9 + 4, 20, 0]


def test_a_layer_without_a_kernel_is_named() -> None:
    with pytest.raises(GraphError, match="GELU"):
        trace(layers(nn.GELU(), nn.Flatten()), ImageSpec(33))
