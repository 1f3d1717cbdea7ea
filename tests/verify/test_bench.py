"""`bench`: every file gets its size and its time."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pocketvision.cli.app import run
from pocketvision.errors import DataError, UsageError
from pocketvision.verbs.bench import bench


def test_files_are_weighed_and_timed(toy: Any, tmp_path: Path) -> None:
    other = toy.deliver(tmp_path)
    results = bench([toy.file, str(other)])
    assert [result.file for result in results] == [toy.file.as_posix(), other.as_posix()]
    for result in results:
        assert result.size_bytes == Path(result.file).stat().st_size
        assert 0 < result.latency.median_ms <= result.latency.p90_ms
        assert result.latency.reference_ms > 0
        assert result.latency.threads == 1
        assert result.latency.ratio < 1, "three multiplications are faster than a real net"


def test_wrong_requests(toy: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        bench([])
    with pytest.raises(UsageError):
        bench([toy.file], threads=0)
    with pytest.raises(DataError, match="there is no file"):
        bench([toy.file, tmp_path / "absent.onnx"])


def saved(path: Path, sha256: str) -> Path:
    """Write what the demo's page saves."""
    found: dict[str, Any] = {
        "format": "pocketvision measurement",
        "format_version": 1,
        "created": "",
        "device": "Phone",
    }
    found |= {"user_agent": "", "cores": 8, "runtime": "LiteRT.js 2.5.3", "threads": 4, "file": "model.onnx"}
    found |= {"file_sha256": sha256, "net": "toy", "width": 1.0, "resolution": 16, "precision": "float"}
    found |= {"median_ms": 2.0, "p90_ms": 3.0, "runs": 100, "reference_ms": 4.0, "probe_gap": None}
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def test_what_a_phone_measured_stands_beside(toy: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = hashlib.sha256(toy.file.read_bytes()).hexdigest()
    measured = saved(tmp_path / "phone.json", digest)
    here, there = bench([toy.file], measured=[measured])
    assert (there.file, there.size_bytes) == (here.file, here.size_bytes)
    assert (there.latency.machine, there.latency.median_ms, there.latency.ratio) == ("Phone", 2.0, 0.5)
    assert run(["bench", str(toy.file), "--measured", str(measured)]) == 0
    assert "Phone   LiteRT.js 2.5.3, 4 thread(s)" in capsys.readouterr().out


def test_a_measurement_of_another_file_is_told(toy: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"phone\.json was measured on another file \(toy at 16 px"):
        bench([toy.file], measured=[saved(tmp_path / "phone.json", "0" * 64)])
