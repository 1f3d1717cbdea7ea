"""ONNX files against the numpy reference: the checker, the runtime's answers, and how the runtime fuses them."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.errors import GraphError
from pocketvision.export import FORMATS
from pocketvision.export.onnx import to_bytes, write
from pocketvision.graph.graph import Activate, Add, Conv, Graph, Linear, Node, Quant
from pocketvision.graph.run import run
from pocketvision.graph.sketch import Sketch
from pocketvision.runtime.onnx import answer_of
from pocketvision.values import ImageSpec, Manifest, ModelSpec, Probe, Score, from_json


def v1_like(size=64):
    sketch = Sketch(size, seed=1)
    tensor = sketch.conv("image", 16, kernel=3, stride=2)
    for stride, outputs in [(1, 32), (2, 64), (1, 64), (2, 96)]:
        tensor = sketch.depthwise(tensor, stride=stride, padding="same")
        tensor = sketch.conv(tensor, outputs)
    return sketch.finish(sketch.linear(sketch.mean(tensor), 20))


def v2_like(size=64):
    sketch = Sketch(size, seed=2)
    sketch.normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    tensor = sketch.conv("image", 16, kernel=3, stride=2, activation="relu6")
    before = 16
    for outputs, stride in [(24, 2), (24, 1), (24, 1), (40, 2), (40, 1)]:
        inner = sketch.conv(tensor, 4 * before, activation="relu6")
        inner = sketch.depthwise(inner, stride=stride, activation="relu6")
        inner = sketch.conv(inner, outputs, activation="none")
        tensor = sketch.add(tensor, inner) if outputs == before and stride == 1 else inner
        before = outputs
    tensor = sketch.conv(tensor, 128, activation="relu6")
    return sketch.finish(sketch.linear(sketch.mean(tensor), 20))


def squeeze_like(size=63):
    sketch = Sketch(size, seed=3)
    sketch.normalize((0.48, 0.45, 0.41), (1.0, 1.0, 1.0))
    tensor = sketch.max_pool(sketch.conv("image", 32, kernel=3, stride=2))
    for squeeze, expand in [(8, 32), (8, 32), (16, 48)]:
        narrow = sketch.conv(tensor, squeeze)
        joined = sketch.concat(sketch.conv(narrow, expand), sketch.conv(narrow, expand, kernel=3))
        tensor = sketch.max_pool(joined) if squeeze == 16 else joined
    grouped = sketch.add(tensor, sketch.conv(tensor, 96, kernel=3, groups=4), activation="relu")
    return sketch.finish(sketch.mean(sketch.conv(grouped, 20)))


NETS = {"v1": v1_like, "v2": v2_like, "squeeze": squeeze_like, "squeeze even": lambda: squeeze_like(64)}


def image_batch(count, size, seed=0):
    rng = np.random.default_rng(seed)
    cells = -(-size // 8)
    coarse = rng.integers(0, 256, (count, 8, 8, 3)).repeat(cells, axis=1).repeat(cells, axis=2)[:, :size, :size]
    return np.clip(coarse + rng.integers(-30, 31, coarse.shape), 0, 255).astype(np.uint8)


def int8(graph, images):
    return quantize(graph, calibrate(graph, images))


def manifest(labels=20, size=64, probes=()):
    return Manifest(
        format_version=1,
        name="toy",
        task="classify",
        labels=tuple(f"Größe {i}" for i in range(labels)),
        image=ImageSpec(size),
        model=ModelSpec("mobilenet_v1", 0.25, size, labels),
        precision="int8",
        data_digest="0" * 64,
        splits={"seed": 0, "val": 0.1, "test": 0.1},
        figures={"test": Score(0.9, 0.8, 0.95, 100)},
        probes=probes,
        versions={"pocketvision": "0.1.0"},
        created="2026-11-20T00:00:00Z",
    )


def fused(content, tmp_path):
    """Count the kernels of onnxruntime's optimized model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


@pytest.mark.parametrize("net", NETS)
def test_float_file_answers_as_the_reference(net):
    graph = NETS[net]()
    images = image_batch(8, graph.input.resolution)
    content = to_bytes(graph)
    onnx.checker.check_model(content, full_check=True)
    assert np.abs(answer_of(content)(images) - run(graph, images)).max() < 1e-5


@pytest.mark.parametrize("net", NETS)
def test_int8_file_answers_bit_for_bit_as_the_reference(net):
    graph = NETS[net]()
    images = image_batch(64, graph.input.resolution)
    small = int8(graph, images[:16])
    content = to_bytes(small)
    onnx.checker.check_model(content, full_check=True)
    # Equal logits differ only by the softmax's own rounding; one level of one logit would be some 1e-3.
    assert np.abs(answer_of(content)(images) - run(small, images)).max() < 1e-6


@pytest.mark.parametrize("net", NETS)
def test_every_kernel_runs_in_integers(net, tmp_path):
    graph = NETS[net]()
    small = int8(graph, image_batch(4, graph.input.resolution))
    kernels = fused(to_bytes(small), tmp_path)
    assert kernels.pop("QLinearConv") == sum(isinstance(node, Conv) for node in graph.nodes)
    assert kernels.pop("QGemm", 0) == sum(isinstance(node, Linear) for node in graph.nodes)
    assert kernels.pop("QLinearAdd", 0) == sum(isinstance(node, Add) for node in graph.nodes)
    assert kernels.pop("QLinearGlobalAveragePool") == 1
    assert kernels.pop("DequantizeLinear") == kernels.pop("Softmax") == kernels.pop("Flatten") == 1
    assert set(kernels) <= {"Transpose", "QLinearConcat", "NhwcMaxPool", "MaxPool"}


def test_wide_relu6_ranges_do_not_leave_the_integers(tmp_path):
    graph = v2_like()
    ranges = {name: (low, 40 * high) for name, (low, high) in calibrate(graph, image_batch(2, 64)).items()}
    kernels = fused(to_bytes(quantize(graph, ranges)), tmp_path)
    assert kernels["QLinearConv"] == sum(isinstance(node, Conv) for node in graph.nodes)
    assert not {"Clip", "FusedConv", "Conv"} & set(kernels)


@pytest.mark.parametrize("quant", [Quant(0.1, 0), Quant(0.05, 20)])
def test_clamps_that_levels_do_not_do_are_written(quant):
    graph, images = v2_like(), image_batch(16, 64)
    small = int8(graph, images)
    name = next(node.name for node in small.nodes if isinstance(node, Conv))
    wide = Graph(small.nodes, {**small.quant, name: quant})
    content = to_bytes(wide)
    assert Counter(node.op_type for node in onnx.load_from_string(content).graph.node)["Clip"] == 1
    # onnxruntime computes this one kernel in float, so a few levels round otherwise.
    gap = np.abs(answer_of(content)(images) - run(wide, images))
    assert gap.mean() < 0.002
    assert gap.max() < 0.1


def test_activation_of_a_tensor_that_is_also_read_without():
    sketch = Sketch(64, seed=2)
    first = sketch.conv("image", 16, kernel=3, stride=2, activation="none")
    second = sketch.conv(first, 16)
    graph = sketch.finish(sketch.mean(sketch.add(first, second)))
    alone = Activate("alone", (first,), "relu")
    nodes = [replace(node, inputs=("alone",)) if node.name == second else node for node in graph.nodes]
    graph, images = Graph((*nodes[:2], alone, *nodes[2:])), image_batch(16, 64)
    small = int8(graph, images)
    for each in (graph, small):
        assert np.abs(answer_of(to_bytes(each))(images) - run(each, images)).max() < 1e-6


def test_batches_of_any_size():
    graph = v1_like()
    images = image_batch(7, 64)
    for each in (graph, int8(graph, images)):
        answer = answer_of(to_bytes(each))
        apart = np.concatenate([answer(image[None]) for image in images])
        assert np.abs(answer(images) - apart).max() < 1e-5


def test_input_and_output_are_those_of_the_contract():
    model = onnx.load_from_string(to_bytes(v1_like()))
    [image], [answer] = model.graph.input, model.graph.output
    assert (image.name, image.type.tensor_type.elem_type) == ("image", onnx.TensorProto.UINT8)
    assert [axis.dim_param or axis.dim_value for axis in image.type.tensor_type.shape.dim] == ["N", 64, 64, 3]
    assert (answer.name, answer.type.tensor_type.elem_type) == ("probabilities", onnx.TensorProto.FLOAT)
    assert [axis.dim_param or axis.dim_value for axis in answer.type.tensor_type.shape.dim] == ["N", 20]
    assert (model.ir_version, model.opset_import[0].version, model.producer_name) == (8, 17, "pocketvision")


def test_the_net_may_end_without_a_softmax():
    graph, images = v1_like(), image_batch(4, 64)
    for each in (graph, int8(graph, images)):
        quant = {name: quant for name, quant in each.quant.items()} if each.quant else None
        cut = Graph(each.nodes[:-1], quant)
        found = answer_of(to_bytes(cut))(images)
        np.testing.assert_allclose(found, run(cut, images), atol=1e-4)


def test_manifest_travels_inside(tmp_path):
    words = manifest(probes=(Probe("aGVsbG8=", (0.25, 0.75)),))
    path = tmp_path / "deep" / "model.onnx"
    size = write(v1_like(), words, path)
    assert size == path.stat().st_size
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]
    found = {item.key: item.value for item in onnx.load(path).metadata_props}
    assert set(found) == {"pocketvision", "labels", "sha256"}
    assert from_json(Manifest, json.loads(found["pocketvision"])) == words
    assert found["labels"].split("\n") == list(words.labels)


def test_files_are_equal_byte_for_byte():
    assert to_bytes(v1_like(), manifest()) == to_bytes(v1_like(), manifest())


def test_small_nets_give_small_files():
    sketch = Sketch(96)
    tensor = sketch.conv("image", 8, kernel=3, stride=2)
    for outputs in [16, 16, 24, 24, 48, 48, 48, 48, 96, 96, 96, 96]:
        tensor = sketch.conv(sketch.depthwise(tensor), outputs)
    graph = sketch.finish(sketch.linear(sketch.mean(tensor), 20))
    layers = [node for node in graph.nodes if isinstance(node, Conv | Linear)]
    values = sum(node.weight.size + node.bias.size for node in layers)
    assert 45_000 < values < 60_000
    content = to_bytes(int8(graph, image_batch(1, 96)), manifest(size=96))
    outputs = sum(node.bias.size for node in layers)
    assert len(content) < 110_000
    # Besides weights: 13 bytes an output channel (bias, two scales, a zero point) and what names and structure take.
    assert len(content) - values - 12 * outputs < 600 * len(layers)


def test_unknown_kernels_are_refused():
    class Swirl(Node):
        pass

    graph = v1_like()
    with pytest.raises(GraphError, match="Swirl"):
        to_bytes(Graph((*graph.nodes, Swirl("s", (graph.output,)))))


def test_formats_name_functions_that_exist():
    from importlib import import_module

    for address in FORMATS.values():
        module, function = address.split(":")
        if address == "pocketvision.export.onnx:write":
            assert getattr(import_module(module), function) is write
