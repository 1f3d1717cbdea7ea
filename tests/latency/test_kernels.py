"""What a runtime runs, read off a graph: sizes and counts at any resolution, and onnxruntime's own fusions."""

from collections import Counter

import numpy as np
import pytest

from pocketvision.cost.count import count
from pocketvision.cost.graphs import graph_at
from pocketvision.errors import GraphError
from pocketvision.export.onnx import kernels as kinds_in_file
from pocketvision.export.onnx import to_bytes
from pocketvision.graph.graph import Graph
from pocketvision.graph.sketch import Sketch
from pocketvision.latency.features import features
from pocketvision.latency.kernels import KINDS, Kernels
from pocketvision.latency.nets import LARGEST_MACS, LARGEST_WEIGHTS, draw, macs_of, weights_of, with_fresh_weights
from pocketvision.latency.reading import kernels
from pocketvision.runtime.onnx import optimized
from pocketvision.values import ModelSpec

NETS = ("mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2", "squeezenet1_1", "googlenet", "inception_v2", "ghostnet")
RESOLUTIONS = [64, 97, 128, 224]


def graph_of(name: str, width: float = 0.5, resolution: int = 224) -> Graph:
    return graph_at(ModelSpec(name, width, resolution, num_classes=10))


def counts(net: Kernels) -> Counter[str]:
    found: Counter[str] = Counter()
    for row, times in zip(net.rows, net.counts, strict=True):
        found[KINDS[row.kind]] += times
    return found


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("runtime", ["onnx", "litert"])
@pytest.mark.parametrize("precision", ["float", "int8"])
def test_multiply_adds_at_every_resolution_are_those_of_the_graph(name: str, runtime: str, precision: str) -> None:
    net = kernels(graph_of(name), runtime=runtime, precision=precision)
    wanted = [count(graph_of(name, resolution=resolution)).macs for resolution in RESOLUTIONS]
    assert net.macs(RESOLUTIONS).tolist() == wanted


def test_sides_are_those_of_the_graph() -> None:
    graph = graph_of("squeezenet1_1")  # its pools keep partial windows
    net = kernels(graph, runtime="litert", precision="float")
    for place, resolution in enumerate(RESOLUTIONS):
        maps = {shape[1] for shape in graph.at(resolution).shapes.values() if len(shape) == 3}
        assert set(net.areas(RESOLUTIONS)[2][:, place]) - {1} == maps - {1}


def test_an_image_that_is_too_small_is_refused_with_its_size() -> None:
    net = kernels(graph_of("inception_v3"), runtime="onnx", precision="float")
    with pytest.raises(GraphError, match="images of 20 px are too small"):
        net.macs([20, 299])


def test_a_classifier_on_flattened_maps_fits_one_resolution() -> None:
    net = kernels(graph_of("alexnet", 0.25, 227), runtime="onnx", precision="float")
    assert not net.flexible
    assert len(net.macs([227])) == 1
    with pytest.raises(GraphError, match="made for images of 227 px"):
        net.macs([224])


@pytest.mark.parametrize(
    "name", ["mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2", "efficientnet_b0", "googlenet"]
)
@pytest.mark.parametrize("width", [0.25, 0.41])
def test_fusions_and_reorderings_are_those_that_onnxruntime_shows(name: str, width: float) -> None:
    graph = with_fresh_weights(graph_of(name, width, 64), np.random.default_rng(0))
    shown = kinds_in_file(optimized(to_bytes(graph)))
    read = counts(kernels(graph, runtime="onnx", precision="float"))
    kinds = ("convolution", "pointwise", "depthwise", "grouped")
    convolutions = read["stem"] + read["vector"] + sum(read[kind] + read[f"plain {kind}"] for kind in kinds)
    assert convolutions == shown["Conv"] + shown["FusedConv"]
    assert (read["reorder in"], read["reorder out"]) == (shown["ReorderInput"], shown["ReorderOutput"])
    assert read["add"] == shown["Add"] + shown["Sum"]


def test_int8_runs_gates_as_kernels_of_their_own() -> None:
    graph = graph_of("mobilenet_v3_small")
    plain = counts(kernels(graph, runtime="litert", precision="float"))
    small = counts(kernels(graph, runtime="litert", precision="int8"))
    assert plain["hardswish"] > 0
    assert small["hardswish"] == 0
    assert small["hardsigmoid"] == plain["hardsigmoid"] + plain["hardswish"]
    assert small["multiply"] == plain["hardswish"]


def test_features_are_numbers_of_like_size_for_every_net_in_turn() -> None:
    nets = [(kernels(graph_of(name), runtime="onnx", precision="float"), RESOLUTIONS) for name in NETS[:3]]
    found = features(nets)
    assert sorted(set(found.owners)) == list(range(12))
    assert (np.diff(found.owners) >= 0).all()
    assert np.abs(found.inputs).max() < 5
    macs = np.bincount(found.owners, found.counts * found.amounts[:, 1]) * 1e6
    assert np.allclose(macs, np.concatenate([net.macs(RESOLUTIONS) for net, _ in nets]), rtol=1e-4)


def traced(spec: ModelSpec) -> Graph:
    return graph_at(spec)


def test_drawn_nets_keep_the_limits_and_come_again_by_their_seed() -> None:
    drawn = list(draw(5, 12, traced))
    again = list(draw(5, 12, traced))
    other = list(draw(6, 12, traced))
    assert [spec for spec, _ in drawn] == [spec for spec, _ in again] != [spec for spec, _ in other]
    assert len({spec.name for spec, _ in drawn}) > 6
    for _, graph in drawn:
        assert macs_of(graph) <= LARGEST_MACS
        assert weights_of(graph) <= LARGEST_WEIGHTS


def test_a_kernel_that_runs_twice_alike_is_kept_once() -> None:
    sketch = Sketch(32)
    tensor = sketch.conv("image", 16, kernel=3)
    for _ in range(3):
        tensor = sketch.conv(tensor, 16)
    net = kernels(sketch.finish(sketch.mean(tensor)), runtime="litert", precision="float")
    assert counts(net)["pointwise"] == 3
    assert [times for row, times in zip(net.rows, net.counts, strict=True) if KINDS[row.kind] == "pointwise"] == [3]
