"""Files to be timed: nets of the catalogue with fresh weights, and delivered nets in formats of other runtimes."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from pocketvision.compress.compress import compress
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.export import SUFFIXES, writer_of
from pocketvision.export.manifest import manifest_of_file
from pocketvision.export.source import open_source
from pocketvision.export.write import require_packages
from pocketvision.graph.graph import Graph
from pocketvision.graph.order import best_order
from pocketvision.latency.nets import with_fresh_weights
from pocketvision.progress import Progress, Silent
from pocketvision.tasks import ending_of
from pocketvision.values import ImageSpec, Manifest, ModelSpec, Precision


def untrained(spec: ModelSpec, precision: Precision) -> tuple[Graph, Manifest]:
    """Return a net with seeded fresh weights, by which no runtime answers slower than by trained ones."""
    from pocketvision.graph.trace import trace_spec

    image = ImageSpec(spec.resolution)
    labels = tuple(str(number) for number in range(spec.num_classes))
    graph = with_fresh_weights(trace_spec(spec, image, ending_of(spec, labels)), np.random.default_rng(0))
    if precision == "int8":
        noise = np.random.default_rng(0).integers(0, 256, (2, spec.resolution, spec.resolution, 3), np.uint8)
        graph = compress(graph, noise, steps=(Quantize(),)).graph  # the other steps change no kernel
    return graph, replace(manifest_of_file(spec, image, labels), precision=precision)


def delivered(file: Path, progress: Progress = Silent()) -> tuple[Graph, Manifest]:
    """Read a delivered file back, in its own precision; raises UsageError for a format that is not read."""
    found = open_source(file, None, labels=None, progress=progress)
    return found.whole or found.graph, found.manifest


def write_timed(net: tuple[Graph, Manifest], name: str, folder: Path) -> Path:
    """Write a net in a format, to be timed; raises MissingExtra where what writes it is not installed."""
    require_packages([name])
    graph, manifest = net
    path = folder / f"model{SUFFIXES[name]}"
    folder.mkdir(parents=True, exist_ok=True)
    writer_of(name)(best_order(graph), replace(manifest, created=""), path)
    return path
