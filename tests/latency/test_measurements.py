"""Measurements saved by the demo's page: read into a latency, and told where they make no sense."""

import json
from pathlib import Path
from typing import Any

import pytest

from pocketvision.errors import DataError
from pocketvision.latency.measurements import read_measurement

SAVED = {
    "format": "pocketvision measurement",
    "format_version": 1,
    "created": "2026-11-21T10:53:04.989Z",
    "device": "Pixel 8",
    "user_agent": "Mozilla/5.0 (Linux; Android 16)",
    "cores": 9,
    "runtime": "LiteRT.js 2.5.3",
    "threads": 4,
    "file": "model.tflite",
    "file_sha256": "54587e626da4dd856e0cfa7bef2e1ae1466951fd43bcd35a74f41927a79322c6",
    "net": "mobilenet_v1",
    "width": 0.25,
    "resolution": 128,
    "precision": "int8",
    "median_ms": 2.5,
    "p90_ms": 3,
    "runs": 280,
    "reference_ms": 5.0,
    "probe_gap": 0.0001,
}


def saved(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "measurement.json"
    path.write_text(json.dumps(SAVED | changes), encoding="utf-8")
    return path


def test_it_is_read_as_any_other_latency(tmp_path: Path) -> None:
    latency = read_measurement(saved(tmp_path)).latency
    assert (latency.median_ms, latency.p90_ms, latency.runs, latency.threads) == (2.5, 3, 280, 4)
    assert (latency.runtime, latency.machine, latency.ratio) == ("LiteRT.js 2.5.3", "Pixel 8", 0.5)
    unnamed = read_measurement(saved(tmp_path, device="", probe_gap=None)).latency
    assert unnamed.machine == "Mozilla/5.0 (Linux; Android 16)"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": "something else"}, "is no measurement"),
        ({"format_version": 2}, "version 2"),
        ({"color": 1}, "is no measurement"),
        ({"reference_ms": None}, "measure again with a network"),
        ({"median_ms": "2.5"}, "median_ms is '2.5', no float"),
        ({"runs": True}, "runs is True, no int"),
        ({"median_ms": 0}, "median_ms is not above 0"),
        ({"p90_ms": float("nan")}, "p90_ms is not above 0"),
        ({"reference_ms": float("inf")}, "reference_ms is not above 0"),
        ({"median_ms": 4.0}, "p90 is below its median"),
    ],
)
def test_what_makes_no_sense_is_told(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=rf"measurement\.json .*{reason}"):
        read_measurement(saved(tmp_path, **changes))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "\x00", "[" * 5000, "{" + " " * 100_001])
def test_other_files_are_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"notes\.json is no measurement of the demo's page"):
        read_measurement(path)
    with pytest.raises(DataError, match="there is no file"):
        read_measurement(tmp_path / "absent.json")
