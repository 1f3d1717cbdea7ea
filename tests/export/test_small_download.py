"""`compress --to` and `--max-drop` write a file that is small to send."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pocketvision
from pocketvision.cli.app import run as command
from pocketvision.compress.search import STRENGTHS
from pocketvision.errors import BudgetMissed, MissingExtra, UnknownName, UsageError
from pocketvision.export.manifest import stand_in_probes, thumbnails
from pocketvision.packing import installed
from pocketvision.runtime import download_bytes
from pocketvision.runtime import open as open_model
from pocketvision.values import TaskSpec, to_line

TINY = {"model": "mobilenet_v1", "width": 0.125, "resolution": 32, "epochs": 2, "device": "cpu", "weights": "none"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("runs")
    pocketvision.train("digits", **TINY, output=folder, name="tiny")
    return folder / "train" / "tiny"


def test_a_file_within_a_download_is_written(trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        command(["compress", str(trained), "--to", "40KB", "--recover", "off", "--output", str(tmp_path), "--json"])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    file = tmp_path / "small.onnx"
    assert found["file"] == file.as_posix()
    assert 30_000 < found["download_bytes"] == download_bytes(file) <= 40_000
    assert (found["compressor"], found["strength"] in STRENGTHS) == ("deflate", True)
    last = found["stages"][-1]
    assert last["steps"] == "equalize, ranges, int8, rate, bias"
    assert last["packed_bytes"] < 0.6 * found["stages"][-2]["packed_bytes"]
    sizes = [trial["download_bytes"] for trial in found["trials"]]
    assert sizes == sorted(sizes, reverse=True)
    assert found["trials"][0]["strength"] is None
    (taken,) = [trial for trial in found["trials"] if trial["taken"]]
    assert taken["strength"] == found["strength"]
    assert taken["download_bytes"] == pytest.approx(found["download_bytes"], rel=0.05), "probes stand in"
    assert taken["accuracy"] == pytest.approx(last["validation"]["value"], abs=0.01), "the reference rounds by itself"
    runner = open_model(file)
    assert runner.run(np.zeros((2, 32, 32, 3), np.uint8)).shape == (2, 10)
    assert runner.manifest.precision == "int8"


def test_the_smallest_within_a_loss_keeps_it(trained: Any, tmp_path: Path) -> None:
    found = pocketvision.compress(trained, max_drop=1, recover="off", output=tmp_path, name="light", format="litert")
    assert found.file == (tmp_path / "light.tflite").as_posix()
    plain, last = found.stages[0], found.stages[-1]
    assert 100 * (plain.validation.value - last.validation.value) <= 1
    assert last.packed_bytes < 0.7 * found.stages[1].packed_bytes


def test_what_cannot_be_is_told(trained: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give one"):
        pocketvision.compress(trained, to="90KB", max_drop=1)
    with pytest.raises(BudgetMissed, match="take a smaller net"):
        pocketvision.compress(trained, to="2KB", output=tmp_path)
    with pytest.raises(UnknownName, match="compressor"):
        pocketvision.compress(trained, to="90KB:gzip", output=tmp_path)
    with pytest.raises(UsageError, match="--to takes"):
        pocketvision.compress(trained, to="much", output=tmp_path)
    with pytest.raises(UsageError, match="--recover takes auto, off, or a time"):
        pocketvision.compress(trained, to="90KB", recover="long")
    assert not any(tmp_path.iterdir())


def test_another_compressor_is_asked_or_its_package_named(trained: Any, tmp_path: Path) -> None:
    if "brotli" not in installed():
        with pytest.raises(MissingExtra, match="brotli"):
            pocketvision.compress(trained, to="30KB:brotli", recover="off", output=tmp_path)
        return
    found = pocketvision.compress(trained, to="30KB:brotli", recover="off", output=tmp_path)
    assert found.compressor == "brotli"
    assert found.download_bytes == download_bytes(Path(found.file), "brotli") <= 30_000


def test_a_net_that_lost_answers_learns_as_long_as_it_may(trained: Any, tmp_path: Path) -> None:
    plain, learned = (
        pocketvision.compress(trained, to="29KB", recover=how, output=tmp_path, name=how) for how in ("off", "2s")
    )
    assert plain.stages[-1].steps == "equalize, ranges, int8, rate, bias"
    assert learned.stages[-1].steps == "equalize, ranges, int8, rate, bias, recover"
    assert learned.stages[-1].validation.value >= plain.stages[-1].validation.value
    assert learned.download_bytes == download_bytes(tmp_path / "2s.onnx") <= 29_000
    small = pocketvision.compress(trained, max_drop=2, recover="1s", output=tmp_path, name="drop")
    assert small.stages[-1].validation.value >= small.stages[0].validation.value - 0.02


def test_probes_take_little_of_a_download() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    for text in thumbnails(images):
        content = base64.b64decode(text)
        pixels = np.asarray(Image.open(io.BytesIO(content)))
        assert pixels.shape == (16, 16, 3)
        assert len(np.unique(pixels)) <= 16
        assert len(content) < 0.6 * pixels.size + 100
    (probe, *_) = stand_in_probes(TaskSpec("classify", tuple(f"class {number}" for number in range(500))))
    assert len(probe.probabilities) == 500
    assert len(to_line(probe)) < 5000
