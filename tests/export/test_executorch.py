"""ExecuTorch programs: every kernel and some nets, float and int8, against the reference and LiteRT's answers."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketvision.compress.half import halved
from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.data.tensors import to_input
from pocketvision.errors import GraphError, MissingExtra, UsageError, VerificationFailed, WeightsError
from pocketvision.export import litert
from pocketvision.export.check import check
from pocketvision.export.manifest import manifest_of_file
from pocketvision.export.use import python_code, write_use
from pocketvision.export.write import write_graph
from pocketvision.graph.fixed import XNNPACK
from pocketvision.graph.graph import Conv, Graph
from pocketvision.graph.run import run
from pocketvision.graph.sketch import Sketch
from pocketvision.graph.trace import trace
from pocketvision.models.catalogue import build
from pocketvision.runtime import litert as lite
from pocketvision.runtime import open as open_model
from pocketvision.tasks import load
from pocketvision.values import ImageSpec, Manifest, ModelSpec
from tests.export import detector as boxes

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.extra("executorch")]

_SPEC = importlib.util.spec_from_file_location("kernels", Path(__file__).with_name("test_every_kernel.py"))
kernels = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(kernels)
LABELS = ("a", 'b "b"', "ç & d", "<e>", "f", "g\u2009g", "h")


def answers(graph, images):
    """Run a program without a manifest, whose output need be no probabilities."""
    from pocketvision.export.executorch import to_bytes
    from pocketvision.runtime.executorch import answer_of

    found = answer_of(to_bytes(graph))(images)
    return found.transpose(0, 3, 1, 2) if found.ndim == 4 else found


def both(graph, images):
    return {"float": graph, "int8": quantize(graph, calibrate(graph, images))}


@pytest.mark.parametrize("kind", kernels.KERNELS)
def test_every_kernel_is_one_part_and_answers_as_in_litert(kind):
    from pocketvision.export.executorch import ProgramParts, parts, to_bytes

    graph, images = kernels.sketched(kind), kernels.image_batch(33, 4)
    for precision, each in both(graph, images).items():
        found = answers(each, images)
        if precision == "float":
            np.testing.assert_allclose(found, kernels.answer(each, images), atol=1e-5)
        np.testing.assert_array_equal(found, kernels.lite(each, images))
        assert parts(to_bytes(each)) == ProgramParts(1, ())


def manifest_of(image, labels=LABELS, precision="float"):
    model = ModelSpec("toy", 1.0, image.resolution, len(labels))
    return Manifest(1, "toy", "classification", labels, image, model, precision, "0", {}, {}, (), {}, "2026")


def small_net(size=24, labels=LABELS):
    sketch = Sketch(size)
    maps = sketch.depthwise(sketch.conv("image", 8, kernel=3, stride=2))
    maps = sketch.add(sketch.conv(maps, 8), maps)
    return sketch.finish(sketch.linear(sketch.mean(maps), len(labels)))


def deliver(graph, path):
    from pocketvision.export.executorch import write

    image = ImageSpec(graph.input.resolution, mean=graph.input.mean, std=graph.input.std)
    manifest = manifest_of(image)
    assert write(graph, manifest, path) == path.stat().st_size
    return manifest


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v2", "googlenet"])
def test_a_net_answers_as_the_reference(name, settled, tmp_path):
    torch.manual_seed(0)
    net = build(name, width=0.25, resolution=64, num_classes=len(LABELS))
    image = ImageSpec(64, mean=(0.48, 0.45, 0.4), std=(0.23, 0.22, 0.25))
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    settled(net, to_input(images, image, torch.device("cpu")))
    for precision, graph in both(trace(net, image), images).items():
        path = tmp_path / f"{precision}.pte"
        manifest = deliver(graph, path)
        runner = open_model(path)
        assert (runner.manifest, runner.labels) == (manifest, LABELS)
        found = runner.run(images)
        np.testing.assert_array_equal(found, lite.answer_of(litert.to_bytes(graph))(images))
        atol = 1e-5 if precision == "float" else 0.02
        np.testing.assert_allclose(found, run(graph, images, rounding=XNNPACK), atol=atol)
        assert check(path, graph).endswith("all of the net is one part of XNNPACK")
    assert (tmp_path / "int8.pte").stat().st_size < 0.4 * (tmp_path / "float.pte").stat().st_size
    assert runner.run(images[:0]).shape == (0, len(LABELS))
    with pytest.raises(UsageError, match=r"uint8 images \[N, 64, 64, 3\]"):
        runner.run(images.astype(np.float32))


def test_a_wrong_file_is_told(tmp_path):
    graph, path = small_net(), tmp_path / "model.pte"
    wrong = tuple(replace(node, weight=-node.weight) if isinstance(node, Conv) else node for node in graph.nodes)
    deliver(Graph(wrong), path)
    with pytest.raises(VerificationFailed, match=r"answers otherwise than its graph.*executorch"):
        check(path, graph)


def test_the_python_of_the_page_answers_as_the_file(tmp_path, monkeypatch, capsys):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    graph = small_net()
    manifest = deliver(graph, tmp_path / "model.pte")
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    Image.fromarray(pixels).save("photo.jpg", "PNG")
    exec(compile(python_code(write_use(tmp_path, manifest).read_text(encoding="utf-8")), "USE.md", "exec"), {})
    label, probability = capsys.readouterr().out.rsplit(maxsplit=1)
    expected = run(graph, pixels[None])[0]
    assert label == LABELS[expected.argmax()]
    assert float(probability) == pytest.approx(expected.max(), abs=1e-5)


def test_damaged_and_foreign_files_are_refused_before_the_runtime_reads_them(tmp_path):
    path = tmp_path / "model.pte"
    deliver(small_net(), path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    changed = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for content in (whole[:-1], whole[:middle], whole[:-64], changed):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"model\.pte was cut short, changed, or not written by pocketvision"):
            open_model(path)
    for content in (b"", b"not a program" * 100):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="not an ExecuTorch program"):
            open_model(path)


def test_what_has_no_form_in_the_file_is_named(tmp_path):
    graph = small_net()
    with pytest.raises(GraphError, match="export with --precision float or int8"):
        deliver(halved(graph), tmp_path / "model.pte")
    sketch = Sketch(16)
    joined = sketch.concat(*(sketch.conv("image", 4) for _ in range(6)))
    with pytest.raises(GraphError, match=f"'{joined}' joins 6 tensors; ExecuTorch files join 5 at most"):
        deliver(sketch.finish(sketch.linear(sketch.mean(joined), 7)), tmp_path / "model.pte")
    assert list(tmp_path.iterdir()) == []


def test_without_executorch_the_command_is_told(tmp_path, monkeypatch):
    deliver(small_net(), tmp_path / "model.pte")
    for name in [name for name in sys.modules if name.partition(".")[0] == "executorch"]:
        monkeypatch.setitem(sys.modules, name, None)
    wanted = r"pip install 'pocketvision\[executorch\]'"
    with pytest.raises(MissingExtra, match=wanted):
        open_model(tmp_path / "model.pte")
    with pytest.raises(MissingExtra, match=wanted):
        deliver(small_net(), tmp_path / "model.pte")


@pytest.mark.parametrize("precision", ["float", "int8"])
def test_boxes_are_those_of_the_graph(precision, tmp_path):
    graph = boxes.detector() if precision == "float" else boxes.quantized(boxes.detector())
    words = manifest_of_file(boxes.MODEL, boxes.IMAGE, boxes.LABELS)
    exported = write_graph(
        graph, replace(words, task="detection", precision=precision, name="shapes"), tmp_path / "model.pte"
    )
    assert exported.checked.endswith("all of the net is one part of XNNPACK")
    runner = open_model(tmp_path / "model.pte")
    assert runner.manifest.ends == "raw"
    expected = run(graph, boxes.images(), rounding=XNNPACK)
    assert (expected[..., 5] > 0.2).sum() > 30
    assert load("detect").gaps(runner.run(boxes.images()), expected).max() < 1e-3
    assert runner.run(boxes.images()[:0]).shape == (0, 100, 6)


def test_a_detector_beside_another_nets_manifest_is_refused(tmp_path):
    words = replace(manifest_of_file(boxes.MODEL, boxes.IMAGE, ("a", "b")), task="detection")
    from pocketvision.export.executorch import write

    write(boxes.detector(), words, tmp_path / "model.pte")
    with pytest.raises(WeightsError, match="2 labels and 68 anchors"):
        open_model(tmp_path / "model.pte")
