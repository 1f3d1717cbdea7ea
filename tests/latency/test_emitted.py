"""Calibration nets carried to another device, and the profile made of what is measured there."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pocketvision.errors import DataError, UsageError
from pocketvision.files import write_json
from pocketvision.latency.emitted import LISTING, Emitted, read_emitted
from pocketvision.latency.profile import read_profile
from pocketvision.verbs.latency import calibrate, fit, predict


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("carried") / "nets"
    calibrate(emit=path, nets=6, runtime="litert", precision="int8", seed=9)
    return path


def test_the_list_names_files_that_are_there(folder: Path) -> None:
    listing = json.loads((folder / LISTING).read_text(encoding="utf-8"))
    assert sorted(net["file"] for net in listing["nets"]) == sorted(file.name for file in folder.glob("*.tflite"))
    assert len(listing["nets"]) == 6
    assert "latency fit" in listing["what_to_do"]


def test_nothing_is_emitted_into_a_folder_with_files(folder: Path) -> None:
    with pytest.raises(UsageError, match="is not empty"):
        calibrate(emit=folder, nets=6)


def test_times_from_a_device_make_its_profile(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no times yet"):
        read_emitted(folder / LISTING)
    listing = json.loads((folder / LISTING).read_text(encoding="utf-8"))
    here = [predict_ms(net["spec"]) for net in listing["nets"]]
    for net, time in zip(listing["nets"], here, strict=True):
        net["median_ms"] = 4 * time
    (tmp_path / LISTING).write_text(json.dumps(listing | {"device": "Pixel 7"}), encoding="utf-8")
    made = fit(tmp_path / LISTING)
    assert (made.machine, made.nets, made.precision) == ("Pixel 7", 6, "int8")
    profile = read_profile(Path(made.path))
    answer = predict(["mobilenet_v2"], resolution=96, profile=made.path)[0]
    assert answer.machine == "Pixel 7"
    assert answer.low_ms < answer.median_ms < answer.high_ms
    assert profile.note


def predict_ms(spec: dict[str, object]) -> float:
    from pocketvision.cost.graphs import graph_at
    from pocketvision.latency.profile import shipped
    from pocketvision.values import ModelSpec, from_json

    profile = shipped(runtime="litert", precision="int8")
    return float(profile.predict([graph_at(from_json(ModelSpec, spec))]).median_ms[0])


@pytest.mark.parametrize(("time", "told"), [(-1.0, "not above 0"), ("fast", "no list of nets to be timed")])
def test_times_that_make_no_sense_are_told(folder: Path, tmp_path: Path, time: object, told: str) -> None:
    listing = json.loads((folder / LISTING).read_text(encoding="utf-8"))
    listing["nets"][0]["median_ms"] = time
    (tmp_path / LISTING).write_text(json.dumps(listing), encoding="utf-8")
    with pytest.raises(DataError, match=told):
        read_emitted(tmp_path / LISTING)


def test_a_list_can_be_written_again(folder: Path, tmp_path: Path) -> None:
    listing = json.loads((folder / LISTING).read_text(encoding="utf-8"))
    listing["nets"][2]["median_ms"] = 3.0
    (tmp_path / LISTING).write_text(json.dumps(listing), encoding="utf-8")
    found = read_emitted(tmp_path / LISTING)
    assert isinstance(found, Emitted)
    write_json(tmp_path / "again.json", replace(found, device="x"))
    assert read_emitted(tmp_path / "again.json").device == "x"
