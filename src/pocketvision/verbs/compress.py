"""The verb `compress`: what int8 costs a trained net, as a whole and layer by layer; a file that is small to send."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.budget.limits import LIMITS, sent_under
from pocketvision.clock import seconds
from pocketvision.compress.compress import Compressed
from pocketvision.compress.compress import compress as compress_graph
from pocketvision.compress.layers import LayerLoss, layer_losses
from pocketvision.compress.ledger import LedgerEntry
from pocketvision.compress.steps.named import STEPS_THAT_LEARN, STEPS_THAT_WEIGH, steps_named
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.compress.steps.recover import Recover
from pocketvision.compress.steps.share import Share
from pocketvision.compress.steps.slim import Slim
from pocketvision.compress.steps.step import CompressionStep
from pocketvision.errors import UsageError
from pocketvision.export.calibrate import CALIBRATION_IMAGES, RECOVERY_IMAGES, SENSITIVITY_IMAGES, calibration
from pocketvision.export.chosen import LEARNING_S
from pocketvision.export.deep_compression import NET, SUFFIX, beside, write_net
from pocketvision.export.judging import JudgedImages, judged_images
from pocketvision.export.smaller import WantedFile, small_file
from pocketvision.export.source import OpenedSource, open_source
from pocketvision.export.write import formats_of, require_packages
from pocketvision.files import claim
from pocketvision.fit.profiles import default_profile
from pocketvision.graph.graph import Graph
from pocketvision.packing import DEFLATE
from pocketvision.progress import Progress
from pocketvision.runtime import download_bytes
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import CompressOptions, ExportOptions
from pocketvision.tasks import load
from pocketvision.values import Precision, Score, Trial
from pocketvision.verbs.export import deliver, output_of

FOR_LAYERS = 25
"""Of the validation images, for the losses of layers, whose time grows with the square of the layers."""
_LEARNING_S = {"auto": LEARNING_S, "off": 0.0}
_NAME = "small"


@dataclass(frozen=True)
class CompressionStage:
    """The net after some steps, judged on validation images."""

    steps: str
    """Names of the steps."""
    weight_bytes: int
    """Bytes of the weights."""
    validation: Score | None
    """None where the images have no labels of the net's."""
    same_answer: float
    """Share of images, 0..1, on which it decides as the float net does: the class, or how many boxes of each."""
    packed_bytes: int
    """Bytes of the weights after deflate."""


@dataclass(frozen=True)
class Compressing:
    """What `compress` found."""

    source: str
    """Path of the run's folder, or of the file."""
    stages: list[CompressionStage]
    """The float net, int8 by itself, the net after each chosen step that takes weights away and after the last one, a
    quantized file's own integers, the written file of chosen weights."""
    images: int
    """How many it was judged on."""
    layers: list[LayerLoss]
    """Of the last steps, in running order; none where they leave the net in float."""
    file: str | None = None
    """Path of the file that was written; null where none was asked for."""
    download_bytes: int | None = None
    """Bytes of that file as it is sent."""
    compressor: str | None = None
    """What it is packed with on its way."""
    strength: float | None = None
    """How strongly its weights were chosen for the bytes that they cost; null where the steps made it."""
    trials: tuple[Trial, ...] = ()
    """Strengths that were tried on the way to it, the largest download first."""


@verb(CompressOptions)
def compress(options: CompressOptions) -> Compressing:
    """Make the best net of a training's folder, or the net of a file, smaller by `steps`, and tell what that costs.

    `steps` are names with commas. `export` takes equalize, ranges, int8 and bias. Beside these, `slim=0.5` cuts whole
    channels until so much of the multiply-adds is left, `slim=40M` until so many are, `slim=3ms` until the int8 file is
    predicted to take so long here, and lets the others learn from the uncut net, `prune=SHARE`
    leaves out weights by the loss of the answer, `magnitude=SHARE` the smallest of each layer, `share=BITS` lets a
    layer's weights share a few values, `quantize=BITS` is int8 with weights of fewer bits, and `compensate` rounds them
    against each other's errors. It is judged on the run's validation images, which `data` finds if they were moved. A
    file needs `data`, the folder of images to calibrate and to judge on; accuracies are told where the folder has
    classes of the file's names, or of those in `labels`, a text with one a line. Nothing is written, but in three
    cases: `output` gets the net of the steps, as `format` or, of shared weights, as `net`, the layout of Deep
    Compression; `to`, such as '300KB' or '300KB:brotli', writes the file that loses least within that download, and
    `max_drop` the smallest that loses at most so many points of accuracy, or of equal answers where there are no
    labels: their weights are chosen by their loss and the bits that they cost a compressor. Where that loses answers,
    the integers learn from the float net on the training images, without labels: for some minutes, as long as `recover`
    says, such as '3m', or with 'off' not at all. `format` and `name` are as in `export`. Raises UnknownName for another
    step, UsageError where none makes the net smaller or a file's images are missing, BudgetMissed where no choice of
    weights suffices.
    """
    chosen, wanted = _asked_steps(options), _wanted(options)
    _require_writable(options, chosen)
    opened = open_source(options.source, options.data, labels=options.labels, progress=options.progress)
    judged = judged_images(opened, options.progress)
    measured = calibration(opened.images(), opened.manifest.image, options.progress, most=_images_for(chosen))
    plain, done = (
        compress_graph(opened.graph, measured, steps=steps, progress=options.progress)
        for steps in ((Quantize(),), chosen)
    )
    graphs = {"float": opened.graph, Quantize().name: plain.graph, **_stages(done)}
    if opened.whole is not None:
        graphs["as in the file"] = opened.whole
    if wanted is None:
        found = _told(options, graphs, done, judged)
        return (
            found if options.output is None and options.format != NET else _written(found, opened, done.graph, options)
        )
    begun = done.plain if any(isinstance(step, Slim) for step in chosen) else opened.graph
    smaller = small_file(
        replace(opened, graph=begun),
        judged,
        wanted,
        name=formats_of(options.format)[0],
        learning_s=_learning_s(options),
        write=lambda graph: deliver(opened, graph, _asked(options, "int8")),
        progress=options.progress,
    )
    graphs |= {", ".join(entry.step for entry in smaller.compressed.ledger[1:]): smaller.compressed.graph}
    return replace(
        _told(options, graphs, smaller.compressed, judged),
        file=smaller.exported.file,
        download_bytes=download_bytes(Path(smaller.exported.file), wanted.compressor),
        compressor=wanted.compressor,
        strength=smaller.strength,
        trials=smaller.trials,
    )


def _asked_steps(options: CompressOptions) -> tuple[CompressionStep, ...]:
    """Return the steps as they are named, those that learn with their time, and with a latency that is predicted."""
    found, within_s = steps_named(options.steps), _learning_s(options)
    timed = any(isinstance(step, Slim) and step.target.milliseconds for step in found)
    latency = _latency_of(options) if timed else None
    return tuple(
        replace(step, within_s=within_s, latency=latency)
        if isinstance(step, Slim)
        else replace(step, within_s=within_s)
        if isinstance(step, Recover)
        else step
        for step in found
    )


def _latency_of(options: CompressOptions) -> Callable[[Graph], float]:
    """Return what predicts a float graph's milliseconds as an int8 file of the first format asked for."""
    runtime = "litert" if formats_of(options.format)[0] == "litert" else "onnx"
    profile = default_profile("int8", runtime=runtime, progress=options.progress)
    return lambda graph: float(profile.predict([graph]).median_ms[0])


def _images_for(chosen: Sequence[CompressionStep]) -> int:
    """Return how many training images steps need."""
    if any(isinstance(step, STEPS_THAT_LEARN) for step in chosen):
        return RECOVERY_IMAGES
    return SENSITIVITY_IMAGES if any(isinstance(step, STEPS_THAT_WEIGH) for step in chosen) else CALIBRATION_IMAGES


def _require_writable(options: CompressOptions, chosen: Sequence[CompressionStep]) -> None:
    """Raise UsageError where the net of the steps cannot be written as it should be: before any work."""
    if options.format != NET:
        require_packages(formats_of(options.format))
    elif options.to is not None or options.max_drop is not None:
        raise UsageError(f"--format {NET} is for shared weights; --to and --max-drop write files for runtimes")
    elif not isinstance(chosen[-1], Share):
        raise UsageError(f"--format {NET} stores shared weights: let --steps end in share, as in prune=0.5,share=8")


def _wanted(options: CompressOptions) -> WantedFile | None:
    if options.to is None and options.max_drop is None:
        return None
    if options.to is not None and options.max_drop is not None:
        raise UsageError("--to asks for the best file of a size, --max-drop for the smallest of a loss; give one")
    _learning_s(options)
    amount, compressor = sent_under(options.to)
    allowed = None if options.to is None else LIMITS["max_download"].unit.read("to", amount)
    return WantedFile(allowed, compressor or DEFLATE, options.max_drop)


def _stages(done: Compressed) -> dict[str, Graph]:
    """Return the net after each step that takes weights away, and after the last one, by the steps so far."""
    first, *others = done.ledger
    found, names = {}, []
    for entry in others:
        names.append(entry.step)
        if entry is others[-1] or (entry.graph.quant is None and entry.weight_bytes < first.weight_bytes):
            found[", ".join(names)] = entry.graph
    return found


def _written(found: Compressing, opened: OpenedSource, graph: Graph, options: CompressOptions) -> Compressing:
    """Write the net of the steps."""
    if options.format == NET:
        target = output_of(options.output, options.source)
        path = target / f"{options.name or _NAME}{SUFFIX}"
        claim(target, path.name, beside(path).name)
        write_net(graph, opened.manifest, path)
        file = path.as_posix()
    else:
        file = deliver(opened, graph, _asked(options, "float" if graph.quant is None else "int8")).file
    return replace(found, file=file, download_bytes=download_bytes(Path(file)), compressor=DEFLATE)


def _asked(options: CompressOptions, precision: Precision) -> ExportOptions:
    """Return the options of a file's writing."""
    return ExportOptions(
        options.source,
        options.data,
        format=options.format,
        precision=precision,
        output=options.output,
        name=options.name or _NAME,
        labels=options.labels,
        progress=options.progress,
    )


def _learning_s(options: CompressOptions) -> float:
    """Return how long a net may learn; raises UsageError for what is no time."""
    if options.recover in _LEARNING_S:
        return _LEARNING_S[options.recover]
    try:
        return seconds(options.recover)
    except UsageError:
        raise UsageError(f"--recover takes auto, off, or a time such as 3m, not '{options.recover}'") from None


def _losses(done: Compressed, judged: JudgedImages, progress: Progress) -> list[LayerLoss]:
    few = judged.images[:: -(-len(judged.images) // FOR_LAYERS)]
    return list(layer_losses(done.plain, done.graph, few, alike=judged.alike, progress=progress))


def _told(options: CompressOptions, graphs: dict[str, Graph], last: Compressed, judged: JudgedImages) -> Compressing:
    """Judge every graph, and the layers of the last steps."""
    task, spec = load(judged.spec.name), judged.spec
    answers = {name: judged.exact if name == "float" else judged.answers(graph) for name, graph in graphs.items()}
    entries = {name: LedgerEntry(name, graph) for name, graph in graphs.items()}
    stages = [
        CompressionStage(
            name,
            entries[name].weight_bytes,
            None if judged.truth is None else task.score(found, judged.truth, spec),
            float(judged.alike(found, judged.exact).mean()),
            entries[name].packed(),
        )
        for name, found in answers.items()
    ]
    losses = [] if last.graph.quant is None else _losses(last, judged, options.progress)
    return Compressing(Path(options.source).as_posix(), stages, len(judged.images), losses)
