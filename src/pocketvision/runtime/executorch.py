"""The ExecuTorch runtime: opens .pte files on the CPU."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.errors import MissingExtra, WeightsError
from pocketvision.runtime import Images, Probabilities, Runner
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
    return Runner(runtime_name(), manifest, _caller(content, program))


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
    """Return a function that answers images [N, R, R, C] one by one: the program is made for one image."""
    import torch

    try:
        method = program.load_method("forward")
    except RuntimeError as error:
        raise WeightsError(
            f"this build of ExecuTorch cannot run the program ({error}); it needs XNNPACK, as PyPI's package has it"
        ) from error
    kept = content, program  # the method reads from both and keeps neither

    def answer(images: Images) -> Probabilities:
        assert kept
        answers = [method.execute([torch.from_numpy(image[None].copy())])[0].numpy().copy() for image in images]
        return np.concatenate(answers)

    return answer
