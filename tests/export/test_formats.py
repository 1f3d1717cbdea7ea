"""One net in several formats and precisions: the verb `export`, and the check of each written file."""

import sys
from dataclasses import replace

import numpy as np
import pytest

import pocketvision
from pocketvision.compress.half import halved
from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.errors import GraphError, UnknownName, UsageError, VerificationFailed
from pocketvision.export import litert, onnx
from pocketvision.export.check import check
from pocketvision.graph.graph import Conv, Graph
from pocketvision.graph.run import run
from pocketvision.graph.sketch import Sketch
from pocketvision.runtime import litert as lite
from pocketvision.runtime import open as open_model
from pocketvision.runtime.onnx import answer_of
from pocketvision.values import ImageSpec, Manifest, ModelSpec

WRITERS = {".onnx": onnx.write, ".tflite": litert.write}
WORDS = Manifest(
    format_version=1,
    name="toy",
    task="classification",
    labels=("a", "b", "c", "d"),
    image=ImageSpec(32),
    model=ModelSpec("mobilenet_v1", 0.25, 32, 4),
    precision="float",
    data_digest="",
    splits={},
    figures={},
    probes=(),
    versions={},
    created="2026-11-20T00:00:00Z",
)


def image_batch(count=8):
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def graphs():
    sketch = Sketch(32, seed=2)
    maps = sketch.conv("image", 16, kernel=3, stride=2)
    maps = sketch.add(maps, sketch.conv(sketch.depthwise(maps), 16, activation="none"))
    plain = sketch.finish(sketch.linear(sketch.mean(sketch.affine(maps)), 4))
    return {"float": plain, "float16": halved(plain), "int8": quantize(plain, calibrate(plain, image_batch()))}


@pytest.mark.parametrize("precision", ["float", "float16", "int8"])
@pytest.mark.parametrize("suffix", WRITERS)
def test_a_right_file_passes(suffix, precision, graphs, tmp_path):
    path = tmp_path / f"model{suffix}"
    WRITERS[suffix](graphs[precision], WORDS, path)
    found = check(path, graphs[precision])
    assert found.startswith(open_model(path).name)
    told = "every layer with weights runs in integers" if precision == "int8" else "float kernels"
    assert found.endswith(told if suffix == ".onnx" else "all of the net is one part of XNNPACK")


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_wrong_file_is_told(suffix, graphs, tmp_path):
    graph = graphs["float"]
    path = tmp_path / f"model{suffix}"
    wrong = tuple(replace(node, weight=-node.weight) if isinstance(node, Conv) else node for node in graph.nodes)
    WRITERS[suffix](Graph(wrong), WORDS, path)
    with pytest.raises(VerificationFailed, match="answers otherwise than its graph"):
        check(path, graph)


def test_an_absent_runtime_is_told_and_no_failure(graphs, tmp_path, monkeypatch):
    path = tmp_path / "model.tflite"
    litert.write(graphs["int8"], WORDS, path)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    found = check(path, graphs["int8"])
    assert found.startswith("not checked: this needs the package 'ai-edge-litert'")
    assert "pip install 'pocketvision[litert]'" in found


def test_layers_that_run_slowly_are_told(tmp_path):
    sketch = Sketch(32)
    maps = sketch.max_pool(sketch.conv("image", 8, activation="none"), ceil=False, padding=(1, 1, 1, 1))
    graph = sketch.finish(sketch.linear(sketch.mean(maps), 4))
    path = tmp_path / "model.tflite"
    litert.write(graph, WORDS, path)
    assert check(path, graph).endswith("2 parts of XNNPACK, with PADV2 left to slower kernels")


def test_half_the_bytes_and_nearly_the_same_answers(graphs):
    plain, half = graphs["float"], graphs["float16"]
    expected, images = run(half, image_batch()), image_batch()
    assert 0 < np.abs(run(plain, images) - expected).max() < 1e-2
    np.testing.assert_allclose(answer_of(onnx.to_bytes(half))(images), expected, atol=1e-5)
    np.testing.assert_allclose(lite.answer_of(litert.to_bytes(half))(images), expected, atol=1e-5)
    sketch = Sketch(32)
    large = sketch.finish(sketch.linear(sketch.mean(sketch.conv("image", 64, kernel=7)), 1000))
    for write in (onnx.to_bytes, litert.to_bytes):
        assert len(write(halved(large))) < 0.55 * len(write(large))


def test_what_cannot_be_halved_says_why(graphs):
    with pytest.raises(GraphError, match="start from the float graph"):
        halved(graphs["int8"])
    huge = tuple(
        replace(node, weight=node.weight * 1e9) if isinstance(node, Conv) else node for node in graphs["float"].nodes
    )
    with pytest.raises(GraphError, match="too large for float16"):
        halved(Graph(huge))


@pytest.mark.parametrize(
    ("text", "error"), [("onnx,tflite", UnknownName), ("onnx,onnx", UsageError), ("", UnknownName)]
)
def test_formats_that_are_none(text, error, tmp_path):
    with pytest.raises(error):
        pocketvision.export(tmp_path, format=text)
