"""OpenVINO files: every kernel and a few nets, float and int8, against the reference."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.data.tensors import to_input
from pocketvision.errors import MissingExtra, UsageError, WeightsError
from pocketvision.export.write import write_graph
from pocketvision.graph.graph import Graph
from pocketvision.graph.run import run
from pocketvision.graph.trace import trace
from pocketvision.models.catalogue import build
from pocketvision.runtime import open as open_model
from pocketvision.runtime import parts
from pocketvision.tasks import load
from pocketvision.values import ImageSpec, Manifest, ModelSpec
from tests.export.detector import IMAGE, LABELS, MODEL, detector, images, quantized

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.extra("openvino")]

_SPEC = importlib.util.spec_from_file_location("kernels", Path(__file__).with_name("test_every_kernel.py"))
kernels = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(kernels)


def compiled(graph):
    """Compile what OpenVINO reads of our ONNX file, for outputs that are no probabilities."""
    import openvino

    from pocketvision.export.onnx import to_bytes
    from pocketvision.export.openvino import readable
    from pocketvision.runtime.openvino import compile_model

    model = compile_model(openvino.Core().read_model(to_bytes(readable(graph))), 1)
    return lambda images: model(images)[0]


@pytest.mark.parametrize("kind", kernels.KERNELS)
def test_every_kernel(kind):
    graph, images = kernels.sketched(kind), kernels.image_batch(33)
    np.testing.assert_allclose(compiled(graph)(images[:4]), kernels.answer(graph, images[:4]), atol=2e-5)
    small = quantize(graph, calibrate(graph, images))
    steps = np.abs(compiled(small)(images) - kernels.answer(small, images)) / small.quant[small.output].scale
    # Its integer kernels round otherwise than the reference in some places: by one level, and seldom by more.
    assert np.rint(steps).max() <= 2
    assert np.rint(steps).mean() < 0.02


def manifest_of(image, labels):
    model = ModelSpec("toy", 1.0, image.resolution, len(labels))
    return Manifest(1, "toy", "classification", labels, image, model, "float", "0", {}, {}, (), {}, "2026")


@pytest.fixture
def delivered(tmp_path, settled):
    from pocketvision.export.openvino import write

    def deliver(name, precision="float", size=64):
        torch.manual_seed(0)
        net = build(name, width=0.5, resolution=size, num_classes=7)
        image = ImageSpec(size, mean=(0.48, 0.45, 0.4), std=(0.23, 0.22, 0.25))
        images = np.random.default_rng(0).integers(0, 256, (8, size, size, 3), np.uint8)
        settled(net, to_input(images, image, torch.device("cpu")))
        graph = trace(net, image)
        graph = graph if precision == "float" else quantize(graph, calibrate(graph, images))
        path = tmp_path / "model.xml"
        labels = ("a", 'b "b"', "ç & d", "<e>", "f", "g\u2009g", "h")
        assert write(graph, manifest_of(image, labels), path) == sum(part.stat().st_size for part in parts(path))
        return path, graph, images

    return deliver


@pytest.mark.parametrize("precision", ["float", "int8"])
@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2", "squeezenet1_1"])
def test_a_net_answers_as_the_reference(name, precision, delivered):
    path, graph, images = delivered(name, precision)
    runner = open_model(path)
    assert runner.manifest == manifest_of(runner.manifest.image, runner.labels)
    assert runner.labels[1:4] == ('b "b"', "ç & d", "<e>")
    np.testing.assert_allclose(runner.run(images), run(graph, images), atol=1e-4 if precision == "float" else 0.1)


def test_weights_of_an_int8_file_stay_integers(delivered):
    path, graph, _ = delivered("mobilenet_v2", "int8")
    floats = Graph(graph.nodes).nodes
    values = sum(node.weight.size for node in floats if hasattr(node, "weight"))
    assert path.with_suffix(".bin").stat().st_size < 1.5 * values


def test_wrong_files_and_images_are_refused(delivered, tmp_path):
    path, _, images = delivered("squeezenet1_1")
    runner = open_model(path)
    with pytest.raises(UsageError, match=r"uint8 images \[N, 64, 64, 3\]"):
        runner.run(images.astype(np.float32))
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: len(text) // 2], encoding="utf-8")
    with pytest.raises(WeightsError, match="not a model file that OpenVINO can open"):
        open_model(path)
    path.write_text(text.replace("pocketvision", "someoneelse"), encoding="utf-8")
    with pytest.raises(WeightsError, match="not written by pocketvision"):
        open_model(path)
    path.write_text(text, encoding="utf-8")
    path.with_suffix(".bin").unlink()
    with pytest.raises(WeightsError, match=r"model\.bin, which has to be beside it"):
        open_model(path)


def test_only_int8_averages_that_count_padding_are_written_otherwise():
    from pocketvision.export.openvino import readable

    images = kernels.image_batch(33)
    for kind, changed in (("average pool", True), ("average pool, inside", False)):
        graph = kernels.sketched(kind)
        small = quantize(graph, calibrate(graph, images))
        assert readable(graph) is graph
        assert (readable(small).nodes[-1] is not small.nodes[-1]) == changed
        np.testing.assert_array_equal(kernels.answer(readable(small), images), kernels.answer(small, images))


def test_without_openvino_the_command_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    (tmp_path / "model.xml").write_text("<net/>")
    with pytest.raises(MissingExtra, match=r"pip install 'pocketvision\[openvino\]'"):
        open_model(tmp_path / "model.xml")


@pytest.mark.parametrize("ends", ["boxes", "raw"])
@pytest.mark.parametrize("precision", ["float", "int8"])
def test_boxes_are_those_of_the_graph(precision, ends, tmp_path):
    graph = detector() if precision == "float" else quantized(detector())
    words = replace(manifest_of(IMAGE, LABELS), task="detection", model=MODEL, precision=precision, ends=ends)
    exported = write_graph(graph, words, tmp_path / "model.xml")
    assert " answers as the reference does on " in exported.checked
    answers, expected = open_model(tmp_path / "model.xml").run(images()), run(graph, images())
    assert answers.shape == expected.shape
    assert (expected[..., 5] > 0.2).sum() > 30
    assert load("detect").gaps(answers, expected).max() < 0.01
