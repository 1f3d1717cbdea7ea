"""The verb `demo`: the folder it writes, what it refuses, what it says while it serves."""

import gzip
import hashlib
import json
import re
import signal
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketvision import demo
from pocketvision.cli import app as cli
from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.errors import (
    DataError,
    MissingExtra,
    PocketvisionError,
    RunExists,
    UnknownName,
    UsageError,
    WeightsError,
)
from pocketvision.export import litert, onnx
from pocketvision.files import write_text
from pocketvision.graph.sketch import Sketch
from pocketvision.runs import open_run
from pocketvision.runtime import open as open_model
from pocketvision.serve.code import qr_code
from pocketvision.serve.folder import write_calibration, write_demo
from pocketvision.values import ImageSpec, Manifest, ModelSpec, Precision

WORDS = Manifest(
    format_version=1,
    name="toy",
    task="classification",
    labels=("a", "b"),
    image=ImageSpec(32),
    model=ModelSpec("toy", 1.0, 32, 2),
    precision="float",
    data_digest="",
    splits={},
    figures={},
    probes=(),
    versions={},
    created="2026-11-20T00:00:00+00:00",
    abstain_below=0.6,
)
LISTENING = (
    "import signal\nfrom pocketvision.cli import main\nsignal.signal(signal.SIGINT, signal.default_int_handler)\nmain()"
)
"""Tests that a shell runs in the background ignore Ctrl-C, and so would the command that they start."""
PARTS = (
    "index.html",
    "calibrate.html",
    "sw.js",
    "icon.svg",
    "assets/index-1.js",
    "runtime/litert/l.wasm",
    "runtime/onnxruntime/o.wasm",
)


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for a built page, so that the folder is tested without Node."""
    page = tmp_path / "page"
    for name in PARTS:
        (page / name).parent.mkdir(parents=True, exist_ok=True)
        (page / name).write_text(f"{name};\n")
    for write in (write_demo, write_calibration):
        monkeypatch.setitem(write.__kwdefaults__, "page", page)
    return page


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = open_run(tmp_path.parent, tmp_path.name, "run", settings={})
    return deliver(folder / "export" / "model.onnx", WORDS).parents[1]


def deliver(path: Path, manifest: Manifest) -> Path:
    sketch = Sketch(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = {".onnx": onnx, ".tflite": litert}[path.suffix]
    writer.write(sketch.finish(sketch.linear(sketch.mean("image"), 2)), manifest, path)
    return path


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def copies(folder: Path) -> set[str]:
    return {name for name in names(folder) if name.endswith((".gz", ".br"))}


def test_copies_are_packed_beside_what_packs_well(built: Path, run: Path) -> None:
    (built / "assets" / "index-1.js").write_text("the same words, " * 500)
    folder = Path(demo(run, serve=False).folder)
    assert {"model.onnx.gz", "assets/index-1.js.gz"} <= copies(folder)
    assert "index.html.gz" not in copies(folder)
    assert gzip.decompress((folder / "model.onnx.gz").read_bytes()) == (folder / "model.onnx").read_bytes()
    worker = (folder / "sw.js").read_text(encoding="utf-8")
    assert ".gz" not in worker, "a browser keeps files, not copies"
    demo(deliver(run / "another.tflite", WORDS), output=folder, serve=False)
    assert "model.onnx.gz" not in copies(folder)
    assert "model.tflite.gz" in copies(folder)


def test_a_run_gets_a_folder_with_all_it_needs_and_no_more(built: Path, run: Path) -> None:
    written = demo(run, serve=False)
    folder = run / "demo"
    assert (written.folder, written.files, written.address) == (folder.as_posix(), ("model.onnx",), None)
    assert names(folder) - copies(folder) == {
        name for name in PARTS if "litert" not in name and name != "calibrate.html"
    } | {
        "demo.json",
        "model.onnx",
        "reference.onnx",
    }
    assert written.size_bytes == sum((folder / name).stat().st_size for name in names(folder))
    assert (folder / "model.onnx").read_bytes() == (run / "export" / "model.onnx").read_bytes()
    facts = json.loads((folder / "demo.json").read_text())
    assert facts["manifest"]["labels"] == ["a", "b"]
    assert facts["manifest"]["abstain_below"] == 0.6
    assert [file["runtime"] for file in facts["files"]] == ["onnxruntime"]


@pytest.mark.parametrize(
    ("precision", "first"), [("float", "model.tflite"), ("int8", "model.tflite"), ("float16", "model.onnx")]
)
def test_the_page_tries_the_file_first_that_browsers_answer_quicker(
    precision: Precision, first: str, built: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in (".onnx", ".tflite"):
        deliver(run / "export" / f"model{suffix}", replace(WORDS, precision=precision))
    assert cli.run(["demo", str(run), "--no-serve"]) == 0
    facts = json.loads((run / "demo" / "demo.json").read_text())
    assert facts["files"][0]["path"] == first
    assert "float16" not in capsys.readouterr().err


def test_float16_for_litert_alone_is_said_to_be_slow(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = deliver(tmp_path / "signs.tflite", replace(WORDS, precision="float16"))
    assert cli.run(["demo", str(file), "--no-serve"]) == 0
    assert "export it as ONNX too" in capsys.readouterr().err.replace("\n", " ")


def test_a_litert_file_needs_no_litert_here(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = deliver(tmp_path / "signs.tflite", WORDS)
    for package in ("ai_edge_litert", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra):
        open_model(file)
    written = Path(demo(file, serve=False).folder)
    assert json.loads((written / "demo.json").read_text())["manifest"]["labels"] == ["a", "b"]
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="cut short"):
        demo(file, serve=False)


def test_a_file_that_takes_int8_images_is_refused_with_what_to_do(built: Path, tmp_path: Path) -> None:
    sketch = Sketch(32)
    graph = sketch.finish(sketch.linear(sketch.mean(sketch.conv("image", 4)), 2))
    noise = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    path, small = tmp_path / "small.tflite", quantize(graph, calibrate(graph, noise))
    litert.write(small, replace(WORDS, precision="int8", io="uint8"), path)
    assert demo(path, serve=False).files == ("model.tflite",)
    litert.write(small, replace(WORDS, precision="int8", io="int8"), path)
    with pytest.raises(UsageError, match="export with --io uint8"):
        demo(path, serve=False)


def test_the_worker_keeps_the_page_and_is_another_for_another_file(built: Path, run: Path) -> None:
    folder = Path(demo(run, serve=False).folder)
    first = (folder / "sw.js").read_text()
    assert "sw.js;" in first
    shell = json.loads(re.search(r"const SHELL = (.*);", first)[1])
    assert set(shell) == {"./", "index.html", "icon.svg", "assets/index-1.js", "demo.json"}
    demo(run, serve=False)
    assert (folder / "sw.js").read_text() == first
    deliver(run / "export" / "model.onnx", replace(WORDS, name="another"))
    demo(run, serve=False)
    assert (folder / "sw.js").read_text() != first


def test_a_file_gets_its_folder_beside_it(built: Path, tmp_path: Path) -> None:
    file = deliver(tmp_path / "signs.onnx", WORDS)
    assert demo(file, serve=False).folder == (tmp_path / "signs-demo").as_posix()
    assert demo(file, output=tmp_path / "other", serve=False).folder == (tmp_path / "other").as_posix()


def test_an_older_demo_is_replaced_and_leaves_nothing(built: Path, run: Path) -> None:
    folder = Path(demo(run, serve=False).folder)
    write_text(folder / "assets" / "index-0.js", "old")
    write_text(folder / "model.tflite", "old")
    (folder / "CNAME").write_text("the host's own")
    (folder / "model.docx").write_text("the user's own")
    demo(run, serve=False)
    assert (folder / "model.docx").exists()
    assert {"assets/index-0.js", "model.tflite"} & names(folder) == set()
    assert "CNAME" in names(folder)


def test_other_folders_are_left_alone(built: Path, run: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").write_text("mine")
    for taken in (tmp_path / "photos", run / "export" / "model.onnx"):
        with pytest.raises(RunExists, match="choose another folder with --output"):
            demo(run, output=taken, serve=False)
    assert names(tmp_path / "photos") == {"mine.jpg"}
    (tmp_path / "empty").mkdir()
    demo(run, output=tmp_path / "empty", serve=False)


def test_wrong_sources_are_told(built: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no model\.tflite or model\.onnx"):
        demo(tmp_path, serve=False)
    (tmp_path / "model.pt").write_text("weights")
    with pytest.raises(UnknownName, match=r"\.onnx, \.tflite"):
        demo(tmp_path / "model.pt", serve=False)
    for absent in ("model.onnx", "run"):
        with pytest.raises(UsageError, match="there is no run or file"):
            demo(tmp_path / absent, serve=False)


def test_a_certificate_is_tried_before_anything_is_written(built: Path, run: Path) -> None:
    with pytest.raises(UsageError, match="there is no certificate"):
        demo(run, cert=str(run / "absent.pem"))
    assert not (run / "demo").exists()


def test_files_of_different_runs_are_told(built: Path, tmp_path: Path) -> None:
    files = [deliver(tmp_path / "a.onnx", WORDS), deliver(tmp_path / "b.onnx", replace(WORDS, labels=("b", "a")))]
    with pytest.raises(DataError, match=r"a\.onnx and b\.onnx differ in their labels"):
        write_demo(files, tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_a_page_that_was_not_built_is_told(run: Path, tmp_path: Path) -> None:
    with pytest.raises(PocketvisionError, match="Run `make web`"):
        write_demo([run / "export" / "model.onnx"], tmp_path / "demo", page=tmp_path / "nowhere")
    assert not (tmp_path / "demo").exists()


def test_it_serves_this_machine_until_it_is_interrupted(run: Path, page: Path) -> None:
    command = [sys.executable, "-c", LISTENING, "demo", str(run), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        said = []
        for line in process.stderr:
            said.append(line.strip())
            if line.startswith("press Ctrl-C"):
                break
        address = next(line.removeprefix("open ") for line in said if line.startswith("open "))
        assert address.startswith("http://127.0.0.1:")
        assert "add --lan" in "\n".join(said)
        with urllib.request.urlopen(f"{address}demo.json", timeout=20) as answer:
            assert json.load(answer)["manifest"]["name"] == "toy"
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert json.loads(output)["address"] == address


def test_a_code_is_what_another_reader_of_codes_would_expect() -> None:
    rows = qr_code("http://192.168.1.20:8000/").split("\n")
    assert {len(row) for row in rows} == {29}, "version 2 with its quiet zone of two modules"
    assert set("".join(rows)) == set("█▀▄ ")
    light = np.array([[[letter in "█▀", letter in "█▄"] for letter in row] for row in rows]).transpose(0, 2, 1)
    dark = ~light.reshape(-1, 29)[:29][2:-2, 2:-2]
    finder = np.ones((7, 7), bool)
    finder[1:-1, 1:-1] = False
    finder[2:-2, 2:-2] = True
    for corner in (dark[:7, :7], dark[:7, -7:], dark[-7:, :7]):
        np.testing.assert_array_equal(corner, finder)
    assert dark[6, 8:17].tolist() == [True, False] * 4 + [True]


def test_a_run_that_is_started_anew_loses_its_demo(built: Path, run: Path) -> None:
    folder = Path(demo(run, serve=False).folder)
    open_run(run.parent.parent, run.parent.name, run.name, settings={}, exist_ok=True)
    assert not folder.exists()


def calibration_nets(folder: Path, suffix: str = ".onnx") -> Path:
    """Write two nets with their list, as `latency calibrate --emit` does."""
    nets = []
    for name in ("first", "second"):
        file = deliver(folder / f"{name}{suffix}", replace(WORDS, name=name))
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        nets.append({"name": name, "file": file.name, "sha256": digest, "resolution": 32, "precision": "float"})
    listed = {"format": "pocketvision-calibration", "version": 1, "nets": nets}
    (folder / "calibration.json").write_text(json.dumps(listed), encoding="utf-8")
    return folder


def test_calibration_nets_get_a_page_that_times_them(built: Path, tmp_path: Path) -> None:
    nets = calibration_nets(tmp_path / "nets")
    written = demo(nets, output=tmp_path / "out", serve=False)
    assert written.files == ("first.onnx", "second.onnx")
    assert names(tmp_path / "out") - copies(tmp_path / "out") == {
        "index.html",
        "sw.js",
        "icon.svg",
        "assets/index-1.js",
        "runtime/onnxruntime/o.wasm",
        ".pocketvision",
        "calibration.json",
        "nets/first.onnx",
        "nets/second.onnx",
    }
    assert (tmp_path / "out" / "index.html").read_text(encoding="utf-8") == "calibrate.html;\n"
    assert (tmp_path / "out" / "nets" / "first.onnx").read_bytes() == (nets / "first.onnx").read_bytes()
    shell = json.loads(re.search(r"const SHELL = (.*);", (tmp_path / "out" / "sw.js").read_text())[1])
    assert not [name for name in shell if name.startswith("nets/")], "nets are not kept on the device"


def test_one_folder_may_hold_the_one_page_after_the_other(built: Path, run: Path, tmp_path: Path) -> None:
    nets, target = calibration_nets(tmp_path / "nets"), tmp_path / "out"
    demo(run, output=target, serve=False)
    demo(nets, output=target, serve=False)
    assert not {"demo.json", "model.onnx"} & names(target)
    demo(run, output=target, serve=False)
    assert not {"calibration.json", "nets/first.onnx"} & names(target)
    assert (target / "index.html").read_text(encoding="utf-8") == "index.html;\n"


def test_nets_that_no_browser_runs_are_told(built: Path, tmp_path: Path) -> None:
    nets = calibration_nets(tmp_path / "nets")
    text = (nets / "calibration.json").read_text(encoding="utf-8").replace("first.onnx", "first.pte")
    (nets / "calibration.json").write_text(text, encoding="utf-8")
    (nets / "first.onnx").rename(nets / "first.pte")
    with pytest.raises(UsageError, match=r"browsers run no \.pte files"):
        demo(nets, output=tmp_path / "out", serve=False)
