"""The roundings of the integer reference, each against its runtime, over tens of thousands of values a kernel."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.export import litert, onnx
from pocketvision.graph.fixed import LITERT, XNNPACK
from pocketvision.graph.graph import Graph, Quant
from pocketvision.graph.integer import ONNXRUNTIME
from pocketvision.graph.run import activations
from pocketvision.graph.sketch import Sketch
from pocketvision.runtime.onnx import answer_of

SIZE, COUNT = 32, 16
FEWEST = 50_000


def mean(sketch, maps):
    return sketch.mean(sketch.conv(maps, 4096, activation="none"))


KERNELS = {
    "convolution": lambda s, maps: s.conv(maps, 16, kernel=3, activation="relu6"),
    "grouped": lambda s, maps: s.conv(maps, 16, kernel=3, groups=2),
    "depthwise": lambda s, maps: s.depthwise(maps, activation="none"),
    "fully connected": lambda s, maps: s.linear(s.mean(maps), 4096),
    "sum": lambda s, maps: s.add(maps, s.conv(maps, 16, activation="none"), activation="relu"),
    "sum of unlike scales": lambda s, maps: s.add(s.activate(maps, "sigmoid"), s.conv(maps, 16, activation="none")),
    "product": lambda s, maps: s.multiply(maps, s.conv(maps, 16, activation="none")),
    "weighed channels": lambda s, maps: s.multiply(maps, s.mean(maps, keep=True)),
    "mean": mean,
}


def ends(sketch):
    return Graph(tuple(sketch._nodes))


def case(kind, size):
    sketch = Sketch(size, seed=4)
    KERNELS[kind](sketch, sketch.conv("image", 16, activation="none"))
    graph = ends(sketch)
    coarse = np.random.default_rng(1).integers(0, 256, (COUNT, size // 4 + 1, size // 4 + 1, 3))
    images = coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :size, :size].astype(np.uint8)
    return quantize(graph, calibrate(graph, images)), images


def levels(graph, images, rounding):
    *_, (_, tensor) = activations(graph, images, rounding=rounding)
    return tensor.astype(np.int32)


def litert_levels(graph, images, resolver):
    interpreter = Interpreter(model_content=litert.to_bytes(graph), experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    place, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    answers = []
    for image in images:
        interpreter.set_tensor(place, image[None])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(out)[0].copy())
    return as_levels(np.stack(answers), graph)


def as_levels(answers, graph):
    quant = graph.quant[graph.output]
    found = np.rint(answers / np.float32(quant.scale)).astype(np.int32) + quant.zero_point
    return found.transpose(0, 3, 1, 2) if found.ndim == 4 else found


def side(kind):
    return 7 if kind in ("mean", "fully connected") else SIZE


@pytest.mark.parametrize("kind", KERNELS)
def test_xnnpack(kind):
    graph, images = case(kind, side(kind))
    expected = litert_levels(graph, images, OpResolverType.AUTO)
    assert expected.size >= FEWEST
    np.testing.assert_array_equal(levels(graph, images, XNNPACK), expected)


@pytest.mark.parametrize("kind", KERNELS)
def test_the_reference_kernels_of_litert(kind):
    graph, images = case(kind, side(kind))
    expected = litert_levels(graph, images, OpResolverType.BUILTIN_REF)
    np.testing.assert_array_equal(levels(graph, images, LITERT), expected)


@pytest.mark.parametrize("kind", KERNELS)
def test_onnxruntime(kind):
    graph, images = case(kind, side(kind))
    answers = answer_of(onnx.to_bytes(graph))(images)
    answers = answers.transpose(0, 2, 3, 1) if answers.ndim == 4 else answers
    np.testing.assert_array_equal(levels(graph, images, ONNXRUNTIME), as_levels(answers, graph))


@pytest.mark.parametrize("kind", ["sum", "sum of unlike scales", "product"])
def test_xnnpack_over_many_scales(kind):
    graph, images = case(kind, SIZE)
    rng = np.random.default_rng(0)
    for _ in range(6):
        quants = {
            name: Quant(float(np.float32(old.scale * rng.uniform(0.5, 2))), int(rng.integers(0, 256)))
            for name, old in graph.quant.items()
        }
        fixed = {name: graph.quant[name] for name in quants if name == "image" or graph.quant[name].scale == 1 / 256}
        other = Graph(graph.nodes, quants | fixed)
        found = levels(other, images[:4], XNNPACK)
        np.testing.assert_array_equal(found, litert_levels(other, images[:4], OpResolverType.AUTO))
        assert np.abs(found - levels(other, images[:4], ONNXRUNTIME)).max() <= 1


def test_the_reference_kernels_round_otherwise():
    graph, images = case("mean", side("mean"))
    gap = np.abs(levels(graph, images, ONNXRUNTIME) - levels(graph, images, LITERT))
    assert gap.max() <= 2
    assert 0 < np.count_nonzero(gap) < 0.1 * gap.size
