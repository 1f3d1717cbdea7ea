"""The verb `compress`: what int8 costs a trained net, by steps and by layers; `export` is what writes the file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.compress import DEFAULT_STEPS, Compressed, check_steps, weight_bytes
from pocketvision.compress.compress import compress as compress_graph
from pocketvision.compress.layers import LayerLoss, layer_losses
from pocketvision.data.arrays import labels_of, prepared
from pocketvision.data.splits import read_dataset
from pocketvision.export.verb import calibration
from pocketvision.files import read_json
from pocketvision.graph.graph import Graph
from pocketvision.graph.run import Images
from pocketvision.graph.run import run as answer
from pocketvision.metrics.accuracy import accuracy
from pocketvision.progress import Progress, Silent
from pocketvision.values import Accuracy, Health

MOST_JUDGED = 500
"""Validation pictures, evenly spread; the numpy reference answers some 40 a second."""
FOR_LAYERS = 25
"""Of those, for the losses of layers, whose time grows with the square of the layers."""


@dataclass(frozen=True)
class Stage:
    """The net after some steps, judged on validation pictures."""

    steps: str
    weight_bytes: int
    validation: Accuracy
    same_answer: float
    """Share of pictures, 0..1, on which it names the float net's class."""


@dataclass(frozen=True)
class Compressing:
    """What `compress` found."""

    run: str
    stages: list[Stage]
    """The float net, int8 by itself, and int8 with the chosen steps."""
    layers: list[LayerLoss]
    """Of the last stage, in running order."""


def compress(run: str | Path, *, steps: str = ",".join(DEFAULT_STEPS), progress: Progress = Silent()) -> Compressing:
    """Make the best net of a training's folder int8 by `steps`, and tell what that costs on its validation pictures.

    `steps` are names with commas out of equalize, ranges, int8 and bias; `export` takes all four. Nothing is
    written. Raises UnknownName for another step, UsageError where `int8` is missing.
    """
    from pocketvision.graph.trace import trace
    from pocketvision.train.job import trained_net

    chosen = tuple(step.strip() for step in steps.split(","))
    check_steps(chosen)
    folder = Path(run)
    net, trained = trained_net(folder)
    labels = tuple((folder / "labels.txt").read_text(encoding="utf-8").splitlines())
    root = Path(read_json(Health, folder / "check.json").root)
    dataset = read_dataset(root, labels, folder / "splits.csv", progress=progress)
    examples = dataset.of("val")
    examples = examples[:: -(-len(examples) // MOST_JUDGED)]
    pictures = prepared(dataset, examples, trained.image, progress=progress)
    plain, measured = trace(net, trained.image), calibration(dataset, trained, progress)
    done = {way: compress_graph(plain, measured, steps=way, progress=progress) for way in (("int8",), chosen)}
    losses = _losses(done[chosen], pictures, progress)
    graphs = {"float": plain} | {", ".join(way): compressed.graph for way, compressed in done.items()}
    return Compressing(folder.as_posix(), _judged(graphs, pictures, labels_of(examples)), losses)


def _losses(done: Compressed, pictures: Images, progress: Progress) -> list[LayerLoss]:
    few = pictures[:: -(-len(pictures) // FOR_LAYERS)]
    return list(layer_losses(done.plain, done.graph, few, progress=progress))


def _judged(graphs: dict[str, Graph], pictures: Images, truth: NDArray[np.int64]) -> list[Stage]:
    answers = {name: answer(graph, pictures) for name, graph in graphs.items()}
    exact = answers["float"].argmax(axis=1)
    return [
        Stage(
            name,
            weight_bytes(graphs[name]),
            accuracy(found, truth),
            float((found.argmax(axis=1) == exact).mean()),
        )
        for name, found in answers.items()
    ]
