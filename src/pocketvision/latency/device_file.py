"""What is carried to another device and back: the folder of calibration nets, and the times that they took there."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pocketvision.errors import DataError
from pocketvision.files import read_json

CALIBRATION = "calibration.json"
NETS_FORMAT, DEVICE_FORMAT, VERSION = "pocketvision-calibration", "pocketvision-device", 1
LARGEST_FILE = 10_000_000  # bytes; a thousand nets take some 200,000
LONGEST_NAME = 80

R = TypeVar("R")


@dataclass(frozen=True)
class CalibrationNet:
    """One net to be timed."""

    name: str
    """What it is, for people."""
    file: str
    """Beside the list."""
    sha256: str
    """Of the file."""
    resolution: int
    precision: str
    """`float` or `int8`."""


@dataclass(frozen=True)
class Calibration:
    """What `calibration.json` holds."""

    format: str
    version: int
    nets: tuple[CalibrationNet, ...]


@dataclass(frozen=True)
class NetTime:
    """Time of one image through one calibration net."""

    sha256: str
    """Of the net's file."""
    median_ms: float
    p90_ms: float | None
    """None where the program that timed it tells another share."""
    runs: int


@dataclass(frozen=True)
class DeviceFile:
    """What a device measured of the calibration nets, as the page saves it."""

    format: str
    version: int
    device: str
    """What its owner calls it."""
    runtime: str
    threads: int
    results: tuple[NetTime, ...]


def read_calibration(folder: Path) -> Calibration:
    """Read the list of calibration nets in a folder; raises DataError where it is none or its files are not there."""
    path = folder / CALIBRATION
    found = _read(Calibration, path, "no list of calibration nets", "write it again with `latency calibrate --emit`")
    _require_format(path, (found.format, found.version), NETS_FORMAT)
    for net in found.nets:
        # Names from elsewhere lead nowhere else.
        if Path(net.file).name != net.file or net.file.startswith("."):
            raise DataError(f"{path} names the file '{net.file}', and files are taken from beside the list only")
        if not (folder / net.file).is_file():
            raise DataError(f"{path} names the file {net.file}, and it is not there; write the folder again")
    if not found.nets:
        raise DataError(f"{path} names no nets; write the folder again")
    return found


def read_device(path: Path, calibration: Calibration) -> DeviceFile:
    """Read the times of calibration nets: a file of the page, or what LiteRT's `benchmark_model` printed.

    Raises DataError where it is neither, makes no sense, or is of other nets.
    """
    found = _from_program(path, calibration) if _is_text(path) else _from_page(path)
    if fault := _fault(found, {net.sha256 for net in calibration.nets}):
        raise DataError(f"{path} cannot be used: {fault}")
    return found


def _from_page(path: Path) -> DeviceFile:
    found = _read(DeviceFile, path, "no file of a device", "measure the calibration nets again and save it again")
    _require_format(path, (found.format, found.version), DEVICE_FORMAT)
    return found


def _read(kind: type[R], path: Path, what: str, advice: str) -> R:
    if not path.is_file():
        raise DataError(f"there is no file {path}; {advice}")
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"it has over {LARGEST_FILE:,} bytes")
        return read_json(kind, path)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is {what} ({error}); {advice}") from error


def _require_format(path: Path, found: tuple[str, int], format_name: str) -> None:
    if found != (format_name, VERSION):
        raise DataError(f"{path} says {found[0]!r}, version {found[1]!r}, and not {format_name!r}, version {VERSION}")


def _fault(found: DeviceFile, known: set[str]) -> str:
    """Say what is wrong with what a device measured, or nothing."""
    digests = [result.sha256 for result in found.results]
    if not digests:
        return "it holds no times"
    if strange := [digest for digest in digests if digest not in known]:
        return f"{len(strange)} of {len(digests)} nets are not among the calibration nets; measure these again"
    if len(set(digests)) < len(digests):
        return "it holds a net twice"
    if found.threads < 1 or not found.device.strip() or not found.runtime.strip():
        return "it names no device, no runtime or no threads"
    for result in found.results:
        times = [result.median_ms, *([result.p90_ms] if result.p90_ms is not None else [])]
        if not all(math.isfinite(time) and time > 0 for time in times) or times != sorted(times) or result.runs < 1:
            return f"the times of {result.sha256[:16]} make no sense"
    return ""


# ---------------------------------------------------------------- benchmark_model

_LINE = re.compile(r"\b(?P<name>count|p5|median|p95|avg|std|first|curr|min|max)=(?P<value>[0-9.e+]+)")
_GRAPH = re.compile(r"\bGraph: \[(?P<path>[^\]]+)\]|\bLoaded model (?P<other>\S+)")
_THREADS = re.compile(r"#threads used for CPU inference: \[(\d+)\]|\bNum threads: \[(\d+)\]")
_DEVICE = re.compile(r"^device: (?P<name>.+)$", re.MULTILINE)


def _is_text(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= LARGEST_FILE and b"benchmark for at least" in path.read_bytes()


def _from_program(path: Path, calibration: Calibration) -> DeviceFile:
    """Read what `benchmark_model` of TensorFlow Lite or LiteRT printed for one net after the other.

    A line `device: NAME` before them names the device. Newer ones print the median, older ones only the mean.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    digests = {net.file: net.sha256 for net in calibration.nets}
    runs = list(_runs(text))
    if unknown := [file for file, _ in runs if file not in digests]:
        raise DataError(f"{path} holds times of {unknown[0]}, which is not among the calibration nets")
    device = found["name"].strip() if (found := _DEVICE.search(text)) else path.stem
    means = any("median" not in figures for _, figures in runs)
    return DeviceFile(
        DEVICE_FORMAT,
        VERSION,
        device[:LONGEST_NAME],
        "LiteRT (benchmark_model, mean times)" if means else "LiteRT (benchmark_model)",
        _threads(path, text),
        tuple(
            NetTime(digests[file], figures.get("median", figures["avg"]) / 1000, None, int(figures["count"]))
            for file, figures in runs
        ),
    )


def _runs(text: str) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Yield each net's file with the figures of its last line of statistics: the one before it is of the warm-up."""
    starts = list(_GRAPH.finditer(text))
    ends = [*(start.start() for start in starts[1:]), len(text)]
    runs: dict[str, Mapping[str, float]] = {}
    for start, end in zip(starts, ends, strict=True):
        name = re.split(r"[/\\]", start["path"] or start["other"])[-1]
        lines = [line for line in text[start.end() : end].splitlines() if "count=" in line and "avg=" in line]
        if lines:
            runs[name] = {each["name"]: float(each["value"]) for each in _LINE.finditer(lines[-1])}
    yield from runs.items()


def _threads(path: Path, text: str) -> int:
    found = {int(one or other) for one, other in _THREADS.findall(text)}
    if len(found) > 1:
        raise DataError(f"{path} holds times on {' and '.join(map(str, sorted(found)))} threads; measure on one number")
    return found.pop() if found else 1
