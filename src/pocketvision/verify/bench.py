"""The verb `bench`: how long files take on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketvision.errors import DataError, UsageError
from pocketvision.progress import Progress, Silent, track
from pocketvision.runtime import size_bytes
from pocketvision.values import Latency
from pocketvision.verify.timing import time_files


@dataclass(frozen=True)
class BenchResult:
    """Size and time of one file."""

    file: str
    size_bytes: int
    latency: Latency


def bench(files: Sequence[str | Path], *, threads: int = 1, progress: Progress = Silent()) -> list[BenchResult]:
    """Time files for one picture at a time, each in turns with the same reference net.

    The ratio to the reference compares machines and moments; the milliseconds are this machine's.
    Raises DataError for a missing file, UsageError for none or for fewer than one thread.
    """
    if not files or threads < 1:
        raise UsageError("give at least one file and one thread")
    paths = [Path(file) for file in files]
    for path in paths:
        if not path.exists():
            raise DataError(f"there is no file {path}; give the path of an exported model")
    latencies = track(time_files(paths, threads=threads), progress, "timing", len(paths))
    return [
        BenchResult(path.as_posix(), size_bytes(path), latency) for path, latency in zip(paths, latencies, strict=True)
    ]
