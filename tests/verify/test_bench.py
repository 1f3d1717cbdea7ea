"""`bench`: every file gets its size and its time."""

from pathlib import Path
from typing import Any

import pytest

from pocketvision.errors import DataError, UsageError
from pocketvision.verify.bench import bench


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
