"""Calibration nets as files, to be timed elsewhere, and the times that come back."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pocketvision.errors import DataError
from pocketvision.files import read_json
from pocketvision.latency.device_file import read_calibration, read_device
from pocketvision.values import ModelSpec

LISTING = "nets.json"
SUFFIXES = {"onnx": ".onnx", "litert": ".tflite"}


@dataclass(frozen=True)
class EmittedNet:
    """One file to be timed."""

    file: str
    """Name of the file in the folder."""
    spec: ModelSpec
    """The net that it holds."""
    median_ms: float | None = None
    """Of one image, to be filled in where it is measured."""


@dataclass(frozen=True)
class Emitted:
    """What lies in the folder, and what is asked of whoever measures."""

    what_to_do: str
    """In words."""
    device: str
    """Name of the device, to be filled in."""
    runtime: str
    """Such as `litert`."""
    precision: str
    """Float or int8."""
    threads: int
    """Threads of the runtime."""
    nets: tuple[EmittedNet, ...]
    """In the order in which they are best timed."""


def read_emitted(path: Path, measured: Path | None = None) -> Emitted:
    """Read a list with times filled in, or those of a device's file; raises DataError that says what is missing."""
    if not path.is_file():
        raise DataError(
            f"there is no file {path}; `pocketvision latency calibrate --emit FOLDER` writes FOLDER/{LISTING}"
        )
    try:
        found = read_json(Emitted, path)
    except (ValueError, TypeError, AttributeError, RecursionError, json.JSONDecodeError) as error:
        raise DataError(f"{path} is no list of nets to be timed ({error}); emit them again") from error
    if measured is not None:
        found = _filled(found, measured, path.parent)
    times = [net.median_ms for net in found.nets if net.median_ms is not None]
    if not times:
        raise DataError(f"{path} holds no times yet: write each file's median_ms into it")
    if not all(np.isfinite(time) and time > 0 for time in times):
        raise DataError(f"{path} holds a median_ms that is not above 0")
    return found


def _filled(listing: Emitted, measured: Path, folder: Path) -> Emitted:
    """Fill in what the phone page saved, or `benchmark_model` printed, of the nets in a folder."""
    calibration = read_calibration(folder)
    device = read_device(measured, calibration)
    files = {net.sha256: net.file for net in calibration.nets}
    times = {files[result.sha256]: result.median_ms for result in device.results}
    nets = tuple(replace(net, median_ms=times.get(net.file)) for net in listing.nets)
    return replace(listing, device=device.device, threads=device.threads, nets=nets)
