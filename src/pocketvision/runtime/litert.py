"""The LiteRT runtime: opens .tflite files on the CPU; the only module that loads ai_edge_litert."""

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pocketvision.errors import MissingExtra, WeightsError
from pocketvision.runtime import Images, Probabilities, Runner
from pocketvision.runtime.boxes import kept, require_fit
from pocketvision.values import Manifest, from_json

MARK = b"TFL3"
LARGEST_FILE = 2**30
LARGEST_MANIFEST = 2**26
MOST_THREADS = 16
"""Of a detector: with more, LiteRT's suppression could leave out one of its classes (tensorflow/tensorflow#56058)."""
_GREETING = b"INFO: Created TensorFlow Lite XNNPACK delegate"
_FIRST = iter((True,))
_DAMAGE = (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError)


class LitertParts(NamedTuple):
    """How a file's net is divided between XNNPACK, the fast kernels, and the runtime's own."""

    delegated: int
    """Stretches of operators that XNNPACK runs as one."""
    others: tuple[str, ...]
    """Operators that it left to the runtime, in running order."""


def open_file(path: Path, *, threads: int = 1) -> Runner:
    """Open a file written by `pocketvision`; raises WeightsError where it is damaged or foreign."""
    if path.stat().st_size > LARGEST_FILE:
        raise WeightsError(f"{path.name} has over {LARGEST_FILE // 2**20} MiB; no classifier for phones does")
    content = path.read_bytes()
    manifest = manifest_of(content, path.name)
    if manifest.model.detector is not None:
        threads = min(threads, MOST_THREADS)
    interpreter = _interpreter(content, path.name, threads)
    size, outputs = interpreter.get_input_details()[0]["shape"][1], interpreter.get_output_details()
    if manifest.model.detector is not None:
        require_fit({entry["name"]: tuple(entry["shape"]) for entry in outputs}, int(size), manifest, path.name)
        return Runner(runtime_name(), manifest, _boxes_of(interpreter, manifest))
    classes = outputs[0]["shape"][-1]
    if size != manifest.image.resolution or classes != len(manifest.labels):
        raise WeightsError(
            f"the manifest in {path.name} speaks of {len(manifest.labels)} labels at {manifest.image.resolution} "
            f"pixels, but the net has {classes} outputs at {size} pixels; export the net again"
        )
    return Runner(runtime_name(), manifest, _caller(interpreter))


def answer_of(content: bytes, *, threads: int = 1) -> Callable[[Images], Probabilities]:
    """Open content that has no manifest yet, such as a candidate to be timed, as a bare function."""
    interpreter = _interpreter(content, "the model", threads)
    return _boxes_of(interpreter) if len(interpreter.get_output_details()) > 1 else _caller(interpreter)


def call_of(content: bytes, *, threads: int = 1) -> Callable[[], object]:
    """Open any LiteRT file as a call with one image of noise, to be timed."""
    interpreter, rng = _interpreter(content, "the file", threads), np.random.default_rng(0)
    given = [
        (entry["index"], rng.integers(0, 128, entry["shape"]).astype(entry["dtype"]))
        for entry in interpreter.get_input_details()
    ]

    def call() -> None:
        for place, image in given:
            interpreter.set_tensor(place, image)
        interpreter.invoke()

    return call


def parts(content: bytes) -> LitertParts:
    """Tell how the runtime divides a file's net: with more than one stretch, or with others, it runs slower."""
    interpreter = _interpreter(content, "the model", 1)
    # The list holds the file's operators and, behind them, what XNNPACK made of some; the later maker of a tensor runs.
    makers = {int(place): entry for entry in interpreter._get_ops_details() for place in entry["outputs"]}
    run: dict[int, str] = {}
    wanted = [int(entry["index"]) for entry in interpreter.get_output_details()]
    while wanted:
        entry = makers.get(wanted.pop())
        if entry is not None and entry["index"] not in run:
            run[entry["index"]] = entry["op_name"]
            wanted += [int(place) for place in entry["inputs"]]
    names = [run[place] for place in sorted(run)]
    return LitertParts(names.count("DELEGATE"), tuple(name for name in names if name != "DELEGATE"))


def runtime_name() -> str:
    """Return `LiteRT <version> CPU`."""
    _litert()
    return f"LiteRT {metadata.version('ai-edge-litert')} CPU"


def read_manifest(path: Path) -> Manifest | None:
    """Return the manifest inside a `.tflite` file of this package, None where the file has none.

    No runtime is needed. Raises WeightsError where the file was changed after it was written.
    """
    if path.suffix.lower() != ".tflite":
        return None
    content = path.read_bytes()
    return manifest_of(content, path.name) if has_manifest(content) else None


def has_manifest(content: bytes) -> bool:
    """Tell whether the archive behind a model holds a manifest, whatever it says."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return "manifest.json" in archive.namelist()
    except _DAMAGE:
        return False


def manifest_of(content: bytes, name: str) -> Manifest:
    """Read the manifest behind a model; raises WeightsError where a file is damaged, changed or foreign."""
    if content[4:8] != MARK:
        raise WeightsError(f"{name} is not a LiteRT file: it does not carry the mark TFL3")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            start = min((entry.header_offset for entry in entries.values()), default=0)
            largest = max((entry.file_size for entry in entries.values()), default=0)
            if "manifest.json" not in entries or largest > LARGEST_MANIFEST:
                raise _foreign(name)
            text, digest = (archive.read(entry) for entry in ("manifest.json", "model.sha256"))
    except zipfile.BadZipFile as error:
        raise _foreign(name) from error
    except _DAMAGE as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{name} is damaged or cut short ({error}); export the net again") from error
    if hashlib.sha256(content[:start]).hexdigest().encode() != digest:
        raise WeightsError(f"{name} was changed after it was written: its digest differs; export the net again")
    try:
        return from_json(Manifest, json.loads(text))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise WeightsError(f"the manifest in {name} cannot be read ({error}); export the net again") from error


def _foreign(name: str) -> WeightsError:
    return WeightsError(
        f"{name} was cut short or not written by pocketvision: it names neither labels nor how images are prepared. "
        "Export the net again with `pocketvision export`."
    )


def _caller(interpreter: Any) -> Callable[[Images], Probabilities]:
    entry = interpreter.get_input_details()[0]
    details = interpreter.get_output_details()[0]
    scale, zero_point = details["quantization"] if details["dtype"] != np.float32 else (1, 0)

    def answer(images: Images) -> Probabilities:
        if entry["dtype"] == np.int8:
            images = (images ^ 128).view(np.int8)  # less 128
        answers = np.empty((len(images), *details["shape"][1:]), np.float32)
        for place, image in enumerate(images):
            interpreter.set_tensor(entry["index"], image[None])
            interpreter.invoke()
            answers[place] = interpreter.get_tensor(details["index"])[0]
        return (answers - np.float32(zero_point)) * np.float32(scale)

    return answer


def _boxes_of(interpreter: Any, manifest: Manifest | None = None) -> Callable[[Images], Probabilities]:
    """Return a function that answers with boxes; a detector takes one image at a time."""
    entry = interpreter.get_input_details()[0]
    places = {output["name"]: output["index"] for output in interpreter.get_output_details()}

    def answer(images: Images) -> Probabilities:
        found = []
        for image in images:
            interpreter.set_tensor(entry["index"], image[None])
            interpreter.invoke()
            found.append(kept({name: interpreter.get_tensor(place) for name, place in places.items()}, manifest))
        return np.concatenate(found)

    return answer


def _interpreter(content: bytes, name: str, threads: int) -> Any:
    litert = _litert()
    try:
        with _without_greeting():
            interpreter = litert.Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
    except Exception as error:  # the runtime raises classes of every kind
        detail = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise WeightsError(f"{name} is not a model file that LiteRT can open ({detail})") from error
    return interpreter


@contextmanager
def _without_greeting() -> Iterator[None]:
    """Keep off stderr the line with which the runtime greets each process once; what else it says is passed on."""
    if not next(_FIRST, False):
        yield
        return
    try:
        before = os.dup(2)
    except OSError:  # the process has no stderr
        yield
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
            file.seek(0)
            os.write(2, b"".join(line for line in file if not line.startswith(_GREETING)))


def _litert() -> Any:
    try:
        from ai_edge_litert import interpreter
    except ImportError as error:
        raise MissingExtra("ai-edge-litert", "litert") from error
    return interpreter
