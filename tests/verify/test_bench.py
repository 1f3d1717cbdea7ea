"""`bench`: every file gets its size and its time."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pocketvision.cli.app import run
from pocketvision.errors import DataError, UnknownName, UsageError
from pocketvision.export.fresh import untrained, write_timed
from pocketvision.values import ModelSpec
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


def test_opening_and_memory_are_measured_in_a_process_of_its_own(toy: Any) -> None:
    (result,) = bench([toy.file])
    assert result.loading is not None
    assert result.loading.load_ms > 0
    assert result.loading.peak_bytes > 2**20, "the runtime itself takes some megabytes"
    assert (result.batch, result.together) == (1, True)


def test_threads_and_batches_are_each_timed(toy: Any) -> None:
    results = bench([toy.file], threads=[1, 2], batch=[1, 8])
    assert [(result.latency.threads, result.batch) for result in results] == [(1, 1), (1, 8), (2, 1), (2, 8)]
    assert all(result.together for result in results)
    alone, among = results[:2]
    assert among.latency.median_ms < alone.latency.median_ms, "the time is of one image, and a call's own is shared"
    with pytest.raises(UsageError, match="--batch takes"):
        bench([toy.file], batch=[1, 0])


def test_nets_by_name_are_written_for_each_runtime(capsys: pytest.CaptureFixture[str]) -> None:
    order = ["bench", "mobilenetv1_025", "--resolution", "64", "--precision", "int8", "--json"]
    assert run([*order, "--runtime", "onnx", "--runtime", "litert", "--batch", "2"]) == 0
    onnx, litert = json.loads(capsys.readouterr().out)
    assert onnx["file"] == litert["file"] == "mobilenet_v1 0.25 @ 64px, int8"
    assert onnx["latency"]["runtime"].startswith("onnxruntime ")
    assert litert["latency"]["runtime"].startswith("LiteRT ")
    assert (onnx["together"], litert["together"]) == (True, False)
    assert 300_000 < onnx["size_bytes"] < 700_000, "half a million weights of 8 bits"
    assert 0 < onnx["latency"]["quiet"] <= 1
    assert onnx["latency"]["margin"] >= 0


def test_a_file_is_timed_in_other_runtimes_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = ModelSpec("mobilenet_v1", 0.25, 32, 10)
    file = write_timed(untrained(spec, "float"), "onnx", tmp_path)
    assert run(["bench", str(file), "--runtime", "litert", "--runtime", "onnx", "--batch", "2"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in told[1:3]] == ["onnxruntime", "LiteRT"]
    assert f"{file} in LiteRT takes one image a call: the images of a batch were given one after the other" in told
    other = tmp_path / "model.pte"
    other.write_bytes(b"a file that is not read back")
    with pytest.raises(UsageError, match="are not read back"):
        bench([other], runtime="onnx")


def test_unknown_words_are_told_with_those_that_are_known(toy: Any) -> None:
    with pytest.raises(
        UnknownName, match=r"unknown runtime 'tensorrt'.*Known: all, executorch, litert, onnx, openvino"
    ):
        bench([toy.file], runtime="tensorrt")
    with pytest.raises(UnknownName, match="unknown model 'mobilenet_v7'"):
        bench(["mobilenet_v7"])
    with pytest.raises(UnknownName, match="unknown precision"):
        bench(["mobilenet_v2"], precision="int4")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="pixels"):
        bench(["mobilenet_v2"], resolution=8)


def test_a_named_detector_is_timed() -> None:
    (found,) = bench("mobilenet_v2_ssdlite", width=0.35, resolution=128)
    assert found.latency.median_ms > 0
    assert "ssdlite" in found.file
