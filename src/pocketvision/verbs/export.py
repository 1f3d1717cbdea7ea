"""The verb `export`: a finished training, or the net of a file, as a file for a runtime."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

from pocketvision.compress.compress import compress
from pocketvision.compress.half import halved
from pocketvision.compress.palette import palettized
from pocketvision.data.arrays import prepared
from pocketvision.errors import UnknownName, UsageError
from pocketvision.export import SUFFIXES
from pocketvision.export.calibrate import calibration
from pocketvision.export.confidence import Abstain, abstain_of, reason_of, require_refusable, settle, threshold_for
from pocketvision.export.manifest import PROBES, make_probes, stand_in_images, thumbnails
from pocketvision.export.source import OpenedSource, open_delivered, open_source, some
from pocketvision.export.write import (
    Exported,
    Further,
    formats_of,
    refusal,
    require_packages,
    write_graph,
)
from pocketvision.files import claim, user_path
from pocketvision.graph.graph import Graph
from pocketvision.graph.run import run as answer
from pocketvision.graph.storage import STORAGES, Palette
from pocketvision.progress import Progress
from pocketvision.runs import ExportFolder, RunFolder, require_plain
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import ExportOptions
from pocketvision.tasks import load, spec_of
from pocketvision.values import BoxEnds, Io, Manifest, Precision

"""Smallest and largest values of each tensor over 100 training images; more changed nothing measurable."""
CONFIDENCE_IMAGES = 1000
"""Validation images that temperature and threshold are settled on; numpy answers some 40 of them a second."""


@verb(ExportOptions)
def export(options: ExportOptions) -> Exported:
    """Write the best net of a training's folder, or the net of a file, as `<output>/<name>` with the format's suffix.

    `source` is a folder of `train` or `fit`, or a file: a published or delivered `.tflite`, an ONNX file that this
    function wrote, a PyTorch or Keras file, `.safetensors`. `format` is `onnx`, `litert`, `coreml`, `executorch`,
    `openvino` or `c`, or several with commas: the same net in the same numbers, each file opened again and held against
    the reference, as far as this machine can. `precision` is `float` by default; a quantized file keeps its own whole
    numbers, as int8. `float16` halves the bytes of the weights and computes in 32 bits; `palette8`, `palette6`,
    `palette4` and `palette2`, for `coreml` alone, give each layer so many bits' worth of different weights. int8 is
    calibrated on the run's own training images, or on `data`, the folder of images given beside a float file; for a run
    it is where its own lie now, if they were moved, and float needs none. `delivered` takes the numbers of the file
    that `fit` delivered, such as weights that were chosen by their bytes, rather than those of training. `io` makes
    both ends of LiteRT and C files `uint8` or `int8`; `ends` says whether a detector's LiteRT and ONNX files give the
    boxes that are kept or, with `raw`, what is said of every anchor. `abstain` says below which top probability the
    file refuses to answer: `auto` chooses on the run's validation images or keeps the file's own, `off` never refuses,
    or a probability. `labels` is a text with one label a line, for files that hold none. `output` defaults to the run's
    `export` folder, for a file to `<file>-export` beside it, `name` to `model`. Raises UnknownName for an unknown
    format or precision, VerificationFailed where a written file does not answer as the net.
    """
    for name, known in (("io", Io), ("ends", BoxEnds)):
        if getattr(options, name) not in get_args(known):
            raise UnknownName(name, getattr(options, name), get_args(known))
    if options.name is not None:
        require_plain(options.name, "file")
    formats = formats_of(options.format, options.io)
    if options.precision is not None and options.precision not in get_args(Precision):
        raise UnknownName("precision", options.precision, get_args(Precision))
    require_packages(formats)
    wanted = abstain_of(options.abstain)
    opened = _opened(options)
    require_refusable(wanted, spec_of(opened.manifest))
    _require_boxes(opened.manifest, options)
    kept = opened.manifest.precision if options.delivered else "float"
    precision = options.precision or (kept if opened.whole is None else "int8")
    _require(formats, precision, options.io)
    return deliver(opened, _rounded(opened, precision, options.progress), replace(options, precision=precision))


def _opened(options: ExportOptions) -> OpenedSource:
    if not options.delivered:
        return open_source(options.source, options.data, labels=options.labels, progress=options.progress)
    opened = open_delivered(options.source, options.data, progress=options.progress)
    own = opened.manifest.precision
    if options.labels is not None or (options.precision or own) != own:
        raise UsageError(f"--delivered: the file is in {own} and has its labels; leave --precision and --labels away")
    return opened


def deliver(opened: OpenedSource, graph: Graph, options: ExportOptions) -> Exported:
    """Write a graph of a source in its options' formats and precision, each file opened again and checked."""
    formats, precision = formats_of(options.format, options.io), options.precision
    assert precision is not None
    graph, manifest = _settled(opened, graph, abstain_of(options.abstain), options.progress)
    ready = halved(graph) if precision == "float16" else graph
    manifest = replace(
        manifest,
        precision=precision,
        io=options.io,
        ends=options.ends,
        probes=make_probes(ready, manifest.image, _tiny(opened)),
    )
    target = output_of(options.output, options.source)
    paths = [target / f"{options.name or 'model'}{SUFFIXES[each]}" for each in formats]
    claim(target, *ExportFolder.BESIDE, *(part.name for path in paths for part in (path, *_beside_it(path))))
    written = [write_graph(ready, manifest, path) for path in paths]
    for each in written:
        options.progress.say(f"{Path(each.file).name}: {each.checked}")
    first, *others = written
    return replace(first, others=tuple(Further(each.file, each.size_bytes, each.checked) for each in others))


def _require(formats: tuple[str, ...], precision: Precision, io: Io) -> None:
    """Raise UsageError for a precision that a format or types cannot be in: before any writing."""
    for name in formats:
        if reason := refusal(name, precision):
            raise UsageError(reason)
    if io != "mixed" and precision != "int8":
        raise UsageError(f"--io {io} is for int8 nets: add --precision int8")


def _require_boxes(manifest: Manifest, options: ExportOptions) -> None:
    """Raise UsageError where a classifier should give boxes, or a detector whole numbers: before any writing."""
    if manifest.model.detector is None and options.ends != "boxes":
        raise UsageError(
            f"--ends {options.ends} is for detectors, and this is a net for {manifest.task}: leave it away"
        )
    if manifest.model.detector is not None and options.io != "mixed":
        raise UsageError(f"--io {options.io} is for classifiers: boxes are floats, leave it away")


def _rounded(opened: OpenedSource, precision: Precision, progress: Progress) -> Graph:
    """Return the graph in the precision asked for, but for float16, which is rounded last."""
    if opened.whole is not None and precision == "int8":
        progress.say("the file's own whole numbers are kept")
        return opened.whole
    if precision in ("float", "float16"):
        return opened.graph
    if isinstance(stored := STORAGES[precision], Palette):
        return palettized(opened.graph, stored)
    images = calibration(opened.images(), opened.manifest.image, progress)
    return compress(opened.graph, images, progress=progress).graph


def _settled(opened: OpenedSource, graph: Graph, wanted: Abstain, progress: Progress) -> tuple[Graph, Manifest]:
    """Settle temperature and threshold on a run's validation images; a file keeps what it says of itself."""
    manifest = opened.manifest
    examples = some(opened.dataset.of("val"), CONFIDENCE_IMAGES) if opened.dataset is not None else []
    if opened.trained is None or opened.dataset is None or not examples:
        if opened.trained is not None and wanted == "auto":
            progress.say("the file never refuses: without the run's validation images no threshold can be chosen")
        if wanted == "auto":
            return graph, manifest
        return graph, replace(manifest, abstain_below=None if wanted == "off" else wanted, refusal=None)
    spec = spec_of(manifest)
    truth = load(spec.name).targets(examples)
    found = answer(graph, prepared(opened.dataset, examples, manifest.image, progress=progress))
    settled = settle(graph, found, truth, spec, folded=opened.trained.temperature)
    threshold = threshold_for(wanted, settled.probabilities, truth, settled.spec)
    progress.say(reason_of(wanted, threshold, settled.spec))
    manifest = replace(manifest, thresholds=settled.spec.thresholds)
    if threshold is None:
        return settled.graph, manifest
    return settled.graph, replace(manifest, abstain_below=threshold.below, refusal=threshold.refusal)


def _tiny(opened: OpenedSource) -> tuple[str, ...]:
    """Return the probes' images: validation images, or noise where there are none."""
    examples = opened.dataset.of("val")[:PROBES] if opened.dataset is not None else ()
    if opened.dataset is None or not examples:
        return stand_in_images()
    return thumbnails(prepared(opened.dataset, examples, opened.manifest.image))


def _beside_it(path: Path) -> tuple[Path, ...]:
    """Return the file that a format writes beside the one that is named."""
    return tuple(path.with_suffix(more) for suffix, more in ((".c", ".h"), (".xml", ".bin")) if path.suffix == suffix)


def output_of(output: str | Path | None, source: str | Path) -> Path:
    """Return the folder that files go to: by default the run's, or one beside the source file."""
    return _beside(user_path(source)) if output is None else Path(output)


def _beside(source: Path) -> Path:
    return source.with_name(f"{source.stem}-export") if source.is_file() else RunFolder(source).export.path
