"""The verb `compress`: what int8 costs a net, by steps and by layers; `export` is what writes the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.compress import Compressed, steps_named
from pocketvision.compress.compress import compress as compress_graph
from pocketvision.compress.layers import LayerLoss, layer_losses
from pocketvision.compress.ledger import weight_bytes
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.data.arrays import prepared
from pocketvision.errors import DataError
from pocketvision.export.calibrate import calibration
from pocketvision.export.source import open_source
from pocketvision.graph.graph import Graph
from pocketvision.graph.run import Images
from pocketvision.graph.run import run as answer
from pocketvision.progress import Progress
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import CompressOptions
from pocketvision.tasks import load, spec_of
from pocketvision.values import Dataset, Example, Manifest, Score, TaskSpec

MOST_JUDGED = 500
"""Validation images, evenly spread; the numpy reference answers some 40 a second."""
FOR_LAYERS = 25
"""Of those, for the losses of layers, whose time grows with the square of the layers."""


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
    """Share of images, 0..1, on which it names the float net's class."""


@dataclass(frozen=True)
class Compressing:
    """What `compress` found."""

    source: str
    """Path of the run's folder, or of the file."""
    stages: list[CompressionStage]
    """The float net, int8 by itself, int8 with the chosen steps, and a quantized file's own integers."""
    images: int
    """How many it was judged on."""
    layers: list[LayerLoss]
    """Of the chosen steps, in running order."""


@verb(CompressOptions)
def compress(options: CompressOptions) -> Compressing:
    """Make the best net of a training's folder, or the net of a file, int8 by `steps`, and tell what that costs.

    `steps` are names with commas out of equalize, ranges, int8 and bias; `export` takes all four. It is judged on the
    run's validation images, which `data` finds if they were moved. A file needs `data`, the folder of images to
    calibrate and to judge on; accuracies are
    told where the folder has classes of the file's names, or of those in `labels`, a text with one a line. Nothing is
    written. Raises UnknownName for another step, UsageError where `int8` or a file's images are missing.
    """
    chosen = steps_named(options.steps)
    opened = open_source(options.source, options.data, labels=options.labels, progress=options.progress)
    dataset, plain = opened.images(), opened.graph
    measured = calibration(dataset, opened.manifest.image, options.progress)
    examples = dataset.of("val")
    if not examples:
        raise DataError(f"{dataset.root} has no image left to judge on; give more images")
    examples = examples[:: -(-len(examples) // MOST_JUDGED)]
    images = prepared(dataset, examples, opened.manifest.image, progress=options.progress)
    ways = {", ".join(step.name for step in way): way for way in ((Quantize(),), chosen)}
    done = {name: compress_graph(plain, measured, steps=way, progress=options.progress) for name, way in ways.items()}
    losses = _losses(done[list(ways)[-1]], images, options.progress)
    graphs = {"float": plain} | {name: compressed.graph for name, compressed in done.items()}
    if opened.whole is not None:
        graphs["as in the file"] = opened.whole
    truth = _truth(dataset, examples, opened.manifest)
    return Compressing(
        Path(options.source).as_posix(), _judged(graphs, images, truth, spec_of(opened.manifest)), len(images), losses
    )


def _truth(dataset: Dataset, examples: Sequence[Example], manifest: Manifest) -> NDArray[np.int64] | None:
    """Return the true outputs by the labels' names; None where the images have none, or others than the net."""
    task = load(spec_of(manifest).name)
    if not dataset.labels or set(dataset.labels) - set(manifest.labels) or dataset.kind != task.KIND:
        return None
    truth: NDArray[np.int64] = task.targets(examples)
    if truth.ndim > 1:
        return truth if dataset.labels == manifest.labels else None
    return np.array([manifest.labels.index(label) for label in dataset.labels])[truth]


def _losses(done: Compressed, images: Images, progress: Progress) -> list[LayerLoss]:
    few = images[:: -(-len(images) // FOR_LAYERS)]
    return list(layer_losses(done.plain, done.graph, few, progress=progress))


def _judged(
    graphs: dict[str, Graph], images: Images, truth: NDArray[np.int64] | None, spec: TaskSpec
) -> list[CompressionStage]:
    task = load(spec.name)
    answers = {name: answer(graph, images) for name, graph in graphs.items()}
    exact = task.decide(answers["float"], spec).choices
    return [
        CompressionStage(
            name,
            weight_bytes(graphs[name]),
            None if truth is None else task.score(found, truth, spec),
            float((task.decide(found, spec).choices == exact).mean()),
        )
        for name, found in answers.items()
    ]
