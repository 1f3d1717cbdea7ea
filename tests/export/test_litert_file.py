"""LiteRT files as wholes: what is in them, how they open, and what is refused."""

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.errors import GraphError, UsageError, WeightsError
from pocketvision.export import litert, litert_file, onnx
from pocketvision.export.check import check
from pocketvision.graph import fixed
from pocketvision.graph.graph import Graph, Quant
from pocketvision.graph.run import run, tensors
from pocketvision.graph.sketch import Sketch
from pocketvision.runtime import litert as runtime
from pocketvision.runtime import open as open_model
from pocketvision.values import ImageSpec, Manifest, ModelSpec, to_json


def classifier(size=24, classes=5):
    sketch = Sketch(size, seed=3)
    maps = sketch.conv("image", 8, kernel=3, stride=2, activation="relu6")
    maps = sketch.conv(sketch.conv(maps, 8, kernel=3, groups=8), 8)
    return sketch.finish(sketch.linear(sketch.mean(maps), classes))


def image_batch(size, count=24):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def manifest(size=24, classes=5):
    return Manifest(
        format_version=1,
        name="shapes",
        task="classification",
        labels=tuple(f"größe {i}" for i in range(classes)),
        image=ImageSpec(size),
        model=ModelSpec("mobilenet_v1", 0.25, size, classes),
        precision="int8",
        data_digest="0" * 64,
        splits={"train": 1, "val": 1, "test": 1},
        figures={},
        probes=(),
        versions={},
        created="2026-01-01T00:00:00+00:00",
    )


@pytest.mark.parametrize(("mean", "shape"), [((0.5, 0.5, 0.5), (1,)), ((0.48, 0.45, 0.4), (1, 1, 24, 3))])
def test_a_mean_of_its_own_for_each_color_is_written_for_a_whole_row(mean, shape):
    """XNNPACK subtracts three values pixel by pixel, which took longer than all of a small net."""
    graph = classifier()
    first, *rest = graph.nodes
    file = litert.written(Graph((replace(first, mean=mean), *rest))).file
    (subtracted,) = (step for step in file.steps if step.kind == "SUB")
    assert file.tensors[subtracted.inputs[1]].shape == shape


@pytest.fixture(scope="module")
def graphs():
    plain = classifier()
    return {"float": plain, "int8": quantize(plain, calibrate(plain, image_batch(24)))}


@pytest.mark.parametrize("precision", ["float", "int8"])
def test_a_written_file_answers_as_its_graph_and_knows_its_labels(precision, graphs, tmp_path):
    path = tmp_path / "model.tflite"
    size = litert.write(graphs[precision], manifest(), path)
    assert size == path.stat().st_size
    runner = open_model(path)
    assert runner.labels == manifest().labels
    assert runner.manifest == manifest()
    assert runner.input_shape == (24, 24, 3)
    assert runner.name.startswith("LiteRT ")
    expected = run(graphs[precision], image_batch(24))
    np.testing.assert_allclose(runner.run(image_batch(24)), expected, atol=1e-6)
    assert runtime.parts(path.read_bytes()).delegated == 1


def coarse(count=200):
    """Return images that differ in their colors, so that answers differ."""
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, (count, 2, 2, 3), np.uint8).repeat(12, axis=1).repeat(12, axis=2)


def decided(classes=300):
    """Return an int8 net whose answers spread over the levels of a probability."""
    plain = classifier(24, classes)
    last = plain.nodes[-2]
    sure = replace(last, weight=last.weight * 10)
    graph = Graph((*plain.nodes[:-2], sure, plain.nodes[-1]))
    return quantize(graph, calibrate(graph, coarse()))


@pytest.mark.parametrize("io", ["uint8", "int8"])
def test_whole_numbers_at_both_ends_are_those_of_the_reference(io, tmp_path):
    graph, words = decided(), replace(manifest(classes=300), io=io)
    path = tmp_path / "model.tflite"
    litert.write(graph, words, path)
    images = coarse()
    logits = graph.nodes[-1].inputs[0]
    (levels,) = (tensor for name, tensor in tensors(graph, images, rounding=fixed.XNNPACK) if name == logits)
    found = open_model(path).run(images)
    assert len(np.unique(found)) > 100
    np.testing.assert_array_equal(found, fixed.probabilities(graph.nodes[-1], levels, graph.quant[logits]))
    np.testing.assert_allclose(found, run(graph, images, rounding=fixed.XNNPACK), atol=0.51 / 256 + 1 / 256)
    assert check(path, graph).endswith("all of the net is one part of XNNPACK")
    interpreter = Interpreter(model_content=path.read_bytes())
    ends = (interpreter.get_input_details()[0], interpreter.get_output_details()[0])
    assert [end["dtype"].__name__ for end in ends] == [io, io]
    assert [end["name"] for end in ends] == ["image", "probabilities"]
    assert ends[1]["quantization"] == (1 / 256, 0 if io == "uint8" else -128)


def test_the_integers_inside_are_the_same_whatever_the_ends():
    graph, contents = decided(), {}
    for ends in ("mixed", "uint8", "int8"):
        file = litert.written(graph, ends).file
        layers = [step for step in file.steps if step.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")]
        held = [file.tensors[place] for step in layers for place in step.inputs[1:]]
        contents[ends] = [(tensor.content.tobytes(), tensor.scale) for tensor in held]
    assert contents["mixed"] == contents["uint8"] == contents["int8"]
    assert len(contents["mixed"]) == 8


def test_a_float_net_has_no_whole_ends(graphs):
    with pytest.raises(UsageError, match="--precision int8"):
        litert.to_bytes(graphs["float"], replace(manifest(), io="uint8"))


@pytest.mark.parametrize("io", ["mixed", "uint8", "int8"])
def test_the_normalization_named_gives_back_the_pixels(io, graphs):
    """What a library computes from a pixel by the metadata and the tensor's scale is that pixel."""
    schema = pytest.importorskip("tflite", reason="reading a file by the schema needs the extra 'tflite'")
    content = litert.to_bytes(graphs["int8"], replace(manifest(), io=io))
    model = schema.Model.GetRootAsModel(content, 0)
    levels = model.Subgraphs(0).Tensors(model.Subgraphs(0).Inputs(0))
    scale, zero_point = levels.Quantization().Scale(0), levels.Quantization().ZeroPoint(0)
    entry = model.Buffers(model.Metadata(0).Buffer()).DataAsNumpy().tobytes()
    floats = np.frombuffer(entry[: len(entry) // 4 * 4], np.float32)
    deviation, mean = np.float32(1 / np.float32(scale)), np.float32(zero_point + (128 if io == "int8" else 0))
    assert np.isclose(floats, deviation, rtol=1e-5).any()
    assert (floats == mean).any()
    pixels = np.arange(256)
    found = np.rint((pixels - mean) / deviation / scale + zero_point)
    np.testing.assert_array_equal(found, pixels - (128 if io == "int8" else 0))


def test_a_batch_of_other_size_is_answered_too(graphs):
    interpreter = Interpreter(model_content=litert.to_bytes(graphs["int8"]))
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, (4, 24, 24, 3))
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, image_batch(24, 4))
    interpreter.invoke()
    answers = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(answers, run(graphs["int8"], image_batch(24, 4)), atol=1e-6)


def test_the_numbers_are_those_of_the_schema():
    schema = pytest.importorskip("tflite", reason="the schema's own numbers come with the extra 'tflite'")
    unions = {"MEAN": "ReducerOptions", "CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions"}
    unions |= {"PADV2": "PadV2Options", "AVERAGE_POOL_2D": "Pool2DOptions", "MAX_POOL_2D": "Pool2DOptions"}
    unions |= {"MINIMUM": "MaximumMinimumOptions"}
    for name, kind in litert_file.KINDS.items():
        assert kind.number == getattr(schema.BuiltinOperator, name)
        usual = "".join(word.capitalize() for word in name.split("_")) + "Options"
        assert kind.options in (0, getattr(schema.BuiltinOptions, unions.get(name, usual), None)), name


def test_labels_and_image_rule_are_where_phone_libraries_look(graphs, tmp_path):
    schema = pytest.importorskip("tflite", reason="reading a file by the schema needs the extra 'tflite'")
    path = tmp_path / "model.tflite"
    litert.write(graphs["int8"], manifest(), path)
    content = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.read("labels.txt").decode().splitlines() == list(manifest().labels)
        assert json.loads(archive.read("manifest.json")) == to_json(manifest())
    model = schema.Model.GetRootAsModel(content, 0)
    assert [model.Metadata(i).Name() for i in range(model.MetadataLength())] == [b"TFLITE_METADATA"]
    entry = model.Buffers(model.Metadata(0).Buffer()).DataAsNumpy().tobytes()
    assert entry[4:8] == b"M001"
    assert b"labels.txt" in entry
    image = model.Subgraphs(0).Tensors(model.Subgraphs(0).Inputs(0))
    assert (image.Type(), list(image.ShapeAsNumpy())) == (schema.TensorType.UINT8, [1, 24, 24, 3])


def test_every_bias_has_scales_and_buffers_are_aligned(graphs):
    schema = pytest.importorskip("tflite", reason="reading a file by the schema needs the extra 'tflite'")
    content = litert.to_bytes(graphs["int8"])
    model = schema.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    tensors = [graph.Tensors(place) for place in range(graph.TensorsLength())]
    biases = [tensor for tensor in tensors if tensor.Type() == schema.TensorType.INT32 and tensor.ShapeLength() == 1]
    biases = [tensor for tensor in biases if tensor.Quantization() is not None]
    assert len(biases) == 4
    for tensor in biases:
        assert tensor.Quantization().ScaleLength() == tensor.Quantization().ZeroPointLength() == tensor.Shape(0)
    for place in range(1, model.BuffersLength()):
        buffer = model.Buffers(place)
        start = buffer.DataAsNumpy().__array_interface__["data"][0] - np.frombuffer(content, np.uint8).ctypes.data
        assert start % 16 == 0


def test_weights_of_more_than_eight_bits_are_refused(graphs):
    graph = graphs["int8"]
    nodes = tuple(
        replace(node, weight=node.weight.astype(np.int16)) if hasattr(node, "weight") else node for node in graph.nodes
    )
    with pytest.raises(GraphError, match="more than 8 bits"):
        litert.to_bytes(Graph(nodes, graph.quant))


def test_scales_that_would_not_open_are_refused(graphs):
    graph = graphs["int8"]
    quants = {name: Quant(1e-7, 0) if name == graph.nodes[1].name else quant for name, quant in graph.quant.items()}
    with pytest.raises(GraphError, match="kernels take less than 256"):
        litert.to_bytes(Graph(graph.nodes, quants))


def test_foreign_and_other_files_are_refused_with_the_reason(graphs, tmp_path):
    bare, other = tmp_path / "bare.tflite", tmp_path / "other.tflite"
    bare.write_bytes(litert.to_bytes(graphs["int8"]))
    with pytest.raises(WeightsError, match="not written by pocketvision"):
        open_model(bare)
    other.write_bytes(onnx.to_bytes(graphs["float"]))
    with pytest.raises(WeightsError, match="not carry the mark TFL3"):
        open_model(other)
    wrong = tmp_path / "wrong.tflite"
    litert.write(graphs["int8"], manifest(classes=4), wrong)
    with pytest.raises(WeightsError, match="speaks of 4 labels at 24 pixels, but the net has 5 outputs"):
        open_model(wrong)
    odd = tmp_path / "odd.tflite"
    odd.write_bytes(_with_manifest(litert.packed(litert.to_bytes(graphs["int8"]), manifest()), b'{"labels": 3}'))
    with pytest.raises(WeightsError, match=r"the manifest in odd\.tflite cannot be read"):
        open_model(odd)


def _with_manifest(content, text):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        start = min(entry.header_offset for entry in archive.infolist())
        kept = {name: archive.read(name) for name in archive.namelist()}
    stream = io.BytesIO(content[:start])
    with zipfile.ZipFile(stream, "a") as archive:
        for name, held in kept.items():
            archive.writestr(name, text if name == "manifest.json" else held)
    return stream.getvalue()
