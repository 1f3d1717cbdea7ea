"""Files that are not delivered, but weighed and timed to decide: their content, and a call to run it once."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from pocketvision.export import SUFFIXES, writer_of
from pocketvision.export.manifest import make_manifest, stand_in_probes, stand_in_threshold, stand_in_thresholds
from pocketvision.export.onnx import to_bytes
from pocketvision.export.write import RAW_ONLY, refusal
from pocketvision.graph.graph import Graph
from pocketvision.graph.order import best_order
from pocketvision.latency.measure import reference_graph
from pocketvision.packing import packed_bytes
from pocketvision.runtime import download_bytes
from pocketvision.runtime.onnx import answer_of
from pocketvision.values import BoxEnds, Manifest, Precision, TaskSpec, Trained


class Weighed(NamedTuple):
    """What files of a net take, of several formats the largest one."""

    content: bytes
    """Of the ONNX file, to be timed."""
    size_bytes: int
    download_bytes: int
    """As it is sent, packed."""


def content_of(graph: Graph, trained: Trained, spec: TaskSpec, *, precision: Precision) -> bytes:
    """Write the file in the order of a delivered one, with a manifest that takes as much room as the real one."""
    return to_bytes(best_order(graph), stand_in_manifest(trained, spec, precision))


def weighed(
    graph: Graph, trained: Trained, spec: TaskSpec, asked: tuple[Precision, Sequence[str]], *, compressor: str
) -> Weighed:
    """Write the file at a precision in every format that is wanted and holds it; a limit is to be kept by each."""
    precision, formats = asked
    manifest, ordered = stand_in_manifest(trained, spec, precision), best_order(graph)
    content = to_bytes(ordered, manifest)
    sizes, sent = [len(content)], [packed_bytes(content, compressor)]
    with TemporaryDirectory() as folder:
        for name in formats:
            if name != "onnx" and not refusal(name, precision):
                path = Path(folder, f"model{SUFFIXES[name]}")
                ends: BoxEnds = "raw" if name in RAW_ONLY and manifest.model.detector else manifest.ends
                sizes.append(writer_of(name)(ordered, replace(manifest, created="", ends=ends), path))
                sent.append(download_bytes(path, compressor))
    return Weighed(content, max(sizes), max(sent))


def stand_in_manifest(trained: Trained, spec: TaskSpec, precision: Precision) -> Manifest:
    """Return a manifest that takes as much room as that of a trained net."""
    return make_manifest(
        trained,
        stand_in_thresholds(spec),
        name="weighed",
        precision=precision,
        figures={"validation": trained.validation, "test": trained.validation},
        probes=stand_in_probes(spec),
        threshold=stand_in_threshold(),
    )


def caller(content: bytes, resolution: int) -> Callable[[], object]:
    """Open a file's content on one thread, ready to be called with one image of noise."""
    answer = answer_of(content)
    image = np.random.default_rng(0).integers(0, 256, (1, resolution, resolution, 3), np.uint8)
    return lambda: answer(image)


def reference_caller() -> Callable[[], object]:
    """Open the net that every latency is compared with."""
    graph = reference_graph()
    return caller(to_bytes(graph), graph.input.resolution)
