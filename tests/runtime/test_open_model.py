"""Opening delivered files: what is inside, and what is said of damaged, foreign and misnamed ones."""

import sys
from dataclasses import replace
from importlib import import_module

import numpy as np
import onnx
import pytest

from pocketvision import runtime
from pocketvision.errors import MissingExtra, UnknownName, UsageError, WeightsError
from pocketvision.export.onnx import to_bytes, write
from pocketvision.graph.run import run
from pocketvision.graph.sketch import Sketch
from pocketvision.runtime.fake import FakeRunner
from pocketvision.runtime.onnx import answer_of
from pocketvision.values import ImageSpec, Manifest, ModelSpec

WORDS = Manifest(
    format_version=1,
    name="toy",
    task="classify",
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


@pytest.fixture(scope="module")
def graph():
    sketch = Sketch(32)
    tensor = sketch.conv("image", 8, kernel=3, stride=2)
    return sketch.finish(sketch.linear(sketch.mean(sketch.depthwise(tensor)), 4))


@pytest.fixture
def file(graph, tmp_path):
    path = tmp_path / "model.onnx"
    write(graph, WORDS, path)
    return path


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def test_a_file_answers(graph, file, images):
    for threads in (1, 2):
        runner = runtime.open(file, threads=threads)
        assert runner.manifest == WORDS
        assert runner.labels == WORDS.labels
        assert runner.input_shape == (32, 32, 3)
        assert runner.name.startswith("onnxruntime ")
        np.testing.assert_allclose(runner.run(images), run(graph, images), atol=1e-5)


def test_content_in_memory_answers_too(graph, file, images):
    content = to_bytes(graph, WORDS)
    np.testing.assert_array_equal(runtime.open(file).run(images), answer_of(content)(images))


def test_upper_case_suffix_and_text_path(file, images):
    renamed = file.rename(file.with_suffix(".ONNX"))
    assert runtime.open(str(renamed)).run(images).shape == (3, 4)


def test_wrong_images_are_refused(file):
    runner = runtime.open(file)
    for wrong in (np.zeros((1, 31, 32, 3), np.uint8), np.zeros((1, 32, 32, 3), np.float32), np.zeros((32, 32, 3))):
        with pytest.raises(UsageError, match=r"uint8 images \[N, 32, 32, 3\]"):
            runner.run(wrong)


def test_damaged_files_are_named_and_nothing_is_printed(file, capfd):
    content = file.read_bytes()
    for damaged in (b"", b"not a model", content[: len(content) // 2]):
        file.write_bytes(damaged)
        with pytest.raises(WeightsError, match=r"model\.onnx"):
            runtime.open(file)
    assert capfd.readouterr() == ("", "")


def test_a_foreign_file_is_told_from_ours(graph, file):
    file.write_bytes(to_bytes(graph))
    with pytest.raises(WeightsError, match="not written by pocketvision"):
        runtime.open(file)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"name": "x"}', '{"color": 1}'])
def test_an_unreadable_manifest_is_told(file, text):
    model = onnx.load(file)
    next(item for item in model.metadata_props if item.key == "pocketvision").value = text
    del model.metadata_props[-1]  # the digest, which files from before lack
    file.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match="manifest"):
        runtime.open(file)


@pytest.mark.parametrize("words", [replace(WORDS, labels=("a", "b")), replace(WORDS, image=ImageSpec(64))])
def test_a_manifest_of_another_net_is_told(graph, file, words):
    write(graph, words, file)
    with pytest.raises(WeightsError, match="4 outputs at 32 pixels"):
        runtime.open(file)


def test_wrong_names(tmp_path):
    with pytest.raises(UnknownName, match=r"\.onnx"):
        runtime.open(tmp_path / "model.pt")
    with pytest.raises(UsageError, match="there is no file"):
        runtime.open(tmp_path / "model.onnx")


def test_absent_runtime_names_the_command(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match="pip install 'pocketvision"):
        runtime.open(file)


def test_older_processors_are_asked_for_precision(tmp_path):
    saturates = import_module("pocketvision.runtime.onnx")._saturates
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("flags : sse4_2 avx2 avx512f\n")
    new.write_text("flags : sse4_2 avx2 avx512_vnni\n")
    assert saturates("x86_64", old)
    assert not saturates("x86_64", new)
    assert saturates("AMD64", tmp_path / "absent")
    assert not saturates("aarch64", old)


def test_precision_mode_gives_the_same_integers(graph, images, monkeypatch):
    from pocketvision.compress.quantize import calibrate, quantize

    small = quantize(graph, calibrate(graph, images))
    module = import_module("pocketvision.runtime.onnx")
    for old in (False, True):
        monkeypatch.setattr(module, "_saturates", lambda *_, old=old: old)
        assert np.abs(answer_of(to_bytes(small))(images) - run(small, images)).max() < 1e-6


def test_the_stand_in_is_a_runner(images):
    runner: runtime.Runner = FakeRunner(WORDS, lambda images: np.full((len(images), 4), 0.25, np.float32))
    assert runner.run(images).tolist() == [[0.25] * 4] * 3
    assert runner.labels == WORDS.labels
    assert runner.input_shape == (32, 32, 3)
    assert runner.name == "fake"
