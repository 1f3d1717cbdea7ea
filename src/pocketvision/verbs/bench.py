"""The verb `bench`: how long files take on this machine, and what phones measured of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketvision.errors import DataError, UsageError
from pocketvision.latency.measurements import read_measurement
from pocketvision.progress import track
from pocketvision.runtime import digest, size_bytes
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import BenchOptions
from pocketvision.values import Latency
from pocketvision.verify.timing import time_files


@dataclass(frozen=True)
class BenchResult:
    """Size and time of one file, on one machine."""

    file: str
    """Path of the file."""
    size_bytes: int
    """Of the file."""
    latency: Latency
    """Time of one image."""


@verb(BenchOptions)
def bench(options: BenchOptions) -> list[BenchResult]:
    """Time files for one image at a time, each in turns with the same reference net.

    The ratio to the reference compares machines and moments; the milliseconds are this machine's. `measured` are
    measurements of these files that the demo's page saved on other devices; their results follow.
    Raises DataError for a missing file or a measurement of another one, UsageError for none or for fewer than one
    thread.
    """
    if not options.files:
        raise UsageError("give at least one file")
    paths = [Path(file) for file in ([options.files] if isinstance(options.files, str | Path) else options.files)]
    for path in paths:
        if not path.exists():
            raise DataError(f"there is no file {path}; give the path of an exported model")
    elsewhere = _measured([Path(path) for path in options.measured or ()], paths)
    latencies = track(time_files(paths, threads=options.threads), options.progress, "timing", len(paths))
    here = [_result(path, latency) for path, latency in zip(paths, latencies, strict=True)]
    return here + elsewhere


def _measured(measurements: Sequence[Path], paths: Sequence[Path]) -> list[BenchResult]:
    """Return what was measured elsewhere, each beside the file that it was measured on."""
    digests = {digest(path): path for path in paths} if measurements else {}
    results = []
    for measurement in measurements:
        found = read_measurement(measurement)
        if found.file_sha256 not in digests:
            raise DataError(
                f"{measurement} was measured on another file ({found.net} at {found.resolution} px, SHA-256 "
                f"{found.file_sha256[:16]}); name that file too"
            )
        results.append(_result(digests[found.file_sha256], found.latency))
    return results


def _result(path: Path, latency: Latency) -> BenchResult:
    return BenchResult(path.as_posix(), size_bytes(path), latency)
