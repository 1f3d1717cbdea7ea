"""What frozen features of the weights at hand tell of the user's images: one pass each, heads in seconds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pocketvision.budget.space import Space
from pocketvision.cost.count import count
from pocketvision.cost.graphs import graph_at
from pocketvision.probe.depths import DepthBackbone
from pocketvision.probe.features import ProbeImages, extract
from pocketvision.probe.heads import Head, LabeledFeatures, best_logistic, best_sigmoid
from pocketvision.progress import Progress
from pocketvision.tasks import load as load_task
from pocketvision.tasks import spec_for
from pocketvision.train.device import device_for
from pocketvision.train.inputs import Loaded, image_spec
from pocketvision.values import CropMode, Example, ModelSpec, Probed, Score
from pocketvision.weights.load import Weights

T = TypeVar("T")
Rows = NDArray[np.float32]
Targets = NDArray[np.int64]
IMAGES, JUDGED = 800, 400
"""So many training and validation images at most are shown to frozen nets."""
DEPTHS = 7
"""So many depths of a net are judged."""
LOWER = 0.7
"""The second resolution, as a share of the largest."""


@dataclass(frozen=True, eq=False)
class Given:
    """Weights at hand, read."""

    origin: str
    """Name of the file."""
    path: Path
    digest: str
    weights: Weights

    @property
    def spec(self) -> ModelSpec:
        """Return the net that they are of."""
        return self.weights.spec


def probe(
    given: Sequence[Given], space: Space, loaded: Loaded, *, crop: CropMode, device: str, progress: Progress
) -> tuple[Probed, ...]:
    """Fit heads on frozen features of each net at several depths and resolutions of a space, whole widths only.

    They are judged by the task's own metric. Nothing is told where there are too few images to learn from.
    """
    dataset, spec = loaded.dataset, spec_for(loaded.dataset)
    train, val = some(dataset.of("train"), IMAGES), some(dataset.of("val"), JUDGED)
    task = load_task(spec.name)
    if not val or not _teaches(task.targets(train), task.targets(val), dataset.labels):
        return ()
    backbones = [backbone for one in given for backbone in _backbones(one, space, crop)]
    images = ProbeImages(dataset, (*train, *val), loaded.decoded)
    found = extract([one.backbone for one in backbones], images, device=device_for(device), progress=progress)
    probed: list[Probed] = []
    for one, features in zip(backbones, found, strict=True):
        rows, judged = features.of(train), features.of(val)
        for depth, columns in one.backbone.columns.items():
            shown = rows[:, columns], judged[:, columns]
            head = _head(shown, (task.targets(train), task.targets(val)), len(dataset.labels))
            answers = task.probabilities(head.logits(shown[1]), spec)
            score = task.score(answers, task.targets(val), spec)
            probed.append(_record(one, depth, score, len(dataset.labels)))
    return tuple(probed)


def _teaches(train: Targets, val: Targets, labels: Sequence[str]) -> bool:
    """Tell whether there are images of every class, or, of attributes, both of some to learn and some to judge."""
    if train.ndim == 1:
        return len(set(train.tolist())) == len(labels)
    learned = (train == 1).any(axis=0) & (train == 0).any(axis=0)
    return bool((learned & (val == 1).any(axis=0)).any())


def _head(features: tuple[Rows, Rows], targets: tuple[Targets, Targets], num_classes: int) -> Head:
    """Fit a head on training features, its strength chosen on the others: of classes, or of attributes."""
    (rows, judged), (truth, known) = features, targets
    if truth.ndim == 1:
        return best_logistic(LabeledFeatures(rows, truth, num_classes), judged, known)
    return best_sigmoid(rows, truth, judged, known)


@dataclass(frozen=True, eq=False)
class _Reading:
    given: Given
    backbone: DepthBackbone


def _backbones(one: Given, space: Space, crop: CropMode) -> list[_Reading]:
    """Return the net at the largest resolution that is considered and at a lower one, to be read at some depths."""
    rows = rows_of(space, one.origin)
    specs = {rows.spec(row).depth for row in range(len(rows))}
    depths = sorted(specs - {None, one.spec.depth}, key=lambda depth: depth or 0)
    chosen = [*_spread(depths, DEPTHS - 1), one.spec.depth]
    return [
        _Reading(one, DepthBackbone(one.weights, one.digest, image_spec(side, crop, one.weights), tuple(chosen)))
        for side in probed_sides(rows)
    ]


def rows_of(space: Space, origin: str) -> Space:
    """Return the settings that begin with weights of this name."""
    return space.rows(np.array([trunk.origin == origin for trunk in space.trunks], bool)[space.trunk])


def probed_sides(rows: Space) -> list[int]:
    """Return the largest resolution of some settings, and a lower one where there is one; none of no settings."""
    sides = sorted({int(side) for side in rows.resolution})
    lower = [min(sides, key=lambda side: abs(side - LOWER * sides[-1]))] if sides else []
    return sorted({*sides[-1:], *lower}, reverse=True)


def _spread(items: Sequence[T], count: int) -> list[T]:
    """Pick some of the items evenly, the last one among them."""
    places = np.unique(np.linspace(len(items) - 1, 0, min(count, len(items))).round().astype(int)) if items else ()
    return [items[place] for place in places]


def some(examples: Sequence[Example], count: int) -> tuple[Example, ...]:
    """Pick some examples evenly, in their order, so that every class keeps its share."""
    ordered = sorted(examples, key=lambda one: (str(one.target), one.sha256))
    return tuple(_spread(ordered, count))


def _record(one: _Reading, depth: int | None, score: Score, num_classes: int) -> Probed:
    own = one.given.spec
    spec = replace(own, depth=depth, resolution=one.backbone.image.resolution, num_classes=num_classes)
    cost = count(graph_at(spec))
    return Probed(one.given.origin, spec, cost.macs, cost.params, score)
