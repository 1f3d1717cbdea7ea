"""Times that the demo's page measured on a phone and saved as a file: read, checked, and as a `Latency`."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from pocketvision.errors import DataError
from pocketvision.files import read_json
from pocketvision.values import Latency

FORMAT, VERSION = "pocketvision measurement", 1
LARGEST_FILE = 100_000  # bytes; a page writes some 800


@dataclass(frozen=True)
class Measurement:
    """One saved measurement; the names are those in the file, which `web/src/measure.ts` writes."""

    format: str
    format_version: int
    created: str  # UTC, ISO 8601
    device: str
    """What its owner calls the device; may be empty."""
    user_agent: str
    cores: int
    runtime: str
    threads: int
    file: str
    file_sha256: str
    net: str
    width: float
    resolution: int
    precision: str
    median_ms: float
    p90_ms: float
    runs: int
    reference_ms: float | None
    """None where the page could not load the reference net; `read_measurement` refuses such a one."""
    probe_gap: float | None
    """Largest difference of a probability from those stored in the file's probes; None where it holds none."""

    @property
    def latency(self) -> Latency:
        """The time as any other."""
        assert self.reference_ms is not None
        machine = self.device or self.user_agent
        return Latency(
            self.median_ms, self.p90_ms, self.runs, self.threads, self.runtime, machine, reference_ms=self.reference_ms
        )


def read_measurement(path: Path) -> Measurement:
    """Read a saved measurement; raises DataError that names the file where it is none or makes no sense."""
    if not path.is_file():
        raise DataError(f"there is no file {path}; save one on the page that `pocketvision demo` writes")
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"it has over {LARGEST_FILE:,} bytes")
        found = read_json(Measurement, path)
        fault = _fault(found)
    except (ValueError, TypeError, AttributeError, RecursionError, json.JSONDecodeError) as error:
        raise DataError(f"{path} is no measurement of the demo's page ({error}); measure and save again") from error
    if fault:
        raise DataError(f"{path} cannot be used: {fault}")
    return found


def _fault(found: Measurement) -> str:
    """Say what is wrong with a measurement, or nothing."""
    if (found.format, found.format_version) != (FORMAT, VERSION):
        raise ValueError(f"it says {found.format!r}, version {found.format_version!r}")
    if found.reference_ms is None:
        return "it lacks the reference net, which the page could not load; measure again with a network"
    positive = ("median_ms", "p90_ms", "reference_ms", "runs", "threads", "resolution")
    wrong = [name for name in positive if not (math.isfinite(getattr(found, name)) and getattr(found, name) > 0)]
    if wrong:
        return f"{', '.join(wrong)} is not above 0"
    return "its p90 is below its median" if found.p90_ms < found.median_ms else ""
