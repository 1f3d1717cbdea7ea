"""The verb `compress`: what int8 costs a trained net, as a whole and layer by layer; a file that is small to send."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.budget.limits import LIMITS, sent_under
from pocketvision.clock import seconds
from pocketvision.compress.compress import Compressed
from pocketvision.compress.compress import compress as compress_graph
from pocketvision.compress.layers import LayerLoss, layer_losses
from pocketvision.compress.ledger import LedgerEntry
from pocketvision.compress.search import STRENGTHS, RateSearch
from pocketvision.compress.steps.named import STEPS_THAT_LEARN, STEPS_THAT_WEIGH, steps_named
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.compress.steps.share import Share
from pocketvision.compress.steps.slim import Slim
from pocketvision.compress.steps.step import CompressionStep
from pocketvision.data.arrays import prepared
from pocketvision.errors import BudgetMissed, DataError, UsageError
from pocketvision.export.calibrate import CALIBRATION_IMAGES, RECOVERY_IMAGES, SENSITIVITY_IMAGES, calibration
from pocketvision.export.chosen import Recovery
from pocketvision.export.deep_compression import NET, SUFFIX, beside, write_net
from pocketvision.export.onnx import to_bytes
from pocketvision.export.smaller import Taken, place_within, sent, trials_of
from pocketvision.export.source import OpenedSource, open_source
from pocketvision.export.write import Exported, formats_of, require_packages
from pocketvision.files import claim
from pocketvision.graph.graph import Graph
from pocketvision.graph.run import Images
from pocketvision.graph.run import run as answer
from pocketvision.packing import DEFLATE
from pocketvision.progress import Progress
from pocketvision.runtime import download_bytes
from pocketvision.runtime.onnx import answer_of
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import CompressOptions, ExportOptions
from pocketvision.tasks import load, spec_of
from pocketvision.values import Dataset, Example, Manifest, Precision, Score, TaskSpec, Trial
from pocketvision.verbs.export import deliver, output_of

MOST_JUDGED = 500
"""Validation images, evenly spread; the numpy reference answers some 40 a second."""
FOR_LAYERS = 25
"""Of those, for the losses of layers, whose time grows with the square of the layers."""
BATCH = 20
_LEARNING_S = {"auto": math.inf, "off": 0.0}
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

    `steps` are names with commas. `export` takes equalize, ranges, int8 and bias. Beside these, `slim=SHARE` cuts whole
    channels until so much of the multiply-adds is left and lets the others learn from the uncut net, `prune=SHARE`
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
    chosen, wanted = steps_named(options.steps), _wanted(options)
    _require_writable(options, chosen)
    opened = open_source(options.source, options.data, labels=options.labels, progress=options.progress)
    judged = _judged(opened, options.progress)
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
    smaller = _smaller(replace(opened, graph=begun), judged, wanted, options)
    graphs |= {", ".join(entry.step for entry in smaller.compressed.ledger[1:]): smaller.compressed.graph}
    return replace(
        _told(options, graphs, smaller.compressed, judged),
        file=smaller.exported.file,
        download_bytes=download_bytes(Path(smaller.exported.file), wanted.compressor),
        compressor=wanted.compressor,
        strength=smaller.strength,
        trials=smaller.trials,
    )


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


@dataclass(frozen=True)
class _Wanted:
    """What is asked of a file: bytes, or points that it may lose."""

    allowed: float | None
    compressor: str
    max_drop: float | None


def _wanted(options: CompressOptions) -> _Wanted | None:
    if options.to is None and options.max_drop is None:
        return None
    if options.to is not None and options.max_drop is not None:
        raise UsageError("--to asks for the best file of a size, --max-drop for the smallest of a loss; give one")
    _learning_s(options)
    amount, compressor = sent_under(options.to)
    allowed = None if options.to is None else LIMITS["max_download"].unit.read("to", amount)
    return _Wanted(allowed, compressor or DEFLATE, options.max_drop)


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


@dataclass(frozen=True, eq=False)
class _Judged:
    """Images that nets are judged on."""

    images: Images
    truth: NDArray[np.int64] | None
    exact: NDArray[np.float32]
    """The float net's answers."""
    spec: TaskSpec

    def right(self, graph: Graph) -> float:
        """Return a graph's accuracy, or how many answers are the float net's where there are no labels; 0..1."""
        return self._score(self._answers(graph))

    @property
    def float_right(self) -> float:
        """Return the same of the float net."""
        return self._score(self.exact)

    def _score(self, found: NDArray[np.float32]) -> float:
        if self.truth is not None:
            return load(self.spec.name).score(found, self.truth, self.spec).value
        return float(self.alike(found, self.exact).mean())

    def rights(self, graph: Graph) -> NDArray[np.bool_]:
        """Tell which answers are right, or the float net's where there are no labels."""
        return self._as_wanted(self._answers(graph))

    @property
    def float_rights(self) -> NDArray[np.bool_]:
        """Tell which answers of the float net are right; all where there are no labels."""
        return self._as_wanted(self.exact)

    def _as_wanted(self, found: NDArray[np.float32]) -> NDArray[np.bool_]:
        task = load(self.spec.name)
        exact = task.decide(self.exact, self.spec).choices
        wanted = exact if self.truth is None else task.decided(self.truth, self.spec)
        return np.asarray(task.decide(found, self.spec).choices == wanted).ravel()

    def _answers(self, graph: Graph) -> NDArray[np.float32]:
        ask = answer_of(to_bytes(graph), threads=os.cpu_count() or 1)
        return np.concatenate([ask(self.images[s : s + BATCH]) for s in range(0, len(self.images), BATCH)])

    def alike(self, ones: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the share of each image's decisions that two nets' answers agree on [N]."""
        task = load(self.spec.name)
        first, second = (task.decide(found, self.spec).choices for found in (ones, others))
        shares: NDArray[np.float64] = (first == second).reshape(len(ones), -1).mean(axis=1)
        return shares


def _judged(opened: OpenedSource, progress: Progress) -> _Judged:
    """Prepare the images; what a run's file would have settled on them, such as the score of a box, is settled too."""
    dataset, manifest, spec = opened.images(), opened.manifest, spec_of(opened.manifest)
    examples = dataset.of("val")
    if not examples:
        raise DataError(f"{dataset.root} has no image left to judge on; give more images")
    examples = examples[:: -(-len(examples) // MOST_JUDGED)]
    images = prepared(dataset, examples, manifest.image, progress=progress)
    truth, exact = _truth(dataset, examples, manifest), answer(opened.graph, images)
    if truth is not None and not spec.thresholds:
        spec = load(spec.name).settle(exact, truth, spec)
    return _Judged(images, truth, exact, spec)


@dataclass(frozen=True, eq=False)
class _Smaller:
    compressed: Compressed
    strength: float
    exported: Exported
    trials: tuple[Trial, ...]


def _smaller(opened: OpenedSource, judged: _Judged, wanted: _Wanted, options: CompressOptions) -> _Smaller:
    """Search the strength and write the file; where that became larger than weighed, take the next strength."""
    dataset, image, progress = opened.images(), opened.manifest.image, options.progress
    search = RateSearch(opened.graph, calibration(dataset, image, progress, most=SENSITIVITY_IMAGES), progress=progress)
    images = partial(calibration, dataset, image, progress, most=RECOVERY_IMAGES)
    recovery = Recovery(search, judged.rights, images, _learning_s(options))
    weigh = partial(sent, manifest=opened.manifest, name=formats_of(options.format)[0], compressor=wanted.compressor)
    place, done = _chosen(recovery, judged, wanted, weigh)
    exported = deliver(opened, done.graph, _asked(options, "int8"))
    while wanted.allowed is not None and place < search.last:
        if download_bytes(Path(exported.file), wanted.compressor) <= wanted.allowed:
            break
        place += 1
        done = recovery.best_at(place, judged.float_rights)
        exported = deliver(opened, done.graph, _asked(options, "int8"))
    taken = Taken(done.graph, STRENGTHS[place])
    trials = trials_of(search, search.rounded(), taken, weigh=weigh, judge=judged.right)
    return _Smaller(done, STRENGTHS[place], exported, trials)


def _chosen(
    recovery: Recovery, judged: _Judged, wanted: _Wanted, weigh: Callable[[Graph], int]
) -> tuple[int, Compressed]:
    """Return the place of the strength that is asked for, and its net."""
    if wanted.allowed is not None:
        place = place_within(recovery.search, weigh, wanted.allowed)
        return place, recovery.best_at(place, judged.float_rights)
    most, before = wanted.max_drop or 0.0, judged.float_right

    def keeps(graph: Graph) -> bool:
        return 100 * (before - judged.right(graph)) <= most + 1e-9

    weakest = recovery.search.strongest(keeps)
    if weakest is None:
        raise BudgetMissed(f"no int8 weights lose {most:g} points or less; allow more with --max-drop")
    return recovery.beyond(weakest, keeps)


def _learning_s(options: CompressOptions) -> float:
    """Return how long a net may learn; raises UsageError for what is no time."""
    if options.recover in _LEARNING_S:
        return _LEARNING_S[options.recover]
    try:
        return seconds(options.recover)
    except UsageError:
        raise UsageError(f"--recover takes auto, off, or a time such as 3m, not '{options.recover}'") from None


def _truth(dataset: Dataset, examples: Sequence[Example], manifest: Manifest) -> NDArray[np.int64] | None:
    """Return the true outputs by the labels' names; None where the images have none, or others than the net."""
    task = load(spec_of(manifest).name)
    if not dataset.labels or set(dataset.labels) - set(manifest.labels) or dataset.kind != task.KIND:
        return None
    truth: NDArray[np.int64] = task.targets(examples)
    if truth.ndim > 1:
        return truth if dataset.labels == manifest.labels else None
    return np.array([manifest.labels.index(label) for label in dataset.labels])[truth]


def _losses(done: Compressed, judged: _Judged, progress: Progress) -> list[LayerLoss]:
    few = judged.images[:: -(-len(judged.images) // FOR_LAYERS)]
    return list(layer_losses(done.plain, done.graph, few, alike=judged.alike, progress=progress))


def _told(options: CompressOptions, graphs: dict[str, Graph], last: Compressed, judged: _Judged) -> Compressing:
    """Judge every graph, and the layers of the last steps."""
    task, spec = load(judged.spec.name), judged.spec
    answers = {
        name: judged.exact if name == "float" else answer(graph, judged.images) for name, graph in graphs.items()
    }
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
