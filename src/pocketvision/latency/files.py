"""The net of a delivered or published file, read without running it."""

from pathlib import Path

from pocketvision.errors import DataError, WeightsError
from pocketvision.files import stand_in
from pocketvision.latency.assembly import FileNet
from pocketvision.latency.litert_net import read_litert
from pocketvision.latency.onnx_net import read_onnx

LARGEST_FILE = 2**30
SUFFIXES = (".onnx", ".tflite")


def read_net(path: Path, *, resolution: int | None = None) -> FileNet:
    """Read the net of a `.onnx` or `.tflite` file; `resolution` is for one that takes images of any size.

    Raises DataError for a missing file, WeightsError for a damaged one, or one that holds what no net of ours has.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}; give the path of an .onnx or .tflite file, or the name of a net")
    if path.suffix.lower() not in SUFFIXES:
        raise WeightsError(f"{path.name}: times are predicted of nets by name and of {' and '.join(SUFFIXES)} files")
    if path.stat().st_size > LARGEST_FILE:
        raise WeightsError(f"{path.name} has over {LARGEST_FILE // 2**20} MiB; no net for phones does")
    content = path.read_bytes()
    if foreign := stand_in(content[:64]):
        raise WeightsError(f"{path.name} is {foreign}")
    if path.suffix.lower() == ".onnx":
        return read_onnx(content, path.name, resolution=resolution)
    return read_litert(content, path.name)
