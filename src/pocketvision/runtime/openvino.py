"""The OpenVINO runtime: opens .xml files on the CPU."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.errors import MissingExtra, WeightsError
from pocketvision.runtime import Runner
from pocketvision.runtime.boxes import DECODED, KEPT, kept, require_fit
from pocketvision.values import Manifest, from_json


def open_file(path: Path, *, threads: int = 1) -> Runner:
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
    manifest = _manifest(model, path.name)
    if manifest.model.detector is None:
        return Runner(runtime_name(), manifest, lambda images: np.array(compiled(images)[0]))
    return Runner(runtime_name(), manifest, lambda images: kept(_named(compiled(images)), manifest))


def _named(outputs: Any) -> dict[str, Any]:
    """Return copies of what comes out, by name."""
    return {_name(port): np.array(value) for port, value in outputs.items()}


def _name(port: Any) -> str:
    """Return what an output is called in our files; OpenVINO adds the names of nodes that it leaves out."""
    return next((name for name in (*KEPT, *DECODED) if name in port.get_names()), "")


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
            f"{name} was not written by pocketvision: it names neither labels nor how images are prepared. "
            "Export the net again with `pocketvision export`."
        )
    try:
        manifest = from_json(Manifest, json.loads(model.get_rt_info("pocketvision").astype(str)))
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"the manifest in {name} cannot be read ({error}); export the net again") from error
    if manifest.model.detector is not None:
        shapes = {_name(port): _sizes(port) for port in model.outputs}
        require_fit(shapes, model.input(0).partial_shape[1].get_length(), manifest, name)
        return manifest
    size, classes = manifest.image.resolution, model.output(0).partial_shape[-1].get_length()
    if classes != len(manifest.labels) or model.input(0).partial_shape[1].get_length() != size:
        raise WeightsError(
            f"the manifest in {name} speaks of {len(manifest.labels)} labels at {size} pixels, but the net differs; "
            "export the net again"
        )
    return manifest


def _sizes(port: Any) -> tuple[int | None, ...]:
    """Return an output's shape, None where a size is not fixed."""
    return tuple(None if size.is_dynamic else size.get_length() for size in port.partial_shape)


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__


def _openvino() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise MissingExtra("openvino", "openvino") from error
    return openvino
