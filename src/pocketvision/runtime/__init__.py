"""Delivered files opened by suffix: `open(path)` gives a `Runner`; one module per runtime, loaded on first use."""

import hashlib
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UnknownName, UsageError, WeightsError
from pocketvision.files import stand_in
from pocketvision.packing import DEFLATE, packed_bytes
from pocketvision.runs import RunFolder
from pocketvision.runtime.boxes import answer_shape
from pocketvision.values import Manifest

Images = NDArray[np.uint8]
Probabilities = NDArray[np.float32]

RUNTIMES = {
    ".mlpackage": "pocketvision.runtime.mil:open_file",
    ".onnx": "pocketvision.runtime.onnx:open_file",
    ".pte": "pocketvision.runtime.executorch:open_file",
    ".tflite": "pocketvision.runtime.litert:open_file",
    ".xml": "pocketvision.runtime.openvino:open_file",
}
"""Suffix to the function (path, *, threads) -> Runner."""

PACKAGES = {"onnx": "onnxruntime", "litert": "ai_edge_litert", "openvino": "openvino", "executorch": "executorch"}
"""Name of a format to the package that runs its files here at full speed."""
_TOGETHER = (".onnx", ".xml")


def installed() -> tuple[str, ...]:
    """Return the formats whose runtime is installed here."""
    return tuple(name for name, package in PACKAGES.items() if find_spec(package) is not None)


def means_file(given: str | Path) -> bool:
    """Tell whether what was given is meant as a file, not as the name of a net."""
    return isinstance(given, Path) or Path(given).exists() or Path(given).suffix.lower() in RUNTIMES or "/" in given


def runs_together(path: Path) -> bool:
    """Tell whether files of this format take several images a call; others are given them one after the other."""
    return path.suffix.lower() in _TOGETHER


def computes_in_half(path: Path) -> bool:
    """Tell whether files of this format keep activations in float16, and so answer a little otherwise."""
    return path.suffix.lower() == ".mlpackage"


class Runner:
    """A delivered file, ready to answer: its runtime, what it says of itself, and a function of images."""

    def __init__(self, name: str, manifest: Manifest, answer: Callable[[Images], Probabilities]) -> None:
        self.name = name
        """The runtime with version and device, such as `onnxruntime 1.22.0 CPU`."""
        self.manifest = manifest
        self.labels = manifest.labels
        """The names of the outputs, in order."""
        size = manifest.image.resolution
        self.input_shape = (size, size, 3)
        """Height, width and channels of an image."""
        self.answer_shape = answer_shape(manifest)
        """Of the answer to one image: [classes], or [boxes, 6] of a detector."""
        self._answer = answer

    def run(self, images: Images) -> Probabilities:
        """Answer images [N, R, R, 3] with probabilities [N, classes], or with boxes [N, M, 6]."""
        if images.dtype != np.uint8 or images.shape[1:] != self.input_shape:
            wanted = ", ".join(map(str, self.input_shape))
            raise UsageError(f"the file takes uint8 images [N, {wanted}], not {images.dtype} {list(images.shape)}")
        return self._answer(images) if len(images) else np.zeros((0, *self.answer_shape), np.float32)


def open(path: Path | str, *, threads: int = 1) -> Runner:
    """Open a delivered file with the runtime of its suffix; raises WeightsError where it is damaged or foreign."""
    path = Path(path)
    if path.suffix.lower() not in RUNTIMES:
        raise _foreign(path)
    if not path.exists():
        raise UsageError(f"there is no file {path}")
    if path.suffix.lower() != ".xml" and path.is_file():
        with path.open("rb") as stream:
            if foreign := stand_in(stream.read(64)):
                raise WeightsError(f"{path.name} is {foreign}")
    module, function = RUNTIMES[path.suffix.lower()].split(":")
    return cast(Runner, getattr(import_module(module), function)(path, threads=threads))


def _foreign(path: Path) -> UsageError:
    inside = [RunFolder(path).export.model(suffix) for suffix in RUNTIMES] if path.is_dir() else []
    for file in inside:
        if file.exists():
            return UsageError(f"{path} is the folder of a run; name the file in it: {file}")
    if path.is_dir():
        return UsageError(f"{path} is a folder; name a model file, such as {path / 'model.onnx'}")
    return UnknownName("model file suffix", path.suffix, RUNTIMES)


def parts(path: Path) -> tuple[Path, ...]:
    """Return the files that a delivered file consists of: several where its format is a folder or keeps weights apart.

    Raises UsageError where there is none.
    """
    if path.is_dir():
        return tuple(sorted(file for file in path.rglob("*") if file.is_file()))
    beside = [path.with_suffix(".bin")] if path.suffix.lower() == ".xml" else []
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    return (path, *(file for file in beside if file.is_file()))


def size_bytes(path: Path) -> int:
    """Return the bytes of a delivered file with all its parts."""
    return sum(part.stat().st_size for part in parts(path))


def download_bytes(path: Path, compressor: str = DEFLATE) -> int:
    """Return the bytes of a delivered file with all its parts as stores and web servers send them, packed."""
    return sum(packed_bytes(part.read_bytes(), compressor) for part in parts(path))


def digest(path: Path) -> str:
    """Return the SHA-256 of a delivered file in hex; of several parts, that of their digests and names."""
    found = [(part.relative_to(path.parent).as_posix(), part.read_bytes()) for part in parts(path)]
    if len(found) == 1:
        return hashlib.sha256(found[0][1]).hexdigest()
    listing = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in found)
    return hashlib.sha256(listing.encode()).hexdigest()
