"""How long a delivered file takes for one image, in turns with the reference net."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.export.onnx import to_bytes
from pocketvision.latency.measure import measure, reference_graph
from pocketvision.runtime import Runner
from pocketvision.runtime import open as open_model
from pocketvision.runtime.onnx import answer_of
from pocketvision.values import Latency


def time_files(files: Sequence[Path], *, threads: int = 1) -> Iterator[Latency]:
    """Time each file at batch 1; the reference net runs in turns with it, on as many threads."""
    graph = reference_graph()
    reference = answer_of(to_bytes(graph), threads=threads)
    other = noise(graph.input.resolution)
    for file in files:
        yield time_runner(open_model(file, threads=threads), lambda: reference(other), threads=threads)


def time_runner(runner: Runner, reference: Callable[[], object], *, threads: int) -> Latency:
    """Time an opened file at batch 1, in turns with calls of the reference net."""
    image = noise(runner.manifest.image.resolution)
    return measure(lambda: runner.run(image), reference, threads=threads, runtime=runner.name)


def noise(side: int) -> NDArray[np.uint8]:
    """Draw an image [1, side, side, 3] for timing; always the same one."""
    return np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
