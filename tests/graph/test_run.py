"""The numpy reference against loops that cannot be wrong, and its care for memory."""

import gc
import weakref
from itertools import product

import numpy as np
import pytest

from pocketvision.errors import GraphError
from pocketvision.graph import integer
from pocketvision.graph.graph import Add, Conv, Graph, Input, Linear, MaxPool, Quant, pads
from pocketvision.graph.real import softmax
from pocketvision.graph.run import activations, batches, run
from pocketvision.graph.sketch import Sketch
from pocketvision.graph.sums import convolve


def looped(x, weight, *, stride, pads, groups):
    """Convolve [H, W, C] in float64, value by value."""
    top, left, bottom, right = pads
    x = np.pad(x.astype(np.float64), ((top, bottom), (left, right), (0, 0)))
    outputs, depth, rows, columns = weight.shape
    height, width = (x.shape[0] - rows) // stride[0] + 1, (x.shape[1] - columns) // stride[1] + 1
    out = np.zeros((height, width, outputs))
    for i, j, o in product(range(height), range(width), range(outputs)):
        first = o // (outputs // groups) * depth
        window = x[i * stride[0] : i * stride[0] + rows, j * stride[1] : j * stride[1] + columns, first : first + depth]
        out[i, j, o] = (window * weight[o].transpose(1, 2, 0)).sum()
    return out


KINDS = {
    "full": ((8, 6, 3, 3), (1, 1), (1, 1, 1, 1), 1),
    "full strided": ((8, 6, 3, 3), (2, 2), (0, 0, 1, 1), 1),
    "oblong": ((4, 6, 1, 5), (1, 2), (0, 2, 0, 2), 1),
    "pointwise": ((5, 6, 1, 1), (1, 1), (0, 0, 0, 0), 1),
    "pointwise strided": ((5, 6, 1, 1), (2, 2), (0, 0, 0, 0), 1),
    "grouped": ((9, 2, 3, 3), (1, 1), (1, 1, 1, 1), 3),
    "depthwise": ((6, 1, 3, 3), (1, 1), (1, 1, 1, 1), 6),
    "depthwise strided": ((6, 1, 5, 5), (2, 2), (2, 2, 2, 2), 6),
    "depth multiplier": ((12, 1, 3, 3), (1, 1), (1, 1, 1, 1), 6),
}


@pytest.mark.parametrize("kind", KINDS)
def test_convolution_of_each_kind(kind):
    shape, stride, border, groups = KINDS[kind]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 9, 11, 6)).astype(np.float32)
    weight = rng.standard_normal(shape).astype(np.float32)
    found = convolve(x, weight, stride=stride, pads=border, groups=groups)
    for image, answer in zip(x, found, strict=True):
        expected = looped(image, weight, stride=stride, pads=border, groups=groups)
        np.testing.assert_allclose(answer, expected, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_integer_convolution_is_exact(kind):
    shape, stride, border, groups = KINDS[kind]
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (1, 9, 11, 6), dtype=np.uint8)
    weight = rng.integers(-127, 128, shape).astype(np.int8)
    bias = rng.integers(-5000, 5000, shape[0]).astype(np.int32)
    scales = rng.uniform(0.001, 0.01, shape[0]).astype(np.float32)
    node = Conv("c", ("x",), weight, bias, stride, border, groups, "none", 0, scales)
    source, target = Quant(float(np.float32(0.02)), 7), Quant(float(np.float32(0.05)), 30)
    found = integer.conv(node, x, border, source=source, target=target, rounding=integer.ONNXRUNTIME)
    sums = looped(x[0] - 7.0, weight, stride=stride, pads=border, groups=groups) + bias
    factor = np.float32(source.scale) * scales / np.float32(target.scale)
    expected = np.clip(np.rint(sums.astype(np.float32) * factor) + 30, 0, 255)
    np.testing.assert_array_equal(found[0], expected)


def test_sums_beyond_float32_stay_exact():
    """The sum 2**24 + 1 exists as int32, but not as float32; a factor of 2**-24 would hide that, so 1 - 1 shows it."""
    inputs = 600
    weight = np.full((1, inputs), 127, np.int8)
    x = np.full((1, inputs), 255, np.uint8)
    exact = 127 * 255 * inputs
    bias = np.array([3 - exact], np.int32)
    node = Linear("l", ("x",), weight, bias, "none", 0, np.ones(1, np.float32))
    assert exact > 2**24
    one = Quant(1.0, 0)
    assert integer.linear(node, x, source=one, target=one, rounding=integer.ONNXRUNTIME).item() == 3


def test_halves_round_to_even_and_levels_saturate():
    levels = integer.quantize(np.array([0.5, 1.5, 2.5, -9, 999], np.float32), Quant(1.0, 2))
    assert levels.tolist() == [2, 4, 4, 0, 255]


def test_relu6_bounds_follow_the_scale():
    assert integer.bounds("relu6", Quant(6 / 255, 0)) == (0, 255)
    assert integer.bounds("relu6", Quant(0.1, 3)) == (3, 63)
    assert integer.bounds("relu", Quant(0.1, 3)) == (3, 255)
    assert integer.bounds("none", Quant(0.1, 3)) == (0, 255)


def test_integer_sum_of_two_scales():
    first, second = np.array([10, 200], np.uint8), np.array([20, 250], np.uint8)
    found = integer.add(
        (first, second),
        sources=(Quant(0.5, 10), Quant(0.25, 0)),
        target=Quant(1.0, 5),
        activation="relu",
        rounding=integer.ONNXRUNTIME,
    )
    assert found.tolist() == [5 + 5, 5 + 95 + 62]  # 62.5 rounds to even


def test_integer_mean():
    x = np.array([[[[1], [2]], [[3], [6]]]], np.uint8)
    found = integer.global_mean(x, source=Quant(1.0, 1), target=Quant(0.5, 10), rounding=integer.ONNXRUNTIME)
    assert found.item() == 14


@pytest.mark.parametrize(("size", "ceil", "pooled"), [(8, True, 4), (8, False, 3), (9, True, 4), (9, False, 4)])
def test_max_pool_with_a_partial_window(size, ceil, pooled):
    graph = Graph((Input("x", (), size, (0, 0, 0), (1, 1, 1)), MaxPool("p", ("x",), (3, 3), (2, 2), ceil)))
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    found = dict(activations(graph, images))["p"]
    assert found.shape == (2, 3, pooled, pooled)
    last = 2 * (pooled - 1)
    expected = images[1, last : last + 3, 0:3, 0].max() / 255
    assert found[1, 0, pooled - 1, 0] == pytest.approx(expected)


def test_image_is_normalized_per_channel():
    graph = Graph((Input("x", (), 2, (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)),))
    images = np.full((1, 2, 2, 3), 51, np.uint8)
    found = dict(activations(graph, images))["x"]
    np.testing.assert_allclose(found[0, :, 1, 1], [(0.2 - 0.1) / 0.5, 0, (0.2 - 0.3) / 2], atol=1e-6)


def small():
    sketch = Sketch(16)
    first = sketch.conv("image", 8, kernel=3, stride=2, activation="relu6")
    second = sketch.conv(sketch.depthwise(first), 8, activation="none")
    joined = sketch.concat(sketch.add(first, second, activation="relu"), first)
    return sketch.finish(sketch.linear(sketch.mean(sketch.max_pool(joined)), 5))


def test_batches_do_not_change_answers():
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    graph = small()
    together = run(graph, images)
    apart = np.concatenate([run(graph, images[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(together, apart, atol=1e-6)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-6)
    assert run(graph, images[:0]).shape == (0, 5)


def test_large_images_are_cut_into_small_batches():
    graph = small().at(1024)
    images = np.broadcast_to(np.zeros((), np.uint8), (9, 1024, 1024, 3))
    assert [len(batch) for batch in batches(graph, images)] == [1] * 9
    assert len(batches(small(), np.zeros((50, 16, 16, 3), np.uint8))) == 1


def test_activations_shows_every_tensor_in_planes():
    graph = small()
    images = np.zeros((2, 16, 16, 3), np.uint8)
    shapes = {name: tensor.shape for name, tensor in activations(graph, images)}
    assert shapes == {name: (2, *shape) for name, shape in graph.shapes.items()}


def test_dead_tensors_are_freed():
    graph = small()
    alive = {}
    most = 0
    for name, tensor in activations(graph, np.zeros((1, 16, 16, 3), np.uint8)):
        base = tensor if tensor.base is None else tensor.base
        alive[name] = weakref.ref(base)
        del tensor, base
        gc.collect()
        most = max(most, sum(ref() is not None for ref in alive.values()))
    assert most <= 4


def test_wrong_images_are_refused():
    with pytest.raises(GraphError, match=r"uint8 images \[N, 16, 16, 3\]"):
        run(small(), np.zeros((1, 17, 16, 3), np.uint8))
    with pytest.raises(GraphError, match="float64"):
        run(small(), np.zeros((1, 16, 16, 3)))


def test_softmax_of_large_logits():
    found = softmax(np.array([[1000.0, 1000.0, 0.0]], np.float32))
    assert found.tolist() == [[0.5, 0.5, 0.0]]
    assert found.dtype == np.float32


def test_same_padding_is_used():
    weight = np.ones((1, 3, 3, 3), np.float32)
    node = Conv("c", ("x",), weight, np.zeros(1, np.float32), (2, 2), "same", 1, "none", 0)
    graph = Graph((Input("x", (), 4, (0, 0, 0), (1, 1, 1)), node))
    assert pads(node, 4, 4) == (0, 0, 1, 1)
    found = dict(activations(graph, np.full((1, 4, 4, 3), 255, np.uint8)))["c"]
    np.testing.assert_allclose(found[0, 0], [[27, 18], [18, 12]])


def test_sum_of_float_tensors_leaves_its_inputs_alone():
    graph = Graph(
        (Input("x", (), 1, (0.5,) * 3, (0.5,) * 3), Add("a", ("x", "x"), "relu"), Add("b", ("x", "a"), "none"))
    )
    found = {name: tensor.ravel()[0] for name, tensor in activations(graph, np.zeros((1, 1, 1, 3), np.uint8))}
    assert found == {"x": -1, "a": 0, "b": -1}
