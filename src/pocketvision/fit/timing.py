"""Candidates as files with fresh weights: their bytes, and their time in the delivered runtime."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pocketvision.budget.prediction import predicted_latency
from pocketvision.compress.compress import compress
from pocketvision.compress.stand_in import packs_as_chosen
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.fit.weighing import caller, reference_caller, weighed
from pocketvision.graph.endings import Ends
from pocketvision.graph.graph import Graph, Sigmoid, Softmax
from pocketvision.latency.measure import quick
from pocketvision.metrics.accuracy import wilson
from pocketvision.packing import DEFLATE
from pocketvision.runtime.onnx import runtime_name
from pocketvision.tasks import load, spec_for_net
from pocketvision.train.inputs import SCRATCH
from pocketvision.values import Budget, Candidate, ImageSpec, ModelSpec, Score, TaskSpec, Trained

BITS_OF_FEW, BITS_OF_MANY = 2.5, 4.0
"""Bits a weight at about no loss, where weights are chosen by their bytes: of nets of ten classes or fewer, and of a
thousand (docs/measurements/download.md)."""


def chosen_bits(classes: int) -> float:
    """Return what weights take that are chosen at about no loss; between ten and a thousand classes it is guessed."""
    share = min(max((math.log10(classes) - 1) / 2, 0.0), 1.0)
    return BITS_OF_FEW + share * (BITS_OF_MANY - BITS_OF_FEW)


class Timer:
    """Weighs and times candidates: written with fresh weights, run in the delivered runtime beside the reference.

    Of several formats the largest file counts. Where the budget names the profile of another device, their time there
    is predicted instead.
    """

    def __init__(self, spec: TaskSpec, image: ImageSpec, budget: Budget, *, formats: Sequence[str] = ("onnx",)) -> None:
        self.spec = spec
        self.image = image
        self.budget = budget
        self.formats = formats
        self.reference = reference_caller()

    def weigh(self, candidate: Candidate) -> Candidate:
        """Return a candidate with the bytes and the latency of its file."""
        image = replace(self.image, resolution=candidate.spec.resolution)
        ending = load(self.spec.name).ending(spec_for_net(self.spec, candidate.spec))
        graph = plain = untrained(candidate.spec, image, ending)
        if candidate.precision == "int8":
            noise = np.random.default_rng(0).integers(0, 256, (2, image.resolution, image.resolution, 3), np.uint8)
            graph = compress(graph, noise, steps=(Quantize(),)).graph  # the other steps change no kernel
        splits: dict[str, float | int] = {"seed": 42, "val": 0.15, "test": 0.15}
        trained = Trained(
            candidate.spec,
            image,
            SCRATCH,
            0,
            _stated(self.spec),
            1.0,
            "0" * 64,
            splits,
        )
        compressor, asked = self.budget.compressor or DEFLATE, (candidate.precision, self.formats)
        found = weighed(graph, trained, self.spec, asked, compressor=compressor)
        download = found.download_bytes
        if self._chooses(graph):
            chosen = packs_as_chosen(graph, chosen_bits(candidate.spec.num_classes))
            download = weighed(chosen, trained, self.spec, asked, compressor=compressor).download_bytes
        candidate = replace(candidate, size_bytes=found.size_bytes, download_bytes=download)
        if predicted := predicted_latency(plain, self.budget, candidate.precision):
            return replace(candidate, predicted=predicted)
        run = caller(found.content, image.resolution)
        return replace(candidate, latency=quick(run, self.reference, threads=1, runtime=runtime_name()))

    def _chooses(self, graph: Graph) -> bool:
        """Tell whether weights will be chosen by their bytes, and how many bits they then take is recorded.

        Of detectors it is not: they count as rounded, which is more than they will take.
        """
        answers = isinstance(graph.nodes[-1], Softmax | Sigmoid)
        return graph.quant is not None and "max_download" in self.budget.limits and answers


def _stated(spec: TaskSpec) -> Score:
    """Return a figure that takes about as much room in a file as the real one."""
    task = load(spec.name)
    others = task.score(*task.stand_in(spec, 40), spec).others
    return replace(wilson(1, 1), metric=task.METRIC, others=others)


def untrained(spec: ModelSpec, image: ImageSpec, ending: Ends) -> Graph:
    """Build a net with seeded fresh weights and trace it."""
    import torch

    from pocketvision.graph.trace import trace
    from pocketvision.models.catalogue import build_spec

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = build_spec(spec)
        with torch.no_grad():
            for vector in (weight for weight in net.parameters() if weight.ndim == 1):
                # Equal constants are stored once; biases of a fresh net are all zero, of a trained one they differ.
                vector.add_(torch.randn_like(vector), alpha=0.1)
    return trace(net.eval(), image, ending)
