"""USE.md of a detector: its Python, JavaScript and C++ find the boxes that the file's graph gives."""

import io
import json
import re
import shutil
import subprocess
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.export.manifest import manifest_of_file
from pocketvision.export.use import boxes_text, python_code
from pocketvision.export.write import write_graph
from pocketvision.graph.boxes import decode
from pocketvision.graph.graph import Graph, Suppress
from pocketvision.graph.run import run, tensors
from pocketvision.images.prepare import load
from tests.export.detector import IMAGE, LABELS, MODEL, SIDE, detector, images

WEB = Path(__file__).parents[2] / "web"
THRESHOLD = 0.21
JAVASCRIPT = """
const { boxes, scores } = JSON.parse(require("fs").readFileSync(0));
console.log(JSON.stringify(suppress(boxes, scores).map(({ box, label, score }) => [...box, label, score])));
"""
CPP = r"""
#include <algorithm>
#include <cstdio>
#include <vector>
%s
int main() {
  std::vector<float> boxes(%d * 4), scores(%d);
  if (std::fread(boxes.data(), 4, boxes.size(), stdin) != boxes.size()) return 1;
  if (std::fread(scores.data(), 4, scores.size(), stdin) != scores.size()) return 1;
  for (const Found& one : suppress(boxes.data(), scores.data()))
    std::printf("%%g %%g %%g %%g %%d %%g\n", one.box[0], one.box[1], one.box[2], one.box[3], one.label, one.score);
}
"""


@pytest.fixture(scope="module")
def graph() -> Graph:
    return detector()


def words(**changes):
    return replace(manifest_of_file(MODEL, IMAGE, LABELS), task="detection", thresholds=(THRESHOLD,) * 3, **changes)


def kept(rows):
    return rows[rows[:, 5] >= THRESHOLD]


def anchors_told(graph, image):
    """Return boxes and scores of all anchors, and what is kept of them."""
    values, node = dict(tensors(graph, image[None])), graph.nodes[-1]
    assert isinstance(node, Suppress)
    codes, scores = (values[name][0] for name in node.inputs)
    return decode(codes, node.anchors).astype(np.float32), scores, kept(run(graph, image[None])[0])


def extra(suffix, package):
    return pytest.param(suffix, marks=[pytest.mark.extra(package), pytest.mark.filterwarnings("ignore")])


@pytest.mark.parametrize("ends", ["boxes", "raw"])
@pytest.mark.parametrize("suffix", [".onnx", ".tflite", extra(".xml", "openvino"), extra(".pte", "executorch")])
def test_the_python_of_the_page_finds_the_boxes(suffix, ends, graph, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_graph(graph, words(ends=ends), tmp_path / f"model{suffix}")
    page = Path("USE.md").read_text(encoding="utf-8")
    if (suffix, ends) == (".tflite", "raw"):
        assert "vision.ObjectDetector" in page
        return
    Image.fromarray(images()[1]).resize((150, 90)).save("photo.png")
    code = python_code(page).replace("photo.jpg", "photo.png")
    with redirect_stdout(io.StringIO()) as said:
        exec(compile(code, "USE.md", "exec"), {})
    told = [line.split("\t") for line in said.getvalue().splitlines()]
    expected = kept(run(graph, load(Path("photo.png").read_bytes(), IMAGE)[None])[0])
    assert len(told) == len(expected) >= 5
    assert [label for label, *_ in told] == [LABELS[int(row[4])] for row in expected]
    numbers = np.array([line[1:] for line in told], np.float32)
    np.testing.assert_allclose(numbers, expected[:, [5, 0, 1, 2, 3]], atol=1e-3)


def test_javascript_suppresses_alike(graph):
    if shutil.which("node") is None:
        pytest.skip("needs Node")
    (lines,) = re.findall(r"```js\n(function suppress.*?)```", boxes_text(["m.pte"], words()), re.DOTALL)
    boxes, scores, expected = anchors_told(graph, images()[5])
    told = json.dumps({"boxes": boxes.ravel().tolist(), "scores": scores.ravel().tolist()})
    done = subprocess.run(["node", "-e", lines + JAVASCRIPT], input=told, capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(done.stdout), expected, atol=1e-5)
    assert len(expected) > 10


def test_cpp_suppresses_alike(graph, tmp_path):
    if shutil.which("c++") is None:
        pytest.skip("needs the compiler c++")
    (lines,) = re.findall(r"```cpp\n(struct Found.*?)```", boxes_text(["m.pte"], words()), re.DOTALL)
    boxes, scores, expected = anchors_told(graph, images()[5])
    (tmp_path / "main.cc").write_text(CPP % (lines, len(boxes), scores.size))
    build = ["c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "main.cc", "-o", "out"]
    subprocess.run(build, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "out"], input=boxes.tobytes() + scores.tobytes(), capture_output=True, check=True)
    np.testing.assert_allclose(
        [list(map(float, line.split())) for line in done.stdout.splitlines()], expected, atol=1e-4
    )


def test_the_javascript_of_an_onnx_file_finds_the_boxes(graph, tmp_path):
    node = shutil.which("node")
    if node is None or not (WEB / "node_modules" / "onnxruntime-web").is_dir():
        pytest.skip("needs Node and the packages that `make web` installs")
    write_graph(graph, words(), tmp_path / "model.onnx")
    lines = re.findall(r"```js\n(.*?)```", (tmp_path / "USE.md").read_text(encoding="utf-8"), re.DOTALL)[0]
    rgba = np.dstack([images()[1], np.full((SIDE, SIDE), 255, np.uint8)])
    canvas = "const canvas = { getContext: () => ({ getImageData: () => ({ data }) }) };"
    program = (
        f"const data = Uint8ClampedArray.from({rgba.ravel().tolist()});\n{canvas}\n"
        f"{lines.replace('model.onnx', (tmp_path / 'model.onnx').as_posix())}\n"
        "process.stdout.write(JSON.stringify(found.map(({ box, label, score }) => [...box, label, score])));"
        "process.exit(0);"
    )
    order = [node, "--input-type=module", "-"]
    said = subprocess.run(order, cwd=WEB, input=program, capture_output=True, text=True, check=True).stdout
    np.testing.assert_allclose(json.loads(said), kept(run(graph, images()[1:2])[0]), atol=1e-3)


def test_a_page_has_a_section_for_each_file_and_nothing_left_open():
    names = ["a.onnx", "b.mlpackage", "c.xml", "d.pte", "e.tflite", "f-1.c", "notes.txt"]
    page = boxes_text(names, words())
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## a.onnx: ONNX Runtime",
        "## b.mlpackage: Core ML",
        "## c.xml: OpenVINO",
        "## d.pte: ExecuTorch",
        "## e.tflite: LiteRT",
        "## f-1.c: C, for TensorFlow Lite Micro",
        "## From a web server",
        "## Leaving out what overlaps",
        "## Preparing an image in Python",
    ]
    assert page.count("```") % 2 == 0
    assert "from a score of 0.21 on" in page
    assert "counts from a\nscore of **0.21** on; the file gives those from 0.05 on" in page
    assert "up to 80" in page
    assert not re.search(r"\$\{?(threshold|most|anchors|side|file|overlap|outcome|labels)\b", page)
    assert max(map(len, page.splitlines())) <= 240
    raw = boxes_text(["a.onnx", "e.tflite"], words(), ends={"a.onnx": "raw", "e.tflite": "boxes"})
    assert "## Leaving out what overlaps" in raw
    assert "`classes` `[1, 100]`" in raw
    assert "Leaving out" not in boxes_text(["a.onnx", "e.tflite"], words())
