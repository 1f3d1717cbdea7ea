"""The ExecuTorch runtime: opens .pte files on the CPU."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.errors import MissingExtra, WeightsError
from pocketvision.runtime import Images, Probabilities, Runner
from pocketvision.runtime.boxes import DECODED, kept, require_fit
from pocketvision.runtime.quiet import quiet
from pocketvision.values import Manifest, from_json

MARK = b"ET12"
_MARK_AT = slice(4, 8)
_DIGEST = 64


def open_file(path: Path, *, threads: int = 1) -> Runner:
    """Open a file written by `pocketvision`; raises WeightsError where it is damaged, changed or foreign."""
    content = path.read_bytes()
    if content[_MARK_AT] != MARK:
        raise WeightsError(f"{path.name} is not an ExecuTorch program: it does not carry the mark {MARK.decode()}")
    if sealed(content[:-_DIGEST]) != content:
        raise WeightsError(
            f"{path.name} was cut short, changed, or not written by pocketvision: its digest is not at its end. "
            "Export the net again with `pocketvision export`."
        )
    program = _load(content, path.name, threads)
    try:
        manifest = from_json(Manifest, json.loads(program.load_method("pocketvision").execute([])[0]))
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"the manifest in {path.name} cannot be read ({error}); export the net again") from error
    if manifest.model.detector is None:
        return Runner(runtime_name(), manifest, _caller(content, program))
    outputs = _outputs_of(content, program)
    return Runner(runtime_name(), manifest, _boxes_of(outputs, manifest, path.name))


def answer_of(content: bytes, *, threads: int = 1) -> Callable[[Images], Probabilities]:
    """Open a program that has no manifest as a bare function."""
    return _caller(content, _load(content, "the model", threads))


def sealed(content: bytes) -> bytes:
    """Return a program with its digest behind it, SHA-256 in hex, where ExecuTorch does not look."""
    return content + hashlib.sha256(content).hexdigest().encode()


def runtime_name() -> str:
    """Return `executorch <version> XNNPACK CPU`."""
    from importlib.metadata import version

    return f"executorch {version('executorch')} XNNPACK CPU"


def _executorch() -> tuple[Any, Any]:
    """Return the runtime's class and the function that sets the number of threads."""
    try:
        with quiet():
            from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
            from executorch.runtime import Runtime
    except ImportError as error:
        raise MissingExtra("executorch", "executorch") from error
    return Runtime, _unsafe_reset_threadpool


def _load(content: bytes, name: str, threads: int) -> Any:
    runtime, reset_threads = _executorch()
    try:
        with quiet():
            reset_threads(threads)
            return runtime.get().load_program(content)
    except (RuntimeError, ValueError) as error:
        raise WeightsError(f"{name} is not a program that ExecuTorch can load ({error})") from error


def _caller(content: bytes, program: Any) -> Callable[[Images], Probabilities]:
    """Return a function that answers images [N, R, R, C] one by one."""
    outputs = _outputs_of(content, program)
    return lambda images: np.concatenate([outputs(image)[0] for image in images])


def _boxes_of(
    outputs: Callable[[Images], list[Any]], manifest: Manifest, name: str
) -> Callable[[Images], Probabilities]:
    """Return a function that answers images with the boxes that are kept; refuse a net that gives none."""
    side = manifest.image.resolution
    try:
        first = outputs(np.zeros((side, side, 3), np.uint8))
    except RuntimeError as error:
        raise WeightsError(f"{name} takes no images of {side} pixels ({error}); export the net again") from error
    require_fit({title: found.shape for title, found in zip(DECODED, first, strict=False)}, side, manifest, name)

    def answer(images: Images) -> Probabilities:
        rows = (dict(zip(DECODED, outputs(image), strict=True)) for image in images)
        return np.concatenate([kept(row, manifest) for row in rows])

    return answer


def _outputs_of(content: bytes, program: Any) -> Callable[[Images], list[Any]]:
    """Return a function that gives what comes out for an image [R, R, C]: the program is made for one."""
    import torch

    try:
        method = program.load_method("forward")
    except RuntimeError as error:
        raise WeightsError(
            f"this build of ExecuTorch cannot run the program ({error}); it needs XNNPACK, as PyPI's package has it"
        ) from error
    kept_alive = content, program  # the method reads from both and keeps neither

    def outputs(image: Images) -> list[Any]:
        assert kept_alive
        return [found.numpy().copy() for found in method.execute([torch.from_numpy(image[None].copy())])]

    return outputs
