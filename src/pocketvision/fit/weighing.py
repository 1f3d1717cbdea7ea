"""Files that are not delivered, but weighed and timed to decide: their content, and a call to run it once."""

from collections.abc import Callable

import numpy as np

from pocketvision.export.manifest import make_manifest, stand_in_probes, stand_in_threshold, stand_in_thresholds
from pocketvision.export.onnx import to_bytes
from pocketvision.graph.graph import Graph
from pocketvision.graph.order import best_order
from pocketvision.latency.measure import reference_graph
from pocketvision.runtime.onnx import answer_of
from pocketvision.values import Precision, TaskSpec, Trained


def content_of(graph: Graph, trained: Trained, spec: TaskSpec, *, precision: Precision) -> bytes:
    """Write the file in the order of a delivered one, with a manifest that takes as much room as the real one."""
    figures = {"validation": trained.validation, "test": trained.validation}
    probes = stand_in_probes(spec)
    manifest = make_manifest(
        trained,
        stand_in_thresholds(spec),
        name="weighed",
        precision=precision,
        figures=figures,
        probes=probes,
        threshold=stand_in_threshold(),
    )
    return to_bytes(best_order(graph), manifest)


def caller(content: bytes, resolution: int) -> Callable[[], object]:
    """Open a file's content on one thread, ready to be called with one image of noise."""
    answer = answer_of(content)
    image = np.random.default_rng(0).integers(0, 256, (1, resolution, resolution, 3), np.uint8)
    return lambda: answer(image)


def reference_caller() -> Callable[[], object]:
    """Open the net that every latency is compared with."""
    graph = reference_graph()
    return caller(to_bytes(graph), graph.input.resolution)
