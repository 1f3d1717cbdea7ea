"""The int8 file made small to send: weights chosen by what they cost, as far as no answer is lost, or a limit asks."""

import math
import os
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.search import STRENGTHS, RateSearch
from pocketvision.export.calibrate import RECOVERY_IMAGES, SENSITIVITY_IMAGES, calibration
from pocketvision.export.chosen import LEARNING_S, Recovery
from pocketvision.export.onnx import to_bytes
from pocketvision.export.smaller import Taken, trials_of
from pocketvision.fit.weighing import content_of
from pocketvision.graph.graph import Graph
from pocketvision.metrics.paired import as_right, paired
from pocketvision.packing import DEFLATE, packed_bytes
from pocketvision.progress import Progress
from pocketvision.runtime.onnx import answer_of
from pocketvision.tasks import load
from pocketvision.values import Budget, Dataset, TaskSpec, Trained, Trial

BATCH = 32
Rights = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ValidatedNet:
    """A trained net, and the validation images that it answers."""

    plain: Graph
    """In float."""
    small: Graph
    """In int8, weights as rounded."""
    trained: Trained
    spec: TaskSpec
    images: NDArray[np.uint8]
    truth: NDArray[np.int64]
    _known: dict[int, tuple[Graph, Rights]] = field(default_factory=dict)
    """By the graph's identity, which is held so that no other gets it."""

    def right(self, graph: Graph) -> Rights:
        """Tell which answers of a graph's file are right."""
        if id(graph) not in self._known:
            self._known[id(graph)] = graph, self._judged(graph)
        return self._known[id(graph)][1]

    def _judged(self, graph: Graph) -> Rights:
        answer = answer_of(to_bytes(graph), threads=os.cpu_count() or 1)
        found = np.concatenate([answer(self.images[s : s + BATCH]) for s in range(0, len(self.images), BATCH)])
        task = load(self.spec.name)
        return np.asarray(task.decide(found, self.spec).choices == task.decided(self.truth, self.spec)).ravel()

    def sent(self, graph: Graph, compressor: str) -> int:
        """Return the bytes of a graph's file as it is sent."""
        return packed_bytes(content_of(graph, self.trained, self.spec, precision="int8"), compressor)


@dataclass(frozen=True, eq=False)
class Lightened:
    """The int8 graph that is delivered, and what was tried on the way to it."""

    graph: Graph
    trials: tuple[Trial, ...] = ()


def lighter(
    net: ValidatedNet, dataset: Dataset, budget: Budget, *, within_s: float = math.inf, progress: Progress
) -> Lightened:
    """Return the int8 graph of the strongest setting that answers as well as plain int8 but for what chance explains.

    A limit of the download may ask for a stronger one, whose integers then learn from the float net, for `within_s`
    seconds at most, and never longer than some minutes. Where every one costs accuracy, and none is asked for, plain
    int8 stays.
    """
    images = calibration(dataset, net.trained.image, progress, most=SENSITIVITY_IMAGES)
    search, before = RateSearch(net.plain, images, progress=progress), net.right(net.small)
    free = place = search.strongest(lambda graph: as_right(before, net.right(graph)))
    compressor, allowed = budget.compressor or DEFLATE, budget.limits.get("max_download")
    if allowed is not None and (free is None or net.sent(search.at(free).graph, compressor) > allowed):
        place = search.weakest(lambda graph: net.sent(graph, compressor) <= allowed)
    if place is None:
        progress.say("weights are as rounded: to choose them by their bytes costs accuracy")
        return _lightened(net, search, Taken(net.small, None), compressor)
    graph = search.at(place).graph
    if place != free:
        few = partial(calibration, dataset, net.trained.image, progress, most=RECOVERY_IMAGES)
        learned = Recovery(search, net.right, few, min(within_s, LEARNING_S)).best_at(place, before).graph
        graph = learned if allowed is None or net.sent(learned, compressor) <= allowed else graph
    sizes = [net.sent(each, compressor) for each in (net.small, graph)]
    forced = "" if place == free else ", as the limit of the download asks"
    progress.say(
        f"weights chosen at strength {STRENGTHS[place]:.3g}{forced}: {sizes[0]:,} bytes become {sizes[1]:,} under "
        f"{compressor}; beside plain int8 {paired(net.right(graph), before)}"
    )
    return _lightened(net, search, Taken(graph, STRENGTHS[place]), compressor)


def _lightened(net: ValidatedNet, search: RateSearch, taken: Taken, compressor: str) -> Lightened:
    trials = trials_of(
        search,
        net.small,
        taken,
        weigh=lambda graph: net.sent(graph, compressor),
        judge=lambda graph: float(net.right(graph).mean()),
    )
    return Lightened(taken.graph, trials)
