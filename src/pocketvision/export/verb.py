"""The verb `export`: a finished training, or the net of a file, as a file for a runtime."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.compress import compress
from pocketvision.compress.half import halved
from pocketvision.compress.palette import palettized
from pocketvision.cost.rules import PALETTE
from pocketvision.data.arrays import labels_of, prepared
from pocketvision.errors import DataError, UnknownName, UsageError
from pocketvision.export import SUFFIXES
from pocketvision.export.deliver import (
    COST,
    MANIFEST,
    Exported,
    Further,
    deliver,
    formats_of,
    refusal,
    require_packages,
)
from pocketvision.export.manifest import PROBES, make_probes, stand_in_images, thumbnails
from pocketvision.export.subject import Subject, some, subject_of
from pocketvision.export.trust import Abstain, abstain_of, reason_of, settle, threshold_for
from pocketvision.export.use import USE_FILE
from pocketvision.files import claim, user_path
from pocketvision.graph.graph import Graph
from pocketvision.graph.run import run as answer
from pocketvision.progress import Progress, Silent
from pocketvision.runs import require_plain
from pocketvision.values import Dataset, ImageSpec, Io, Manifest, Precision

CALIBRATION_IMAGES = 100
"""Smallest and largest values of each tensor over 100 training images; more changed nothing measurable."""
TRUST_IMAGES = 1000
"""Validation images that temperature and threshold are settled on; numpy answers some 40 of them a second."""


def export(  # noqa: PLR0913  one option per choice of a user
    source: str | Path,
    data: str | Path | None = None,
    *,
    format: str = "onnx",
    precision: Precision | None = None,
    io: Io = "mixed",
    abstain: str = "auto",
    labels: str | Path | None = None,
    output: str | Path | None = None,
    name: str | None = None,
    progress: Progress = Silent(),
) -> Exported:
    """Write the best net of a training's folder, or the net of a file, as `<output>/<name>` with the format's suffix.

    `source` is a folder of `train` or `fit`, or a file: a published or delivered `.tflite`, an ONNX file that this
    function wrote, a PyTorch or Keras file, `.safetensors`. `format` is `onnx`, `litert`, `coreml`, `executorch`,
    `openvino` or `c`, or several with commas: the same net in the same numbers, each file opened again and held against
    the reference, as far as this machine can. `precision` is `float` by default; a quantized file keeps its own whole
    numbers, as int8. `float16` halves the bytes of the weights and computes in 32 bits; `palette8`, `palette6`,
    `palette4` and `palette2`, for `coreml` alone, give each layer so many bits' worth of different weights. int8 is
    calibrated on the run's own training images, or on `data`, the folder of images given beside a float file; for a
    run it is where its own lie now, if they were moved, and float needs none. `io` makes both ends of LiteRT and C
    files `uint8` or `int8`. `abstain` says below which top probability the file refuses to answer: `auto` chooses on
    the run's validation images or keeps the file's own, `off` never refuses, or a probability. `labels` is a text
    with one label a line, for files that hold none. `output` defaults to the run's `export` folder, for a file to
    `<file>-export` beside it, `name` to `model`. Raises UnknownName for an unknown format or precision,
    VerificationFailed where a written file does not answer as the net.
    """
    if io not in get_args(Io):
        raise UnknownName("io", io, get_args(Io))
    if name is not None:
        require_plain(name, "file")
    formats = formats_of(format, io)
    if precision is not None and precision not in get_args(Precision):
        raise UnknownName("precision", precision, get_args(Precision))
    require_packages(formats)
    wanted = abstain_of(abstain)
    subject = subject_of(source, data, labels=labels, progress=progress)
    precision = precision or ("float" if subject.whole is None else "int8")
    _require(formats, precision, io)
    graph = _rounded(subject, precision, progress)
    graph, manifest = _settled(subject, graph, wanted, progress)
    ready = halved(graph) if precision == "float16" else graph
    manifest = replace(manifest, precision=precision, io=io, probes=make_probes(ready, manifest.image, _tiny(subject)))
    target = Path(output) if output is not None else _beside(user_path(source))
    paths = [target / f"{name or 'model'}{SUFFIXES[each]}" for each in formats]
    claim(target, MANIFEST, COST, USE_FILE, *(part.name for path in paths for part in (path, *_beside_it(path))))
    written = [deliver(ready, manifest, path) for path in paths]
    for each in written:
        progress.say(f"{Path(each.file).name}: {each.checked}")
    first, *others = written
    return replace(first, others=tuple(Further(each.file, each.size_bytes, each.checked) for each in others))


def calibration(dataset: Dataset, image: ImageSpec, progress: Progress = Silent()) -> NDArray[np.uint8]:
    """Prepare a seeded choice of training images, uint8 [N, R, R, 3]; raises DataError where there are none."""
    examples = some(dataset.of("train"), CALIBRATION_IMAGES)
    if not examples:
        raise DataError(f"{dataset.root} has no image left to calibrate on; give more images")
    return prepared(dataset, examples, image, progress=progress)


def _require(formats: tuple[str, ...], precision: Precision, io: Io) -> None:
    """Raise UsageError for a precision that a format or the ends cannot be in: before anything is written."""
    for name in formats:
        if reason := refusal(name, precision):
            raise UsageError(reason)
    if io != "mixed" and precision != "int8":
        raise UsageError(f"--io {io} is for int8 nets: add --precision int8")


def _rounded(subject: Subject, precision: Precision, progress: Progress) -> Graph:
    """Return the graph in the precision asked for, but for float16, which is rounded last."""
    if subject.whole is not None and precision == "int8":
        progress.say("the file's own whole numbers are kept")
        return subject.whole
    if precision in ("float", "float16"):
        return subject.graph
    if precision.startswith(PALETTE):
        return palettized(subject.graph, int(precision.removeprefix(PALETTE)))
    images = calibration(subject.images(), subject.manifest.image, progress)
    return compress(subject.graph, images, progress=progress).graph


def _settled(subject: Subject, graph: Graph, wanted: Abstain, progress: Progress) -> tuple[Graph, Manifest]:
    """Settle temperature and threshold on a run's validation images; a file keeps what it says of itself."""
    manifest = subject.manifest
    examples = some(subject.dataset.of("val"), TRUST_IMAGES) if subject.dataset is not None else []
    if subject.trained is None or subject.dataset is None or not examples:
        if subject.trained is not None and wanted == "auto":
            progress.say("the file never refuses: without the run's validation images no threshold can be chosen")
        if wanted == "auto":
            return graph, manifest
        return graph, replace(manifest, abstain_below=None if wanted == "off" else wanted, refusal=None)
    truth = labels_of(examples)
    found = answer(graph, prepared(subject.dataset, examples, manifest.image, progress=progress))
    settled = settle(graph, found, truth, folded=subject.trained.temperature)
    threshold = threshold_for(wanted, settled.probabilities, truth)
    progress.say(reason_of(wanted, threshold))
    if threshold is None:
        return settled.graph, manifest
    return settled.graph, replace(manifest, abstain_below=threshold.below, refusal=threshold.refusal)


def _tiny(subject: Subject) -> tuple[str, ...]:
    """Return the probes' images: validation images, or noise where there are none."""
    examples = subject.dataset.of("val")[:PROBES] if subject.dataset is not None else ()
    if subject.dataset is None or not examples:
        return stand_in_images()
    return thumbnails(prepared(subject.dataset, examples, subject.manifest.image))


def _beside_it(path: Path) -> tuple[Path, ...]:
    """Return the file that a format writes beside the one that is named."""
    return tuple(path.with_suffix(more) for suffix, more in ((".c", ".h"), (".xml", ".bin")) if path.suffix == suffix)


def _beside(source: Path) -> Path:
    return source.with_name(f"{source.stem}-export") if source.is_file() else source / "export"
