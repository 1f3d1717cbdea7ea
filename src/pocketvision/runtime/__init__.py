"""Delivered files opened by suffix: `open(path)` gives a `Runner`; one module per runtime, loaded on first use."""

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UnknownName, UsageError
from pocketvision.values import Manifest

Images = NDArray[np.uint8]
Probabilities = NDArray[np.float32]

RUNTIMES = {".onnx": "pocketvision.runtime.onnx:open_file", ".tflite": "pocketvision.runtime.litert:open_file"}
"""Suffix to the function (path, *, threads) -> Runner."""


class Runner(Protocol):
    """A delivered file, ready to answer."""

    @property
    def name(self) -> str:
        """The runtime with version and device, such as `onnxruntime 1.22.0 CPU`."""

    @property
    def manifest(self) -> Manifest:
        """What the file says of itself."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the outputs, in order."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a picture."""

    def run(self, images: Images) -> Probabilities:
        """Answer images [N, R, R, 3] with probabilities [N, classes]."""


def open(path: Path | str, *, threads: int = 1) -> Runner:
    """Open a delivered file with the runtime of its suffix; raises WeightsError where it is damaged or foreign."""
    path = Path(path)
    if path.suffix.lower() not in RUNTIMES:
        raise UnknownName("model file suffix", path.suffix, RUNTIMES)
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    module, function = RUNTIMES[path.suffix.lower()].split(":")
    return cast(Runner, getattr(import_module(module), function)(path, threads=threads))
