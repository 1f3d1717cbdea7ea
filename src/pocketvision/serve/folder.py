"""The demo's folder: page, runtime and model file, static, so that any host can serve it.

The page is built from `web/` into `serve/page/` by `make web`; wheels bring it along.
"""

import hashlib
import importlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketvision.errors import DataError, PocketvisionError, RunExists, UsageError
from pocketvision.files import claim, own_files, write_bytes, write_json, write_text
from pocketvision.latency.device_file import CALIBRATION, Calibration, read_calibration
from pocketvision.latency.measure import reference_graph
from pocketvision.runtime import open as open_model
from pocketvision.runtime.litert import manifest_of
from pocketvision.serve.copies import write_copies
from pocketvision.tasks import spec_of
from pocketvision.values import Manifest

FORMAT_VERSION = 1
PAGE = Path(__file__).with_name("page")
FACTS, WORKER = "demo.json", "sw.js"
NETS, MEASURING = "nets", "calibrate.html"
SHOWN = ("attributes", "classify", "detect")
"""Tasks whose answers the page can show."""
RUNTIMES = {".tflite": "litert", ".onnx": "onnxruntime"}
"""Suffix to the runtime that runs it in a browser, the usually quicker one first."""

_WRITERS = {".tflite": "pocketvision.export.litert:to_bytes", ".onnx": "pocketvision.export.onnx:to_bytes"}
"""Suffix to what writes the reference net in that format."""


@dataclass(frozen=True)
class ModelFile:
    """A model file in the folder, as the page reads it."""

    runtime: str
    path: str
    size_bytes: int
    sha256: str
    reference: str
    """The reference net in the same format, for comparing devices."""


@dataclass(frozen=True)
class Facts:
    """What `demo.json` holds."""

    format_version: int
    manifest: Manifest
    files: tuple[ModelFile, ...]
    reference_resolution: int


def write_demo(models: Sequence[Path], target: Path, *, page: Path = PAGE) -> Facts:
    """Write the folder for files of one net, the quicker one first, and packed copies of what packs well.

    An older demo in its place is replaced.

    Raises RunExists where the folder holds something else, DataError where the files differ in labels or image
    rule, UsageError for one that browsers cannot run, PocketvisionError where the page was not built.
    """
    manifest = _manifest(models)
    _require_built(page)
    _require_own(target)
    files = tuple(_place(model, target) for model in _quicker_first(models, manifest))
    facts = Facts(FORMAT_VERSION, manifest, files, reference_graph().input.resolution)
    write_json(target / FACTS, facts)
    shell = [*_copied(page, target), FACTS]
    on_use = [name for file in files for name in (file.path, file.reference)]
    on_use += _copied(page, target, [file.runtime for file in files])
    _clear(target, {*shell, *on_use, WORKER})
    _write_worker(page, target, shell=shell, files=[*shell, *on_use])
    write_copies(target, [*shell, *on_use, WORKER])
    return facts


def write_calibration(folder: Path, target: Path, *, page: Path = PAGE) -> Calibration:
    """Write a folder whose page times the calibration nets of `folder` on the device that opens it.

    Raises DataError where the nets are not there, UsageError for such that browsers cannot run, RunExists and
    PocketvisionError as `write_demo` does.
    """
    calibration = read_calibration(folder)
    suffixes = {Path(net.file).suffix.lower() for net in calibration.nets}
    if other := suffixes - set(RUNTIMES):
        raise UsageError(f"browsers run no {', '.join(sorted(other))} files; write the nets for onnx or litert")
    _require_built(page)
    _require_own(target)
    for net in calibration.nets:
        write_bytes(target / NETS / net.file, (folder / net.file).read_bytes())
    write_bytes(target / CALIBRATION, (folder / CALIBRATION).read_bytes())
    shell = [*_copied(page, target), CALIBRATION]
    write_bytes(target / "index.html", (page / MEASURING).read_bytes())
    on_use = _copied(page, target, [RUNTIMES[suffix] for suffix in sorted(suffixes)])
    nets = [f"{NETS}/{net.file}" for net in calibration.nets]
    _clear(target, {*shell, *on_use, *nets, WORKER})
    _write_worker(page, target, shell=shell, files=[*shell, *on_use])
    write_copies(target, [*shell, *on_use, *nets, WORKER])
    return calibration


def _manifest(models: Sequence[Path]) -> Manifest:
    first, *others = manifests = [_read(model) for model in models]
    for model, manifest in zip(models, manifests, strict=True):
        if spec_of(manifest).name not in SHOWN:
            raise UsageError(
                f"{model.name} is for {manifest.task}, and the page shows classes, attributes and boxes; "
                "`pocketvision predict` tells what the file says"
            )
        if manifest.ends == "raw":
            raise UsageError(
                f"{model.name} gives what is said of every anchor, and the page shows boxes; export it with "
                "--ends boxes"
            )
        if manifest.io == "int8":
            raise UsageError(
                f"{model.name} takes int8 images, which no browser's runtime does; export with --io uint8 for a page"
            )
    for model, other in zip(models[1:], others, strict=True):
        if (other.labels, other.image) != (first.labels, first.image):
            raise DataError(
                f"{models[0].name} and {model.name} differ in their labels or in how images are prepared: they are "
                "of different runs. Export both again, or name one of them"
            )
    return first


def _read(model: Path) -> Manifest:
    # The browser brings its own LiteRT: none is needed here to read what the file says of itself.
    return (
        manifest_of(model.read_bytes(), model.name) if model.suffix.lower() == ".tflite" else open_model(model).manifest
    )


def _quicker_first(models: Sequence[Path], manifest: Manifest) -> list[Path]:
    """Order files by what was measured in browsers: LiteRT.js first, but last where weights are float16.

    It widens those again for every image: the reference net took 19 ms, and 7 ms in onnxruntime-web.
    """
    order = [*RUNTIMES][:: -1 if manifest.precision == "float16" else 1]
    return sorted(models, key=lambda model: order.index(model.suffix.lower()))


def _require_built(page: Path) -> None:
    if not (page / "index.html").is_file():
        raise PocketvisionError(
            f"the page is not built: there is no {page / 'index.html'}. Run `make web` in the checkout (needs Node "
            "20.19 or newer), or install a released wheel, which brings the page along"
        )


def _require_own(target: Path) -> None:
    own = {target / FACTS, target / CALIBRATION} & set(own_files(target)) if target.is_dir() else set()
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not own)):
        raise RunExists(f"{target} holds something else than a demo; choose another folder with --output")
    claim(target, FACTS, CALIBRATION)


def _place(model: Path, target: Path) -> ModelFile:
    suffix = model.suffix.lower()
    content = model.read_bytes()
    name, reference = f"model{suffix}", f"reference{suffix}"
    write_bytes(target / name, content)
    module, function = _WRITERS[suffix].split(":")
    write_bytes(target / reference, getattr(importlib.import_module(module), function)(reference_graph()))
    return ModelFile(RUNTIMES[suffix], name, len(content), hashlib.sha256(content).hexdigest(), reference)


def _copied(page: Path, target: Path, runtimes: Iterable[str] | None = None) -> list[str]:
    """Copy the page, or the runtimes named; return the files' names below the folder."""
    folders = [page / "runtime" / name for name in runtimes or ()]
    found = _shell(page) if runtimes is None else [path for folder in folders for path in folder.iterdir()]
    names = sorted(path.relative_to(page).as_posix() for path in found)
    for name in names:
        write_bytes(target / name, (page / name).read_bytes())
    return names


def _shell(page: Path) -> list[Path]:
    apart = {page / WORKER, page / MEASURING, *(page / "runtime").rglob("*")}
    return [path for path in page.rglob("*") if path.is_file() and path not in apart]


def _clear(target: Path, written: set[str]) -> None:
    """Remove what an older demo wrote and this one does not."""
    for path in own_files(target):
        if path.relative_to(target).as_posix() not in written:
            path.unlink()


def _write_worker(page: Path, target: Path, *, shell: Sequence[str], files: Sequence[str]) -> None:
    """Tell the service worker what to keep; its text changes with any file, so that browsers fetch the new ones."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + hashlib.sha256((target / name).read_bytes()).digest())
    head = f'const VERSION = "{digest.hexdigest()[:16]}";\nconst SHELL = {json.dumps(["./", *shell])};\n'
    write_text(target / WORKER, head + (page / WORKER).read_text(encoding="utf-8"))
