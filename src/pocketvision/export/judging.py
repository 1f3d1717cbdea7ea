"""Images that the nets of a source are judged on, beside the float net's own answers."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.arrays import prepared
from pocketvision.errors import DataError
from pocketvision.export.onnx import to_bytes
from pocketvision.export.source import OpenedSource
from pocketvision.graph.graph import Graph
from pocketvision.graph.run import Images
from pocketvision.progress import Progress
from pocketvision.runtime.onnx import answer_of
from pocketvision.tasks import load, spec_of
from pocketvision.values import Dataset, Example, Manifest, TaskSpec

MOST_JUDGED = 500
"""Validation images, evenly spread."""
BATCH = 20


@dataclass(frozen=True, eq=False)
class JudgedImages:
    """Images that nets are judged on."""

    images: Images
    truth: NDArray[np.int64] | None
    exact: NDArray[np.float32]
    """The float net's answers."""
    spec: TaskSpec

    def right(self, graph: Graph) -> float:
        """Return a graph's accuracy, or how many answers are the float net's where there are no labels; 0..1."""
        return self._score(self.answers(graph))

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
        return self._as_wanted(self.answers(graph))

    @property
    def float_rights(self) -> NDArray[np.bool_]:
        """Tell which answers of the float net are right; all where there are no labels."""
        return self._as_wanted(self.exact)

    def _as_wanted(self, found: NDArray[np.float32]) -> NDArray[np.bool_]:
        task = load(self.spec.name)
        exact = task.decide(self.exact, self.spec).choices
        wanted = exact if self.truth is None else task.decided(self.truth, self.spec)
        return np.asarray(task.decide(found, self.spec).choices == wanted).ravel()

    def answers(self, graph: Graph) -> NDArray[np.float32]:
        """Return what a graph answers to the images."""
        return answers_of(graph, self.images)

    def alike(self, ones: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the share of each image's decisions that two nets' answers agree on [N]."""
        task = load(self.spec.name)
        first, second = (task.decide(found, self.spec).choices for found in (ones, others))
        shares: NDArray[np.float64] = (first == second).reshape(len(ones), -1).mean(axis=1)
        return shares


def answers_of(graph: Graph, images: Images) -> NDArray[np.float32]:
    """Return what a graph answers to images by onnxruntime, ten times as fast as the reference."""
    ask = answer_of(to_bytes(graph), threads=os.cpu_count() or 1)
    return np.concatenate([ask(images[start : start + BATCH]) for start in range(0, len(images), BATCH)])


def judged_images(opened: OpenedSource, progress: Progress) -> JudgedImages:
    """Prepare the images; what a run's file would have settled on them, such as the score of a box, is settled too."""
    dataset, manifest, spec = opened.images(), opened.manifest, spec_of(opened.manifest)
    examples = dataset.of("val")
    if not examples:
        raise DataError(f"{dataset.root} has no image left to judge on; give more images")
    examples = examples[:: -(-len(examples) // MOST_JUDGED)]
    images = prepared(dataset, examples, manifest.image, progress=progress)
    truth, exact = _truth(dataset, examples, manifest), answers_of(opened.graph, images)
    if truth is not None and not spec.thresholds:
        spec = load(spec.name).settle(exact, truth, spec)
    return JudgedImages(images, truth, exact, spec)


def _truth(dataset: Dataset, examples: Sequence[Example], manifest: Manifest) -> NDArray[np.int64] | None:
    """Return the true outputs by the labels' names; None where the images have none, or others than the net."""
    task = load(spec_of(manifest).name)
    if not dataset.labels or set(dataset.labels) - set(manifest.labels) or dataset.kind != task.KIND:
        return None
    truth: NDArray[np.int64] = task.targets(examples)
    if truth.ndim > 1:
        return truth if dataset.labels == manifest.labels else None
    return np.array([manifest.labels.index(label) for label in dataset.labels])[truth]
