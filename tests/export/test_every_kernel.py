"""Every kernel as an ONNX and as a LiteRT file: float and int8, each against its reference, over many values."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest

from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.export import litert
from pocketvision.export.onnx import to_bytes
from pocketvision.graph.graph import Graph, Quant
from pocketvision.graph.integer import dequantize
from pocketvision.graph.run import activations
from pocketvision.graph.sketch import Sketch
from pocketvision.runtime import litert as runtime
from pocketvision.runtime.onnx import answer_of

ACTIVATIONS = ("leaky_relu", "hardswish", "hardsigmoid", "sigmoid", "silu")


def gated(sketch, maps, gate):
    narrow = sketch.conv(sketch.mean(maps, keep=True), 8)
    return sketch.multiply(maps, sketch.activate(sketch.conv(narrow, 16, activation="none"), gate))


KERNELS = {
    "affine": lambda sketch, maps: sketch.affine(maps),
    "affine with ReLU": lambda sketch, maps: sketch.affine(maps, activation="relu"),
    "product": lambda sketch, maps: sketch.multiply(maps, sketch.conv(maps, 16, activation="none")),
    "squeeze and excite": lambda sketch, maps: gated(sketch, maps, "sigmoid"),
    "hard squeeze and excite": lambda sketch, maps: gated(sketch, maps, "hardsigmoid"),
    "slice": lambda sketch, maps: sketch.slice(maps, 3, 12),
    "shuffle": lambda sketch, maps: sketch.shuffle(maps, 4),
    "shuffled slice": lambda sketch, maps: sketch.conv(sketch.slice(sketch.shuffle(maps, 2), 0, 8), 4),
    "flatten": lambda sketch, maps: sketch.linear(sketch.flatten(maps), 7),
    "max pool": lambda sketch, maps: sketch.max_pool(maps, padding=(1, 1, 1, 1)),
    "max pool, same": lambda sketch, maps: sketch.max_pool(maps, ceil=False, padding="same"),
    "average pool": lambda sketch, maps: sketch.average_pool(maps),
    "average pool, inside": lambda sketch, maps: sketch.average_pool(maps, count_padding=False),
    "average pool, same": lambda sketch, maps: sketch.average_pool(maps, stride=2, padding="same", count_padding=False),
    "mean kept": lambda sketch, maps: sketch.conv(sketch.mean(maps, keep=True), 5, activation="none"),
    "local norm": lambda sketch, maps: sketch.local_norm(maps, alpha=0.5, k=1.0),
    "mixed join": lambda sketch, maps: sketch.concat(maps, sketch.conv(maps, 8)),
    **{kind: lambda sketch, maps, kind=kind: sketch.activate(maps, kind, slope=0.3) for kind in ACTIVATIONS},
}
FLOAT = {"local norm": 1}
"""Kernels that onnxruntime computes in float between levels, and by how many levels they may differ."""


def sketched(kind, size=33):
    sketch = Sketch(size, seed=5)
    KERNELS[kind](sketch, sketch.conv("image", 16, kernel=3, activation="none"))
    return Graph(tuple(sketch._nodes))


def image_batch(size, count=16):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 8, 8, 3)).repeat(5, axis=1).repeat(5, axis=2)[:, :size, :size]
    return np.clip(coarse + rng.integers(-30, 31, coarse.shape), 0, 255).astype(np.uint8)


def answer(graph, images):
    *_, (name, tensor) = activations(graph, images)
    return dequantize(tensor, graph.quant[name]) if name in (graph.quant or {}) else tensor


def fused(content, tmp_path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


@pytest.mark.parametrize("kind", KERNELS)
def test_float_file(kind):
    graph, images = sketched(kind), image_batch(33, 4)
    content = to_bytes(graph)
    onnx.checker.check_model(content, full_check=True)
    np.testing.assert_allclose(answer_of(content)(images), answer(graph, images), atol=1e-5)


@pytest.mark.parametrize("kind", KERNELS)
def test_int8_file(kind):
    graph, images = sketched(kind), image_batch(33)
    small = quantize(graph, calibrate(graph, images))
    content = to_bytes(small)
    onnx.checker.check_model(content, full_check=True)
    expected = answer(small, images)
    steps = np.abs(answer_of(content)(images) - expected) / small.quant[small.output].scale
    assert np.rint(steps).max() <= FLOAT.get(kind, 0)
    assert np.rint(steps).mean() < 1e-5
    assert np.abs(expected - answer(graph, images)).mean() < 2 * small.quant[small.output].scale


@pytest.mark.parametrize("kind", KERNELS)
def test_int8_kernels_stay_in_integers(kind, tmp_path):
    graph = sketched(kind)
    small = quantize(graph, calibrate(graph, image_batch(33, 4)))
    kernels = fused(to_bytes(small), tmp_path)
    allowed = {"Transpose", "Reshape", "Slice", "Flatten", "MaxPool", "NhwcMaxPool", "QGemm", "DequantizeLinear"}
    islands = {"LRN", "QuantizeLinear"} if kind in FLOAT else set()
    assert {name for name in kernels if not name.startswith("QLinear")} <= allowed | islands
    assert kernels["DequantizeLinear"] == 1 + len(islands) // 2


SCALED = {
    "product": lambda sketch, maps: sketch.multiply(maps, sketch.mean(maps, keep=True)),
    "average pool": lambda sketch, maps: sketch.average_pool(maps),
    "average pool, inside": lambda sketch, maps: sketch.average_pool(maps, kernel=5, count_padding=False),
    **{kind: lambda sketch, maps, kind=kind: sketch.activate(maps, kind, slope=0.3) for kind in ACTIVATIONS[:4]},
}


@pytest.mark.parametrize("kind", SCALED)
def test_rounding_over_many_scales(kind):
    """A kernel that rounds otherwise may differ in one of 100,000 values only; so there are some millions."""
    sketch = Sketch(32, seed=1)
    SCALED[kind](sketch, sketch.conv("image", 16, activation="none"))
    graph, images, rng = Graph(tuple(sketch._nodes)), image_batch(32), np.random.default_rng(0)
    small = quantize(graph, calibrate(graph, images))
    for _ in range(8):
        quant = {
            name: Quant(float(np.float32(old.scale * rng.uniform(0.5, 2))), int(rng.integers(0, 256)))
            for name, old in small.quant.items()
        }
        other = Graph(small.nodes, quant | {"image": small.quant["image"]})
        steps = np.abs(answer_of(to_bytes(other))(images) - answer(other, images)) / quant[small.output].scale
        # Averages next to a tie hang on the order of the runtime's sum.
        assert np.rint(steps).max() <= (1 if "average" in kind else 0)
        assert np.rint(steps).mean() < 2e-5


@pytest.mark.parametrize("size", [7, 8, 9, 10])
def test_the_runtime_keeps_partial_windows_as_torch_does(size):
    for kernel in (2, 3):
        for stride in (1, 2, 3):
            for pad in (0, 1):
                sketch = Sketch(size)
                maps = sketch.conv("image", 4, activation="none")
                sketch.max_pool(maps, kernel=kernel, stride=stride, padding=(pad,) * 4)
                graph, images = Graph(tuple(sketch._nodes)), image_batch(size, 2)
                for each in (graph, quantize(graph, calibrate(graph, images))):
                    np.testing.assert_allclose(answer_of(to_bytes(each))(images), answer(each, images), atol=1e-5)


def test_images_of_one_channel():
    sketch = Sketch(16, channels=1)
    graph = sketch.finish(sketch.mean(sketch.conv("image", 6, kernel=3)))
    images = image_batch(16)[..., :1]
    for each in (graph, quantize(graph, calibrate(graph, images))):
        np.testing.assert_allclose(answer_of(to_bytes(each))(images), answer(each, images), atol=1e-5)


def lite(graph, images):
    answers = runtime.answer_of(litert.to_bytes(graph))(images)
    return answers.transpose(0, 3, 1, 2) if answers.ndim == 4 else answers


@pytest.mark.parametrize("kind", KERNELS)
def test_float_litert_file(kind):
    graph, images = sketched(kind), image_batch(33, 4)
    np.testing.assert_allclose(lite(graph, images), answer(graph, images), atol=1e-5)
    assert runtime.parts(litert.to_bytes(graph)) == runtime.LitertParts(1, ())


CORNERS = ("average pool, inside", "average pool, same")
"""Pools whose border is averaged with zeros and then corrected: rounded twice."""


@pytest.mark.parametrize("kind", KERNELS)
def test_int8_litert_file(kind):
    graph, images = sketched(kind), image_batch(33)
    small = quantize(graph, calibrate(graph, images))
    steps = np.rint(np.abs(lite(small, images) - answer(small, images)) / small.quant[small.output].scale)
    assert steps.size >= 5 * 16
    assert steps.max() <= (2 if kind in CORNERS else 1)
    assert steps.mean() < (0.2 if kind in CORNERS else 0.05)
    assert runtime.parts(litert.to_bytes(small)) == runtime.LitertParts(1, ())


@pytest.mark.parametrize("size", [7, 8, 9, 10])
def test_litert_keeps_partial_windows_as_torch_does(size):
    for kernel in (2, 3):
        for stride in (1, 2, 3):
            for pad in (0, 1):
                sketch = Sketch(size)
                maps = sketch.conv("image", 4, activation="none")
                sketch.max_pool(maps, kernel=kernel, stride=stride, padding=(pad,) * 4)
                graph, images = Graph(tuple(sketch._nodes)), image_batch(size, 2)
                for each in (graph, quantize(graph, calibrate(graph, images))):
                    np.testing.assert_allclose(lite(each, images), answer(each, images), atol=1e-5)
