"""USE.md: real names and shapes, and Python that answers as the file does."""

import io as io_
import re
import shutil
import subprocess
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision import predict
from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.export import c, litert
from pocketvision.export.onnx import write
from pocketvision.export.use import python_code, use_text, write_use
from pocketvision.graph.run import run
from pocketvision.graph.sketch import Sketch
from pocketvision.images.prepare import load
from pocketvision.values import ImageSpec, Manifest, ModelSpec
from tests.images.strange import STRANGE

WEB = Path(__file__).parents[2] / "web"
LABELS = ("bird", "cat", "dog")
SPECS = [
    ImageSpec(24),
    ImageSpec(24, crop_pct=0.875),
    ImageSpec(24, "crop"),
    ImageSpec(24, "crop", crop_pct=0.875, mean=(0.4, 0.5, 0.6)),
]


def manifest_of(image: ImageSpec, **changes) -> Manifest:
    manifest = Manifest(
        format_version=1,
        name="pets",
        task="classification",
        labels=LABELS,
        image=image,
        model=ModelSpec("mobilenet_v2", 0.5, image.resolution, len(LABELS)),
        precision="float",
        data_digest="0",
        splits={},
        figures={},
        probes=(),
        versions={},
        created="2026-01-01T00:00:00+00:00",
    )
    return replace(manifest, **changes)


def small_net(image: ImageSpec):
    sketch = Sketch(image.resolution)
    sketch.normalize(image.mean, image.std)
    return sketch.finish(sketch.linear(sketch.mean(sketch.conv("image", 8, kernel=3)), len(LABELS)))


def photo(size=(90, 61)):
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("size", [(90, 61), (61, 90)])
@pytest.mark.parametrize("image", SPECS, ids=str)
def test_the_python_of_the_page_answers_as_the_file(image, size, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    graph, manifest = small_net(image), manifest_of(image)
    write(graph, manifest, tmp_path / "model.onnx")
    page = write_use(tmp_path, manifest).read_text(encoding="utf-8")
    photo(size).save("photo.jpg", quality=95)
    with redirect_stdout(io_.StringIO()) as said:
        exec(compile(python_code(page), "USE.md", "exec"), {})
    label, probability = said.getvalue().split()
    expected = run(graph, load((tmp_path / "photo.jpg").read_bytes(), image)[None])[0]
    assert label == LABELS[expected.argmax()]
    assert float(probability) == pytest.approx(expected.max(), abs=2e-3)


@pytest.mark.parametrize("image", [SPECS[0], SPECS[3]], ids=str)
@pytest.mark.parametrize("name", ["model.onnx", "model.tflite"])
def test_the_python_of_the_page_answers_odd_images_as_predict_does(name, image, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    deliver = {"model.onnx": write, "model.tflite": litert.write}[name]
    manifest = manifest_of(image)
    deliver(small_net(image), manifest, tmp_path / name)
    code = compile(python_code(write_use(tmp_path, manifest).read_text(encoding="utf-8")), "USE.md", "exec")
    (tmp_path / "odd").mkdir()
    for kind, content in STRANGE.items():
        (tmp_path / "odd" / kind).write_bytes(content)
    answers = set()
    for wanted in predict(name, [tmp_path / "odd" / kind for kind in STRANGE]):
        (tmp_path / "photo.jpg").write_bytes(Path(wanted.file).read_bytes())
        with redirect_stdout(io_.StringIO()) as said:
            exec(code, {})
        label, probability = said.getvalue().split()
        assert label == wanted.label, wanted.file
        assert float(probability) == pytest.approx(wanted.probability, abs=1e-5), wanted.file
        answers.add(probability)
    assert len(answers) > len(STRANGE) / 2, "images that differ get other answers"


def test_the_javascript_of_the_page_answers_as_predict_does(tmp_path):
    node = shutil.which("node")
    if node is None or not (WEB / "node_modules" / "onnxruntime-web").is_dir():
        pytest.skip("needs Node and the packages that `make web` installs")
    image, file = SPECS[0], tmp_path / "model.onnx"
    write(small_net(image), manifest_of(image), file)
    lines = re.findall(r"```js\n(.*?)```", use_text([file.name], manifest_of(image)), re.DOTALL)[0]
    (tmp_path / "photo.png").write_bytes(STRANGE["rgba"])
    pixels = load(STRANGE["rgba"], image)
    rgba = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    canvas = "const canvas = { getContext: () => ({ getImageData: () => ({ data }) }) };"
    program = (
        f"const data = Uint8ClampedArray.from({rgba.ravel().tolist()});\n{canvas}\n"
        f"{lines.replace(file.name, file.as_posix())}\n"
        "process.stdout.write(`${best} ${probabilities.data[best]}`); process.exit(0);"
    )
    arguments = [node, "--input-type=module", "-"]
    said = subprocess.run(arguments, cwd=WEB, input=program, capture_output=True, text=True, check=True).stdout
    (wanted,) = predict(file, tmp_path / "photo.png")
    best, probability = said.split()
    assert LABELS[int(best)] == wanted.label
    assert float(probability) == pytest.approx(wanted.probability, abs=1e-5)


@pytest.mark.parametrize("io", ["mixed", "uint8", "int8"])
def test_the_python_of_a_litert_file_answers_as_the_file_whatever_its_ends(io, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain, manifest = small_net(ImageSpec(24)), manifest_of(ImageSpec(24), precision="int8", io=io)
    photo().save("photo.jpg", quality=95)
    image = load((tmp_path / "photo.jpg").read_bytes(), ImageSpec(24))[None]
    litert.write(quantize(plain, calibrate(plain, image)), manifest, tmp_path / "model.tflite")
    # Another manifest beside it: the page goes by each file.
    page = write_use(tmp_path, manifest_of(ImageSpec(24))).read_text(encoding="utf-8")
    with redirect_stdout(io_.StringIO()) as said:
        exec(compile(python_code(page), "USE.md", "exec"), {})
    label, probability = said.getvalue().split()
    expected = run(quantize(plain, calibrate(plain, image)), image)[0]
    assert label == LABELS[expected.argmax()]
    assert float(probability) == pytest.approx(expected.max(), abs=1e-6 if io == "mixed" else 1 / 256)
    assert ("LiteRT.js takes no int8 images" in page) == (io == "int8")
    assert ("each less 128" in page) == (io == "int8")


@pytest.mark.parametrize("io", ["uint8", "int8"])
def test_the_ends_of_a_c_source_are_read_off_its_header(io, tmp_path):
    plain = small_net(ImageSpec(24))
    noise = np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3), np.uint8)
    manifest = manifest_of(ImageSpec(24), precision="int8", io=io)
    c.write(quantize(plain, calibrate(plain, noise)), manifest, tmp_path / "model.c")
    page = write_use(tmp_path, manifest_of(ImageSpec(24))).read_text(encoding="utf-8")
    assert f"net.input(0)->data.{io}" in page
    assert f"net.output(0)->data.{io}" in page


def test_a_page_has_a_section_for_each_file_and_nothing_left_open(tmp_path):
    names = ["a.onnx", "b.mlpackage", "c.xml", "d.pte", "e.tflite", "f-1.c", "notes.txt"]
    page = use_text(names, manifest_of(ImageSpec(24)))
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## a.onnx: ONNX Runtime",
        "## b.mlpackage: Core ML",
        "## c.xml: OpenVINO",
        "## d.pte: ExecuTorch",
        "## e.tflite: LiteRT",
        "## f-1.c: C, for TensorFlow Lite Micro",
        "## From a web server",
        "## Preparing an image in Python",
    ]
    assert page.count("```") % 2 == 0
    assert "bird, cat, dog" in page
    for language in ("swift", "kotlin", "js", "cpp", "python"):
        assert f"```{language}\n" in page
    assert "F_1_ARENA_BYTES" in page
    assert "$name" not in page
    assert max(map(len, page.splitlines())) <= 240


def test_a_page_tells_how_to_host_what_browsers_run():
    page = use_text(["a.onnx", "e.tflite"], manifest_of(ImageSpec(24)))
    assert "brotli -k a.onnx" in page
    assert 'fetch("a.onnx.gz")' in page
    assert page.count("From a web server") == 1
    assert "From a web server" not in use_text(["b.mlpackage", "f-1.c"], manifest_of(ImageSpec(24)))


def test_the_threshold_and_long_lists_of_labels_are_told():
    labels = tuple(f"kind {number}" for number in range(200))
    page = use_text(["a.onnx"], manifest_of(ImageSpec(24), labels=labels, abstain_below=0.4321))
    assert "below **0.4321**" in page
    assert "kind 0, kind 1, and so on" in page
    assert "200 probabilities" in page
    assert "kind 199" not in page
