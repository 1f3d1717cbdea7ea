"""The rules of int8: what each range becomes, and that the integers say the same as the floats."""

from dataclasses import replace

import numpy as np
import pytest

from pocketvision.compress import measure, ranges
from pocketvision.compress.compress import compress
from pocketvision.compress.ledger import weight_bytes
from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.errors import GraphError
from pocketvision.export import litert, onnx
from pocketvision.graph import run as reference
from pocketvision.graph.graph import Activate, Conv, Ending, Graph, Input, Linear
from pocketvision.graph.integer import bounds, dequantize
from pocketvision.graph.run import activations, run
from pocketvision.graph.sketch import Sketch
from pocketvision.runtime import litert as litert_runtime
from pocketvision.runtime.onnx import answer_of as onnx_answer
from tests.export.detector import detector, images


def image_batch(count, size, seed=0):
    """Draw smooth images with some noise, so that answers differ."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 4, 4, 3)).repeat(size // 4, axis=1).repeat(size // 4, axis=2)
    return np.clip(coarse + rng.integers(-20, 21, coarse.shape), 0, 255).astype(np.uint8)


def net(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
    sketch = Sketch(32, seed=3)
    sketch.normalize(mean, std)
    first = sketch.conv("image", 16, kernel=3, stride=2, activation="relu6")
    second = sketch.conv(sketch.depthwise(first, activation="relu6"), 16, activation="none")
    third = sketch.add(first, second)
    wide = sketch.concat(sketch.conv(third, 16), sketch.conv(third, 16, kernel=3))
    return sketch.finish(sketch.linear(sketch.mean(sketch.max_pool(wide)), 10))


def of(graph, name):
    return next(node for node in graph.nodes if node.name == name)


def all_of(graph, kind):
    return [node for node in graph.nodes if isinstance(node, kind)]


def test_integers_answer_like_the_floats():
    graph, images = net(), image_batch(64, 32)
    small = quantize(graph, calibrate(graph, images[:32]))
    exact, found = run(graph, images), run(small, images)
    assert (exact.argmax(1) == found.argmax(1)).mean() > 0.9
    assert np.abs(exact - found).max() < 0.06
    assert np.abs(exact - found).mean() < 0.005


def test_types_are_those_of_the_contract():
    graph = net()
    small = quantize(graph, calibrate(graph, image_batch(4, 32)))
    assert small.quant is not None
    assert set(small.quant) == {node.name for node in graph.nodes[:-1]}
    for node in all_of(small, Conv | Linear):
        assert node.weight.dtype == np.int8
        assert np.abs(node.weight.astype(int)).reshape(len(node.weight), -1).max(axis=1).tolist() == [127] * len(
            node.weight
        )
        assert node.bias.dtype == np.int32
        assert node.weight_scale.dtype == np.float32
        assert node.weight_scale.shape == node.bias.shape
    assert [type(node) for node in small.nodes] == [type(node) for node in graph.nodes]


def test_clamps_are_done_by_the_levels():
    graph = net()
    ranges = {name: (low, high * 50) for name, (low, high) in calibrate(graph, image_batch(4, 32)).items()}
    small = quantize(graph, ranges)
    for node in all_of(small, Conv):
        quant = small.quant[node.name]
        assert bounds(node.activation, quant) == (0, 255)
        if node.activation == "relu6":
            assert quant.zero_point == 0
            assert 255 * quant.scale <= 6.000001


@pytest.mark.parametrize("factor", [0.0, 1e-4, 1e4, 1e7])
@pytest.mark.parametrize("place", range(1, 11))
def test_a_tensor_far_smaller_or_larger_than_its_neighbors_still_runs_in_integers(place, factor):
    sketch = Sketch(32, seed=3)
    first = sketch.conv("image", 16, kernel=3, stride=2, activation="relu6")
    second = sketch.conv(sketch.depthwise(first, activation="relu6"), 16, activation="none")
    third = sketch.add(first, second)
    wide = sketch.average_pool(sketch.concat(sketch.conv(third, 16), sketch.conv(third, 16, kernel=3)))
    graph = sketch.finish(sketch.linear(sketch.mean(wide), 10))
    graph, images = Graph(graph.nodes[:-1]), image_batch(4, 32)
    ranges = dict(calibrate(graph, images))
    low, high = ranges[graph.nodes[place].name]
    small = quantize(graph, ranges | {graph.nodes[place].name: (low * factor, high * factor)})
    expected = run(small, images)
    step = small.quant[small.output].scale
    assert np.abs(onnx_answer(onnx.to_bytes(small))(images) - expected).max() <= 2.01 * step
    content = litert.to_bytes(small)
    assert litert_runtime.parts(content).delegated == 1
    assert np.abs(litert_runtime.answer_of(content)(images) - expected).max() <= 2.01 * step


def test_every_range_holds_zero():
    graph = net()
    ranges = dict(calibrate(graph, image_batch(4, 32)))
    free = next(node.name for node in graph.nodes if getattr(node, "activation", "") == "none")
    for given, zero_point in [((2.0, 5.1), 0), ((-5.1, -2.0), 255), ((-1.0, 1.0), 128)]:
        quant = quantize(graph, ranges | {free: given}).quant[free]
        assert quant.zero_point == pytest.approx(zero_point, abs=1)
        assert dequantize(np.array([quant.zero_point], np.uint8), quant) == 0
    assert quantize(graph, ranges | {free: (0.0, 0.0)}).quant[free].scale > 0


def test_pool_and_join_share_levels_with_what_they_take():
    graph = net()
    small = quantize(graph, calibrate(graph, image_batch(4, 32)))
    pool = next(node for node in graph.nodes if type(node).__name__ == "MaxPool")
    join = of(graph, pool.inputs[0])
    assert len({small.quant[name] for name in (pool.name, join.name, *join.inputs)}) == 1


def test_what_moves_levels_shares_them():
    sketch = Sketch(32, seed=3)
    maps = sketch.conv("image", 16, kernel=3)
    moved = sketch.flatten(sketch.shuffle(sketch.slice(sketch.max_pool(maps, stride=8), 0, 8), 4))
    graph = sketch.finish(sketch.linear(moved, 10))
    small = quantize(graph, calibrate(graph, image_batch(4, 32)))
    assert len({small.quant[node.name] for node in graph.nodes[1:6]}) == 1
    averages = sketch.average_pool(maps), sketch.multiply(maps, maps), sketch.local_norm(maps)
    graph = Graph(tuple(sketch._nodes))
    own = quantize(graph, calibrate(graph, image_batch(4, 32))).quant
    assert len({own[name] for name in (maps, *averages)}) == 4


def test_a_clamp_joined_with_negative_values_keeps_its_levels():
    sketch = Sketch(32, seed=3)
    low, high = sketch.conv("image", 8, activation="none"), sketch.conv("image", 8)
    graph = sketch.finish(sketch.mean(sketch.concat(low, high)))
    images = image_batch(16, 32)
    small = quantize(graph, calibrate(graph, images))
    assert small.quant[high].zero_point == 0
    assert small.quant[low].zero_point > 0
    assert np.abs(run(small, images) - run(graph, images)).max() < 0.02


def test_norms_and_gates_become_kernels_of_integers():
    sketch = Sketch(32, seed=3)
    maps = sketch.affine(sketch.activate(sketch.conv("image", 8, activation="none"), "silu"))
    maps = sketch.activate(maps, "hardswish")
    graph, images = sketch.finish(sketch.mean(maps)), image_batch(64, 32)
    small = quantize(graph, calibrate(graph, images))
    kinds = [type(node).__name__ for node in small.nodes[1:7]]
    assert kinds == ["Conv", "Activate", "Mul", "Conv", "Activate", "Mul"]
    gates = [node.name for node in all_of(small, Activate)]
    assert [bounds("hardsigmoid", small.quant[gate]) for gate in gates] == [(0, 255)] * 2
    # The sigmoid under the range that every runtime's integer kernel gives, the hard one clamped by its levels.
    assert [small.quant[gate] for gate in gates] == [(1 / 256, 0), (pytest.approx(1 / 255), 0)]
    assert np.abs(run(small, images) - run(graph, images)).max() < 0.02


def test_activations_keep_what_is_below_zero():
    sketch = Sketch(32, seed=3)
    leaky = sketch.activate(sketch.conv("image", 8, activation="none"), "leaky_relu", slope=0.3)
    graph, images = sketch.finish(sketch.mean(leaky)), image_batch(16, 32)
    small = quantize(graph, calibrate(graph, images))
    found = dequantize(dict(activations(small, images))[leaky], small.quant[leaky])
    assert found.min() < 0
    np.testing.assert_allclose(found, dict(activations(graph, images))[leaky], atol=4 * small.quant[leaky].scale)


@pytest.mark.parametrize(
    ("mean", "std"),
    [((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((0.5,) * 3, (0.5,) * 3), ((0.0,) * 3, (1.0,) * 3)],
)
def test_normalization_moves_into_the_first_convolution(mean, std):
    graph, images = net(mean, std), image_batch(4, 32)
    small = quantize(graph, calibrate(graph, images))
    quant, image = small.quant["image"], small.input
    assert quant.scale == pytest.approx(1 / 255)
    assert quant.zero_point == pytest.approx(255 * np.mean(mean), abs=0.5)
    normalized = (images / 255 - image.mean) / image.std
    np.testing.assert_allclose(dequantize(images, quant), normalized, atol=1e-6)
    name = graph.nodes[1].name
    exact = dict(activations(graph, images))[name]
    found = dequantize(dict(activations(small, images))[name], small.quant[name])
    step = small.quant[name].scale
    assert np.abs(exact - found)[:, :, 1:-1, 1:-1].max() < 3 * step
    # At the border padding is one level for three means, which lie up to 11 levels from their own mean.
    assert np.abs(exact - found).max() < 12 * step
    assert np.abs(exact - found).mean() < step / 2


def test_image_that_meets_no_convolution_is_refused():
    sketch = Sketch(32)
    graph = sketch.finish(sketch.mean(sketch.conv(sketch.max_pool("image"), 4)))
    with pytest.raises(GraphError, match="convolution"):
        quantize(graph, calibrate(graph, image_batch(1, 32)))


def changed(graph, name, **arrays):
    return Graph(tuple(replace(node, **arrays) if node.name == name else node for node in graph.nodes))


def test_dead_channel_with_a_bias_keeps_its_value():
    graph = net()
    projection = all_of(graph, Conv)[2]  # has no activation
    name, weight, bias = projection.name, projection.weight.copy(), projection.bias.copy()
    weight[:2] = 0
    weight[2] *= 1e-9
    bias[:3] = 2.5, -0.5, 1.5
    graph = changed(graph, name, weight=weight, bias=bias)
    images = image_batch(4, 32)
    small = quantize(graph, calibrate(graph, images))
    node = of(small, name)
    assert (node.weight_scale > 0).all()
    assert np.abs(node.bias.astype(np.int64)).max() <= 2**30 * 1.001
    found = dequantize(dict(activations(small, images))[name], small.quant[name])[:, :3]
    np.testing.assert_allclose(found.mean(axis=(0, 2, 3)), [2.5, -0.5, 1.5], atol=small.quant[name].scale)


def test_ratio_of_scales_stays_in_reach_of_every_runtime():
    graph = net()
    dead = all_of(graph, Conv)[0]
    graph = changed(graph, dead.name, bias=np.full_like(dead.bias, -1e4))
    small = quantize(graph, calibrate(graph, image_batch(4, 32)))
    for node in all_of(small, Conv | Linear):
        ratio = small.quant[node.inputs[0]].scale * node.weight_scale / small.quant[node.name].scale
        assert ratio.max() < 256
        assert ratio.min() >= 2.0**-32


def test_calibration_does_not_depend_on_batches(monkeypatch):
    graph, images = net(), image_batch(9, 32)
    together = calibrate(graph, images)
    monkeypatch.setattr(reference, "_VALUES_AT_ONCE", 1)
    apart = calibrate(graph, images)
    assert together.keys() == apart.keys() == {node.name for node in graph.nodes if not isinstance(node, Ending)}
    for name, limits in together.items():
        assert limits == pytest.approx(apart[name], abs=1e-5)


def test_wrong_use_is_told():
    graph = net()
    with pytest.raises(GraphError, match="at least one image"):
        calibrate(graph, image_batch(0, 32))
    small = quantize(graph, calibrate(graph, image_batch(1, 32)))
    with pytest.raises(GraphError, match="quantized already"):
        calibrate(small, image_batch(1, 32))
    with pytest.raises(GraphError, match="quantized already"):
        quantize(small, {})
    with pytest.raises(GraphError, match="no range was measured"):
        quantize(graph, {})


def test_ledger_counts_bytes():
    graph = net()
    done = compress(graph, image_batch(2, 32))
    layers = all_of(graph, Conv | Linear)
    weights, outputs = sum(node.weight.size for node in layers), sum(len(node.bias) for node in layers)
    large, small = 4 * (weights + outputs), weights + 8 * outputs
    assert [(entry.step, entry.weight_bytes) for entry in done.ledger] == [
        ("float", large), ("equalize", large), ("ranges", large), ("int8", small), ("bias", small)
    ]  # fmt: skip
    assert weight_bytes(done.graph) == done.ledger[-1].weight_bytes
    assert isinstance(done.graph.input, Input)


READERS = {measure.__name__: "_spreads", ranges.__name__: "_histograms"}


def test_torch_and_the_reference_measure_the_same(monkeypatch):
    graph = detector()
    fast = measure.measure(graph, images())
    narrowed = ranges.search(graph, {name: spread.range for name, spread in fast.items()}, images())
    for module in (measure, ranges):
        monkeypatch.setattr(module, "_reader", lambda module=module: getattr(module, READERS[module.__name__]))
    exact = measure.measure(graph, images())
    for name, (low, high) in ranges.search(graph, {n: s.range for n, s in exact.items()}, images()).items():
        np.testing.assert_allclose(narrowed[name], (low, high), atol=0.011 * (high - low))
    assert set(fast) == set(exact) == {node.name for node in graph.nodes if not isinstance(node, Ending)}
    layers = {node.name for node in graph.nodes if isinstance(node, Conv)}
    for name, spread in exact.items():
        size = spread.peak.max()
        np.testing.assert_allclose(fast[name].low, spread.low, atol=1e-3 * size)
        np.testing.assert_allclose(fast[name].high, spread.high, atol=1e-3 * size)
        if name in layers:
            np.testing.assert_allclose(fast[name].mean, spread.mean, atol=1e-3 * size)
