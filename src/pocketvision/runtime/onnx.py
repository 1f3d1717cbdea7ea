"""The ONNX runtime: opens .onnx files on the CPU; the only module that loads onnxruntime."""

import hashlib
import json
import os
import platform
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.errors import MissingExtra, WeightsError
from pocketvision.runtime import Images, Probabilities, Runner
from pocketvision.runtime.boxes import kept, require_fit
from pocketvision.values import Manifest, from_json

DIGEST = "sha256"
"""The entry of the metadata that holds a digest of all bytes before it."""
_DIGITS = 64
_TYPES = {"tensor(float)": "f4", "tensor(float16)": "f2", "tensor(uint8)": "u1", "tensor(int8)": "i1"}
"""Of images, as onnxruntime names them."""
_APART = re.compile(rb"\x6a.{1,2}\x0a\x08location\x12", re.DOTALL)
"""A tensor's field 13, external_data, with the key `location`; behind it stand a length and a file's name."""
_SEAL = bytes((14 << 3 | 2, 4 + len(DIGEST) + _DIGITS, 1 << 3 | 2, len(DIGEST))) + DIGEST.encode() + b"\x12@"
"""What stands before its digits: field 14, metadata_props, with the key, and the head of the value (onnx.proto)."""


def open_file(path: Path, *, threads: int = 1) -> Runner:
    """Open a file written by `pocketvision`; raises WeightsError where it is damaged or foreign."""
    return _open(path.read_bytes(), path.name, threads)


def answer_of(content: bytes, *, threads: int = 1) -> Callable[[Images], Probabilities]:
    """Open content that has no manifest yet, such as a candidate to be timed, as a bare function."""
    session = _session(content, "the model", threads)
    return _boxes_of(session) if len(session.get_outputs()) > 1 else _caller(session)


def call_of(content: bytes, *, threads: int = 1, side: int | None = None) -> Callable[[], object]:
    """Open any ONNX file as a call with one image of noise, to be timed; `side` is for one that takes any size."""
    session = _session(content, "the file", threads)
    rng, given = np.random.default_rng(0), {}
    for entry in session.get_inputs():
        shape = [each if isinstance(each, int) else side if place else 1 for place, each in enumerate(entry.shape)]
        known = [each for each in shape if each is not None]
        if entry.type not in _TYPES or len(known) < len(shape):
            raise WeightsError(f"an input of {entry.type} {entry.shape} cannot be filled; is a --resolution missing?")
        given[entry.name] = rng.integers(0, 128, known).astype(_TYPES[entry.type])
    return lambda: session.run(None, given)


def optimized(content: bytes) -> bytes:
    """Return the file as onnxruntime rewrites it before it runs, which shows the kernels that it chose."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "optimized.onnx")
        options = _options(1)
        options.optimized_model_filepath = str(path)
        _onnxruntime().InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return path.read_bytes()


def sealed(content: bytes) -> bytes:
    """Return a serialized model with a digest of its bytes as last entry of its metadata.

    In protobuf's wire format an entry behind the model belongs to it, so that any reader of ONNX takes the file.
    """
    return content + _SEAL + hashlib.sha256(content).hexdigest().encode()


def runtime_name() -> str:
    """Return `onnxruntime <version> CPU`."""
    return f"onnxruntime {_onnxruntime().__version__} CPU"


def require_whole(content: bytes, name: str) -> None:
    """Refuse a file whose weights lie in another one, or whose bytes are not those that were written; files from before
    there were digests have none."""
    if apart := _APART.search(content):
        other = _text(content[apart.end() : apart.end() + 4096] + bytes(2))
        raise WeightsError(
            f"{name} keeps its weights in another file, '{other}' (ONNX's external data), and only files that hold all "
            "in one are read: export the net again with `pocketvision export`, or give the weights that it was made of"
        )
    place = len(content) - len(_SEAL) - _DIGITS
    if not content[max(place, 0) :].startswith(_SEAL):
        return
    if hashlib.sha256(content[:place]).hexdigest().encode() != content[-_DIGITS:]:
        raise WeightsError(f"{name} was changed after it was written: its digest differs; export the net again")


def _text(content: bytes) -> str:
    """Return a text as protobuf stores it: behind its length, in one byte or, from 128 on, in two."""
    head = 2 if content[:1] >= b"\x80" else 1
    length = content[0] if head == 1 else content[0] - 128 + 128 * content[1]
    return content[head : head + length].decode("utf-8", "replace")


def _open(content: bytes, name: str, threads: int) -> Runner:
    require_whole(content, name)
    session = _session(content, name, threads)
    try:
        properties = session.get_modelmeta().custom_metadata_map
        size, outputs = session.get_inputs()[0].shape[1], session.get_outputs()
        classes = outputs[0].shape[-1]
    except (UnicodeDecodeError, IndexError, TypeError) as error:
        raise WeightsError(f"{name} is damaged ({_detail(error)}); export the net again") from error
    if "pocketvision" not in properties:
        raise WeightsError(
            f"{name} was not written by pocketvision: it names neither labels nor how images are prepared. "
            "Export the net again with `pocketvision export`."
        )
    try:
        manifest = from_json(Manifest, json.loads(properties["pocketvision"]))
    except (ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"the manifest in {name} cannot be read ({error}); export the net again") from error
    if manifest.model.detector is not None:
        require_fit({output.name: tuple(output.shape) for output in outputs}, size, manifest, name)
        return Runner(runtime_name(), manifest, _boxes_of(session, manifest))
    if size != manifest.image.resolution or classes != len(manifest.labels):
        raise WeightsError(
            f"the manifest in {name} speaks of {len(manifest.labels)} labels at {manifest.image.resolution} pixels, "
            f"but the net has {classes} outputs at {size} pixels; export the net again"
        )
    return Runner(runtime_name(), manifest, _caller(session))


def _caller(session: Any) -> Callable[[Images], Probabilities]:
    def answer(images: Images) -> Probabilities:
        result: Probabilities = _outputs(session, images)[0]
        return result

    return answer


def _boxes_of(session: Any, manifest: Manifest | None = None) -> Callable[[Images], Probabilities]:
    """Return a function that answers with boxes."""
    names = [output.name for output in session.get_outputs()]
    return lambda images: kept(dict(zip(names, _outputs(session, images), strict=True)), manifest)


def _outputs(session: Any, images: Images) -> list[Any]:
    try:
        return list(session.run(None, {"image": images}))
    except Exception as error:  # the runtime's own classes have no public base
        raise WeightsError(f"the file opened, but does not run ({_detail(error)}); export the net again") from error


def _session(content: bytes, name: str, threads: int) -> Any:
    onnxruntime = _onnxruntime()
    try:
        return onnxruntime.InferenceSession(content, _options(threads), providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own classes have no public base
        raise WeightsError(f"{name} is not a model file that onnxruntime can open ({_detail(error)})") from error


def _detail(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


def _options(threads: int) -> Any:
    options = _onnxruntime().SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Waiting threads that spin slow down whatever else runs, and every other session's timing.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if _saturates(platform.machine(), Path("/proc/cpuinfo")):
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def _saturates(machine: str, listing: Path) -> bool:
    """Whether the processor, an x86 without VNNI, would cut int8 sums to 16 bits and so answer wrongly.

    Asking for precision then costs speed, but not answers; it is asked for also where the processor is not known.
    """
    if machine.lower() not in ("x86_64", "amd64"):
        return False
    return not (listing.exists() and "_vnni" in listing.read_text(encoding="utf-8", errors="replace"))


def _onnxruntime() -> Any:
    # From 1.29 on it numbers the machine in a file and reports what is run to its makers, from the import on, unless
    # this is set; the call is for systems that keep such reports by themselves, as Windows does.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("onnxruntime", "onnx") from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime
