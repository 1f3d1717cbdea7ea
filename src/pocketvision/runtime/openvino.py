"""The OpenVINO runtime: opens .xml files on the CPU."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.errors import MissingExtra, UsageError, WeightsError
from pocketvision.runtime import Images, Probabilities
from pocketvision.values import Manifest, from_json


class OpenvinoRunner:
    """A compiled model and the manifest found in the file."""

    def __init__(self, model: Any, manifest: Manifest, name: str) -> None:
        self._model = model
        self.manifest = manifest
        self.labels = manifest.labels
        self.name = name
        size = manifest.image.resolution
        self.input_shape = (size, size, 3)

    def run(self, images: Images) -> Probabilities:
        """Answer images [N, R, R, 3] with probabilities [N, classes]."""
        if images.dtype != np.uint8 or images.shape[1:] != self.input_shape:
            wanted = ", ".join(map(str, self.input_shape))
            raise UsageError(f"the file takes uint8 images [N, {wanted}], not {images.dtype} {list(images.shape)}")
        answer: Probabilities = np.array(self._model(images)[0])
        return answer


def open_file(path: Path, *, threads: int = 1) -> OpenvinoRunner:
    """Open a file written by `pocketvision`; raises WeightsError where it is damaged or foreign."""
    openvino = _openvino()
    if not path.with_suffix(".bin").is_file():
        raise WeightsError(f"{path.name} holds no weights: they lie in {path.stem}.bin, which has to be beside it")
    core = openvino.Core()
    try:
        model = core.read_model(path)
        compiled = compile_model(model, threads)
    except Exception as error:  # the runtime raises plain RuntimeError and its own classes
        raise WeightsError(f"{path.name} is not a model file that OpenVINO can open ({_first_line(error)})") from error
    return OpenvinoRunner(compiled, _manifest(model, path.name), runtime_name())


def compile_model(model: Any, threads: int) -> Any:
    """Compile for the CPU in float32: by default OpenVINO computes in bfloat16 where the processor can."""
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    return _openvino().compile_model(model, "CPU", settings)


def runtime_name() -> str:
    """Return `openvino <version> CPU`."""
    return f"openvino {_openvino().__version__.partition('-')[0]} CPU"


def _manifest(model: Any, name: str) -> Manifest:
    if not model.has_rt_info("pocketvision"):
        raise WeightsError(
            f"{name} was not written by pocketvision: it names neither labels nor how pictures are prepared. "
            "Export the net again with `pocketvision export`."
        )
    try:
        manifest = from_json(Manifest, json.loads(model.get_rt_info("pocketvision").astype(str)))
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"the manifest in {name} cannot be read ({error}); export the net again") from error
    size, classes = manifest.image.resolution, model.output(0).partial_shape[-1].get_length()
    if classes != len(manifest.labels) or model.input(0).partial_shape[1].get_length() != size:
        raise WeightsError(
            f"the manifest in {name} speaks of {len(manifest.labels)} labels at {size} pixels, but the net differs; "
            "export the net again"
        )
    return manifest


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__


def _openvino() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise MissingExtra("openvino", "openvino") from error
    return openvino
