"""The verbs `export` and `compress` on files: published ones and our own, with labels, images and refusals."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pocketvision
from pocketvision.cli.app import run as command
from pocketvision.cli.terminal import Terminal
from pocketvision.compress.published import in_eight_bits
from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.errors import DataError, RunExists, UsageError, WeightsError
from pocketvision.export import litert, onnx
from pocketvision.export.calibrate import calibration
from pocketvision.export.manifest import manifest_of_file
from pocketvision.export.unlabeled import load_images
from pocketvision.graph.graph import Conv, Graph
from pocketvision.graph.run import run
from pocketvision.graph.trace import trace
from pocketvision.images.prepare import load
from pocketvision.models import build_spec
from pocketvision.progress import Silent
from pocketvision.runtime import open as open_model
from pocketvision.values import Dataset, ImageSpec, ModelSpec
from pocketvision.weights.safetensors import save

SPEC = ModelSpec("mobilenet_v1", 0.25, 32, 4)
IMAGE = ImageSpec(32, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
LABELS = ("bee", "cat", "dog", "eel")


@pytest.fixture(scope="module")
def net(settled):
    import torch

    torch.manual_seed(0)
    return settled(build_spec(SPEC), torch.randn(16, 3, 32, 32))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Return a folder of images without labels."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(40):
        small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
        small.resize((48, 40), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def weights_file(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "toy.safetensors"
    save(net, SPEC, path=path, image=IMAGE, labels=LABELS)
    return path


def images(folder, image=IMAGE):
    return np.stack([load(path.read_bytes(), image) for path in sorted(folder.iterdir())])


def test_a_weights_file_becomes_files_that_answer_as_its_net(weights_file, net, photos, tmp_path):
    written = pocketvision.export(weights_file, format="onnx,litert", output=tmp_path)
    assert [written.file, *(other.file for other in written.others)] == [
        f"{tmp_path}/model.onnx",
        f"{tmp_path}/model.tflite",
    ]
    assert written.precision == "float"
    expected = run(trace(net, IMAGE), images(photos))
    for suffix in (".onnx", ".tflite"):
        runner = open_model(tmp_path / f"model{suffix}")
        assert runner.labels == LABELS
        np.testing.assert_allclose(runner.run(images(photos)), expected, atol=1e-5)
        assert len(runner.manifest.probes) == 3
        assert (runner.manifest.image, runner.manifest.name) == (IMAGE, "toy")


def test_a_delivered_file_of_a_width_that_nobody_publishes_is_read_back(settled, photos, tmp_path):
    import torch

    spec = replace(SPEC, width=0.1875)
    odd = settled(build_spec(spec), torch.randn(16, 3, 32, 32))
    save(odd, spec, path=tmp_path / "odd.safetensors", image=IMAGE, labels=LABELS)
    first = pocketvision.export(tmp_path / "odd.safetensors", format="litert", output=tmp_path / "first")
    again = pocketvision.export(first.file, format="onnx", output=tmp_path / "again")
    answers = [open_model(Path(written.file)).run(images(photos)) for written in (first, again)]
    np.testing.assert_allclose(*answers, atol=1e-5)


def test_the_files_of_a_file_lie_beside_it(weights_file, tmp_path):
    path = tmp_path / "toy.safetensors"
    path.write_bytes(weights_file.read_bytes())
    assert pocketvision.export(path).file == f"{tmp_path}/toy-export/model.onnx"


def test_int8_wants_images_and_says_so(weights_file, photos, tmp_path):
    with pytest.raises(UsageError, match="name their folder behind the file"):
        pocketvision.export(weights_file, precision="int8", output=tmp_path)
    written = pocketvision.export(
        weights_file, photos, format="litert,c,onnx", precision="int8", io="uint8", output=tmp_path, abstain="0.3"
    )
    assert (written.precision, written.manifest.io, written.manifest.abstain_below) == ("int8", "uint8", 0.3)
    assert "all of the net is one part of XNNPACK" in written.checked
    assert "Output: uint8 [1, 4]" in (tmp_path / "model.h").read_text()
    assert json.loads((tmp_path / "manifest.json").read_text())["io"] == "uint8"
    assert open_model(tmp_path / "model.onnx").manifest.io == "mixed"


@pytest.mark.parametrize(
    ("precision", "suffix", "io"),
    [
        *(
            (precision, suffix, "mixed")
            for precision in ("float", "float16", "int8")
            for suffix in (".onnx", ".tflite")
        ),
        ("int8", ".tflite", "uint8"),
        ("int8", ".tflite", "int8"),
    ],
)
def test_our_own_files_are_written_anew_in_other_formats(precision, suffix, io, net, photos, tmp_path):
    plain = trace(net, IMAGE)
    own = replace(manifest_of_file(SPEC, IMAGE, LABELS), name="mine", abstain_below=0.4, created="2020-01-01")
    first = tmp_path / f"first{suffix}"
    graph = quantize(plain, calibrate(plain, images(photos))) if precision == "int8" else plain
    if precision == "float16":
        from pocketvision.compress.half import halved

        graph = halved(plain)
    {".onnx": onnx, ".tflite": litert}[suffix].write(graph, replace(own, precision=precision, io=io), first)
    written = pocketvision.export(first, format="onnx,litert", output=tmp_path / "again")
    assert written.precision == ("int8" if precision == "int8" else "float")
    assert (written.manifest.labels, written.manifest.image) == (LABELS, IMAGE)
    assert (written.manifest.name, written.manifest.abstain_below, written.manifest.io) == ("mine", 0.4, "mixed")
    assert written.manifest.created > own.created
    again = open_model(tmp_path / "again" / f"model{suffix}").run(images(photos))
    before = open_model(first).run(images(photos))
    np.testing.assert_allclose(again, before, atol=1e-5 if io == "mixed" else 1.01 / 256)


def test_labels_are_the_files_or_given_or_numbers(net, weights_file, tmp_path, capsys):
    bare = tmp_path / "bare.safetensors"
    save(net, SPEC, path=bare, image=IMAGE, labels=None)
    assert command(["export", str(bare), "--output", str(tmp_path / "a"), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["manifest"]["labels"] == ["0", "1", "2", "3"]
    assert "give a text with one label a line as --labels" in told.err
    text = tmp_path / "labels.txt"
    text.write_text("w\nx\ny\nz\n", encoding="utf-8")
    assert pocketvision.export(bare, labels=text, output=tmp_path / "b").manifest.labels == ("w", "x", "y", "z")
    text.write_text("w\nx\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"names 2 labels, and the net in .* has 4 outputs"):
        pocketvision.export(bare, labels=text, output=tmp_path / "b")
    text.write_text("w\nx\n\nz\n", encoding="utf-8")
    with pytest.raises(UsageError, match="line 3 of --labels is blank"):
        pocketvision.export(bare, labels=text, output=tmp_path / "b")
    for path in (tmp_path / "absent.txt", bare):
        with pytest.raises(UsageError, match="is no text that can be read"):
            pocketvision.export(bare, labels=path, output=tmp_path / "b")


@pytest.mark.parametrize("text", ["w\nx\ny\nz\n\n", "w\r\nx\r\ny\r\nz\r\n \r\n", "\ufeffw\nx\ny\nz", "w \nx\ny\nz\n\n"])
def test_blank_lines_at_the_end_of_the_labels_are_none(weights_file, tmp_path, text):
    (tmp_path / "labels.txt").write_bytes(text.encode("utf-8"))
    written = pocketvision.export(weights_file, labels=tmp_path / "labels.txt", output=tmp_path / "a")
    assert written.manifest.labels == ("w", "x", "y", "z")


def test_labels_that_cannot_stand_on_a_line_are_replaced_and_told(weights_file, tmp_path, capsys):
    (tmp_path / "names.txt").write_bytes(b"bee\tbug\ncat\ndog\x00\neel\n")
    words = ["export", str(weights_file), "--labels", str(tmp_path / "names.txt"), "--precision", "float"]
    assert command([*words, "--output", str(tmp_path / "out")]) == 0
    assert r"'bee\tbug' is now 'bee bug'" in capsys.readouterr().err
    assert open_model(tmp_path / "out" / "model.onnx").labels == ("bee bug", "cat", "dog", "eel")


def test_one_output_is_exported_as_a_yes_or_no_where_two_labels_say_so(photos, tmp_path):
    import torch

    torch.manual_seed(0)
    spec = replace(SPEC, num_classes=1)
    net = build_spec(spec).eval()
    save(net, spec, path=tmp_path / "one.safetensors", image=IMAGE, labels=None)
    with pytest.raises(WeightsError, match=r"one\.safetensors has one output"):
        pocketvision.export(tmp_path / "one.safetensors", output=tmp_path / "a")
    (tmp_path / "labels.txt").write_text("fine\nbroken\n", encoding="utf-8")
    written = pocketvision.export(
        tmp_path / "one.safetensors", labels=tmp_path / "labels.txt", output=tmp_path / "a", format="onnx"
    )
    assert written.manifest.labels == ("fine", "broken")
    pixels = images(photos)
    mean, std = (np.array(values, np.float32) for values in (IMAGE.mean, IMAGE.std))
    batch = torch.from_numpy(((pixels / np.float32(255) - mean) / std).transpose(0, 3, 1, 2).astype(np.float32))
    with torch.inference_mode():
        yes = net(batch).sigmoid().numpy()
    found = open_model(tmp_path / "a" / "model.onnx").run(pixels)
    np.testing.assert_allclose(found, np.concatenate([1 - yes, yes], 1), atol=1e-5)


def test_weights_in_a_second_file_are_told(net, tmp_path):
    import onnx as format

    own = tmp_path / "own.onnx"
    onnx.write(trace(net, IMAGE), manifest_of_file(SPEC, IMAGE, LABELS), own)
    for name, path in (("weights.bin", tmp_path / "apart.onnx"), ("w" * 180, tmp_path / "long.onnx")):
        format.save_model(
            format.load(own), path, save_as_external_data=True, location=name, size_threshold=0, convert_attribute=False
        )
        told = f"{path.name} keeps its weights in another file, '{name}'"
        with pytest.raises(WeightsError, match=told):
            pocketvision.export(path, output=tmp_path / "a")
        with pytest.raises(WeightsError, match=told):
            open_model(path)


def test_what_cannot_be_exported_is_told_with_what_to_do(weights_file, photos, net, tmp_path):
    foreign = tmp_path / "net.onnx"
    foreign.write_bytes(onnx.to_bytes(trace(net, IMAGE)))
    with pytest.raises(WeightsError, match=r"other ONNX files are not read. Name the weights"):
        pocketvision.export(foreign)
    (tmp_path / "net.xml").write_text("<net/>", encoding="utf-8")
    with pytest.raises(UsageError, match=r"OpenVINO files are not read back. Name the folder of the run"):
        pocketvision.export(tmp_path / "net.xml")
    (tmp_path / "net.pte").write_bytes(b"a program")
    with pytest.raises(UsageError, match="ExecuTorch files are not read back"):
        pocketvision.export(tmp_path / "net.pte")
    with pytest.raises(UsageError, match="there is no file"):
        pocketvision.export(tmp_path / "absent.tflite")
    with pytest.raises(UsageError, match="a run has labels of its own"):
        pocketvision.export(tmp_path, labels=photos)
    with pytest.raises(UsageError, match="--io uint8 is for LiteRT and C files"):
        pocketvision.export(weights_file, format="onnx", io="uint8")
    with pytest.raises(UsageError, match="add --precision int8"):
        pocketvision.export(weights_file, format="litert", io="uint8", output=tmp_path)
    changed = tmp_path / "changed.tflite"
    litert.write(trace(net, IMAGE), manifest_of_file(SPEC, IMAGE, LABELS), changed)
    onnx.write(trace(net, IMAGE), manifest_of_file(SPEC, IMAGE, LABELS), changed.with_suffix(".onnx"))
    for path in (changed, changed.with_suffix(".onnx")):
        content = bytearray(path.read_bytes())
        content[2000] ^= 1
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="was changed after it was written"):
            pocketvision.export(path, output=tmp_path)
    (tmp_path / "notes.txt").write_text("no net", encoding="utf-8")
    with pytest.raises(WeightsError, match="no weights file by its suffix"):
        pocketvision.export(tmp_path / "notes.txt")


def test_compress_calibrates_a_file_on_the_images_given(weights_file, photos, tmp_path, capsys):
    found = pocketvision.compress(weights_file, photos)
    assert [stage.steps for stage in found.stages] == ["float", "int8", "equalize, ranges, int8, bias"]
    assert all(stage.validation is None for stage in found.stages)
    assert 0 < found.images < 20
    assert found.stages[0].same_answer == 1
    assert command(["compress", str(weights_file), str(photos), "--steps", "int8"]) == 0
    assert "no labels" in capsys.readouterr().out
    with pytest.raises(UsageError, match="name their folder behind the file"):
        pocketvision.compress(weights_file)
    for number, path in enumerate(sorted(photos.iterdir())):
        target = tmp_path / LABELS[number % 4] / path.name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    judged = pocketvision.compress(weights_file, tmp_path, steps="int8")
    assert judged.stages[0].validation.count == judged.images


def test_loose_images_may_have_a_table_or_broken_ones_among_them(photos, tmp_path, capsys):
    names = [path.name for path in sorted(photos.iterdir())]
    for name in names:
        (tmp_path / name).write_bytes((photos / name).read_bytes())
    (tmp_path / "broken.png").write_bytes(b"no image")
    found = load_images(tmp_path, {}, Terminal())
    assert (found.labels, sorted(example.file for example in found.examples)) == ((), sorted(names))
    assert "left out: broken.png" in capsys.readouterr().err
    lines = [f"{name},{LABELS[number % 4]}\n" for number, name in enumerate(names)]
    (tmp_path / "metadata.csv").write_text("".join(["file_name,label\n", *lines]), encoding="utf-8")
    assert load_images(tmp_path, {}, Silent()).labels == LABELS


def test_images_of_one_class_or_of_test_folders_are_calibrated_on_as_any_others(photos, tmp_path, capsys):
    one, halves = tmp_path / "one", tmp_path / "halves"
    shutil.copytree(photos, one / "bee")
    for number, path in enumerate(sorted(photos.iterdir())):
        target = halves / "test" / LABELS[number % 2] / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    for data in (one, halves):
        found = load_images(data, {}, Terminal())
        assert (found.labels, len(found.examples)) == ((), 40)
        assert found.of("train")
        assert all(Path(found.root, example.file).is_file() for example in found.examples)
        assert "labels are not used: '" in capsys.readouterr().err


def test_without_a_image_to_calibrate_on_more_are_asked_for():
    with pytest.raises(DataError, match="photos has no image left to calibrate on; give more"):
        calibration(Dataset("photos", (), ()), IMAGE)


def test_weights_of_nine_bits_are_rounded_channel_by_channel(net, photos):
    plain = trace(net, IMAGE)
    graph = quantize(plain, calibrate(plain, images(photos)))
    place, first = next((place, node) for place, node in enumerate(graph.nodes) if isinstance(node, Conv))
    weight = first.weight.astype(np.int16) // 2
    weight[1, 2, 0, 0] = 250
    wide = replace(first, weight=weight)
    narrow, rounded = in_eight_bits(Graph((*graph.nodes[:place], wide, *graph.nodes[place + 1 :]), graph.quant))
    assert rounded == 1
    found = narrow.nodes[place]
    assert found.weight.dtype == np.int8
    others = np.arange(len(weight)) != 1
    np.testing.assert_array_equal(found.weight[others], weight[others])
    np.testing.assert_array_equal(found.bias[others], first.bias[others])
    assert found.weight[1, 2, 0, 0] == 127
    step = found.weight_scale[1]
    np.testing.assert_allclose(found.weight[1] * step, weight[1] * first.weight_scale[1], atol=0.501 * step)
    assert found.bias[1] * step == pytest.approx(first.bias[1] * first.weight_scale[1], abs=0.501 * float(step))
    assert in_eight_bits(graph)[1] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "agreed"), [("tf2_mobilenet_v2_1.0_224_ptq.tflite", 1.0), ("mobilenet_v1_0.25_128_quant.tflite", 0.9)]
)
def test_a_published_quantized_file_keeps_its_own_numbers(name, agreed, shared_weights, shared_data, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    written = pocketvision.export(shared_weights / name, format="litert,onnx", output=tmp_path)
    assert (written.precision, written.manifest.labels[1]) == ("int8", "tench, Tinca tinca")
    files = sorted((shared_data / "imagenet-sample").iterdir())[::25]
    images = np.stack([load(path.read_bytes(), written.manifest.image) for path in files])
    original = Interpreter(str(shared_weights / name))
    original.allocate_tensors()
    answers = []
    for image in images:
        original.set_tensor(original.get_input_details()[0]["index"], image[None])
        original.invoke()
        answers.append(int(original.get_tensor(original.get_output_details()[0]["index"])[0].argmax()))
    for suffix in (".tflite", ".onnx"):
        found = open_model(tmp_path / f"model{suffix}").run(images).argmax(axis=1)
        assert (found == answers).mean() >= (agreed if suffix == ".tflite" else 0.85)


def test_no_file_of_the_users_is_overwritten(weights_file, tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    users = {"manifest.json": '{"name": "my page"}', "USE.md": "mine", "cost.json": "{}", "model.onnx": "mine"}
    for name, text in users.items():
        (folder / name).write_text(text)
        with pytest.raises(RunExists, match=r"was not written by pocketvision; choose another folder with --output"):
            pocketvision.export(weights_file, output=folder)
        assert {path.name: path.read_text() for path in folder.iterdir()} == {name: text}
        (folder / name).rename(tmp_path / name)
    (folder / "notes.txt").write_text("mine")
    for _ in range(2):
        pocketvision.export(weights_file, output=folder)
    assert {path.name for path in folder.iterdir()} == {
        "notes.txt",
        "model.onnx",
        "manifest.json",
        "cost.json",
        "USE.md",
    }
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match=r"File exists: .*file"):
        pocketvision.export(weights_file, output=tmp_path / "file")
