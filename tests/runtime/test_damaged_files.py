"""Files cut short, changed in a few bytes, or of another kind: refused with the reason, and never a crash.

Each batch of damaged files is opened in a process of its own, so that a crash of a runtime fails the test and not the
tests after it.
"""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pocketvision.export import litert, onnx
from pocketvision.graph.sketch import Sketch
from pocketvision.runtime import open as open_model
from pocketvision.runtime.onnx import sealed
from pocketvision.values import ImageSpec, Manifest, ModelSpec, to_json

WORDS = Manifest(
    format_version=1,
    name="toy",
    task="classification",
    labels=("a", "b", "c", "d"),
    image=ImageSpec(16),
    model=ModelSpec("mobilenet_v1", 0.25, 16, 4),
    precision="float",
    data_digest="",
    splits={},
    figures={},
    probes=(),
    versions={},
    created="2026-11-20T00:00:00Z",
)
WRITERS = {".onnx": onnx.write, ".tflite": litert.write}
OPENS = """
import json, sys, pathlib, numpy
from pocketvision.errors import PocketvisionError
from pocketvision.runtime import open as open_model
told = {}
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        runner = open_model(path)
        runner.run(numpy.zeros((1, *runner.input_shape), numpy.uint8))
        told[path.name] = ""
    except PocketvisionError as error:
        told[path.name] = f"{type(error).__name__}: {error}"
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    sketch = Sketch(16)
    graph = sketch.finish(sketch.linear(sketch.mean(sketch.depthwise(sketch.conv("image", 4, kernel=3))), 4))
    folder = tmp_path_factory.mktemp("whole")
    for suffix, write in WRITERS.items():
        write(graph, WORDS, folder / f"model{suffix}")
        open_model(folder / f"model{suffix}")
    return {suffix: (folder / f"model{suffix}").read_bytes() for suffix in WRITERS}


def opened(folder: Path) -> dict[str, str]:
    """Open every file of a folder in a new process; return what was said of each, "" of one that opened."""
    order = [sys.executable, "-c", OPENS, str(folder)]
    done = subprocess.run(order, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr[-2000:]}"
    told: dict[str, str] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


@pytest.mark.parametrize("suffix", WRITERS)
def test_files_cut_short(suffix, whole, tmp_path):
    content = whole[suffix]
    for share in range(0, 100, 4):
        (tmp_path / f"{share:02}{suffix}").write_bytes(content[: len(content) * share // 100])
    (tmp_path / f"99{suffix}").write_bytes(content[:-1])
    told = opened(tmp_path)
    assert len(told) == 26
    assert all(text.startswith("WeightsError: ") for text in told.values()), told


def flipped(content: bytes, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    damaged = bytearray(content)
    for place in rng.integers(0, len(damaged), int(rng.integers(1, 8))):
        damaged[place] ^= int(rng.integers(1, 256))
    return bytes(damaged)


@pytest.mark.parametrize("suffix", WRITERS)
def test_files_with_changed_bytes(suffix, whole, tmp_path):
    for seed in range(150):
        (tmp_path / f"{seed:03}{suffix}").write_bytes(flipped(whole[suffix], seed))
    told = opened(tmp_path)
    assert len(told) == 150
    refused = [text for text in told.values() if text]
    assert all(text.startswith("WeightsError: ") for text in refused)
    assert len(refused) >= 145


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_changed_bit_is_told(suffix, whole, tmp_path):
    content = bytearray(whole[suffix])
    content[200] ^= 1
    (tmp_path / f"a{suffix}").write_bytes(content)
    assert "was changed after it was written" in opened(tmp_path)[f"a{suffix}"]


def test_an_onnx_file_saved_by_other_tools_is_told(whole, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(whole[".onnx"])
    onnx.checker.check_model(model)
    assert {entry.key for entry in model.metadata_props} == {"labels", "pocketvision", "sha256"}
    model.graph.initializer[0].raw_data = bytes(len(model.graph.initializer[0].raw_data))
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    assert "was changed after it was written" in opened(tmp_path)["a.onnx"]


def test_an_onnx_file_from_before_digests_opens(whole, tmp_path):
    (tmp_path / "a.onnx").write_bytes(whole[".onnx"][: -(12 + 64)])
    assert opened(tmp_path)["a.onnx"] == ""


@pytest.mark.parametrize("suffix", WRITERS)
def test_files_of_another_kind(suffix, whole, tmp_path):
    other = next(content for kind, content in whole.items() if kind != suffix)
    for name, content in {
        "empty": b"",
        "text": b"not a model\n" * 99,
        "other": other,
        "zip": b"PK\5\6" + bytes(18),
    }.items():
        (tmp_path / f"{name}{suffix}").write_bytes(content)
    told = opened(tmp_path)
    assert len(told) == 4
    assert all(text.startswith("WeightsError: ") for text in told.values()), told


def test_the_runtimes_greeting_is_kept_off_stderr_and_nothing_else(whole, tmp_path):
    (tmp_path / "a.tflite").write_bytes(whole[".tflite"])
    speaks = "import os\nfrom pocketvision.runtime import litert\nwhole = litert._litert\nclass Loud:\n"
    speaks += "    def Interpreter(self, **settings):\n        os.write(2, b'WARNING: of something\\n')\n"
    speaks += "        return whole().Interpreter(**settings)\nlitert._litert = Loud\n"
    for before, said in (("", ""), (speaks, "WARNING: of something\n")):
        code = f"{before}\nfrom pocketvision.runtime.litert import open_file\nimport pathlib, sys\n"
        order = [sys.executable, "-c", code + "open_file(pathlib.Path(sys.argv[1]))", str(tmp_path / "a.tflite")]
        done = subprocess.run(order, capture_output=True, text=True, check=False, timeout=300)
        assert (done.returncode, done.stderr) == (0, said)


MANGLES = (
    *(None, True, -1, 7, 1e309, "", "x", [], {}, [[]], [None], {"a": {}}),
    *("\x00" * 9, "int4", [1, 2, 3], {"resolution": "a"}, [{"png_base64": 3, "probabilities": 1}]),
)


def mangled(seed: int) -> object:
    """Return the manifest's JSON with one to three values, at any depth, replaced, taken away or added."""
    rng = np.random.default_rng(seed)
    words = to_json(WORDS)
    for _ in range(int(rng.integers(1, 4))):
        place = words
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = keys[int(rng.integers(len(keys)))]
            if isinstance(place[key], dict | list) and len(place[key]) and rng.random() < 0.5:
                place = place[key]
                continue
            change = int(rng.integers(8))
            if change == 0 and isinstance(place, dict):
                del place[key]
            elif change == 1 and isinstance(place, dict):
                place["color"] = 1
            else:
                place[key] = MANGLES[int(rng.integers(len(MANGLES)))]
            break
        if not words:
            break
    return words


def with_words(content: bytes, suffix: str, text: str) -> bytes:
    if suffix == ".tflite":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            start = min(entry.header_offset for entry in archive.infolist())
            kept = {name: archive.read(name) for name in archive.namelist()}
        stream = io.BytesIO(content[:start])
        with zipfile.ZipFile(stream, "a") as archive:
            for name, held in (kept | {"manifest.json": text.encode()}).items():
                archive.writestr(name, held)
        return stream.getvalue()
    onnx_package = pytest.importorskip("onnx")
    model = onnx_package.load_model_from_string(content)
    next(entry for entry in model.metadata_props if entry.key == "pocketvision").value = text
    del model.metadata_props[-1]
    return sealed(model.SerializeToString())


@pytest.mark.parametrize("suffix", WRITERS)
def test_manifests_of_other_shapes_are_refused_or_harmless(suffix, whole, tmp_path):
    for seed in range(120):
        content = with_words(whole[suffix], suffix, json.dumps(mangled(seed)))
        (tmp_path / f"{seed:03}{suffix}").write_bytes(content)
    told = opened(tmp_path)
    assert len(told) == 120
    refused = [text for text in told.values() if text]
    assert all(text.startswith("WeightsError: ") for text in refused), told
    assert len(refused) > 60
