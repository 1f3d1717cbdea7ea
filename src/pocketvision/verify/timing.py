"""How long a delivered file takes for one image, in turns with the reference net."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.export.onnx import to_bytes
from pocketvision.latency.measure import Call, measure, measure_in_turns, reference_graph
from pocketvision.progress import Progress, Silent, track
from pocketvision.runtime import Runner
from pocketvision.runtime import open as open_model
from pocketvision.runtime.onnx import answer_of
from pocketvision.values import Latency

ROUNDS = 12
"""Visits of each file: what a burst of other work hits is then one of twelve."""


@dataclass(frozen=True)
class TimedFile:
    """A file and how it is run."""

    file: Path
    threads: int = 1
    batch: int = 1
    """Images a call."""


def time_files(files: Sequence[Path], *, threads: int = 1) -> Iterator[Latency]:
    """Time each file at batch 1; the reference net runs in turns with it, on as many threads."""
    for file in files:
        yield time_runner(open_model(file, threads=threads), _reference(threads), threads=threads)


def time_runner(runner: Runner, reference: Callable[[], object], *, threads: int) -> Latency:
    """Time an opened file at batch 1, in turns with calls of the reference net."""
    image = noise(runner.manifest.image.resolution)
    return measure(lambda: runner.run(image), reference, threads=threads, runtime=runner.name)


def time_settings(settings: Sequence[TimedFile], *, progress: Progress = Silent()) -> list[Latency]:
    """Time files side by side: those on as many threads in turns with each other and with the reference net.

    A batch's time is divided by its images, so that all times are of one image.
    """
    found: dict[TimedFile, Latency] = {}
    for threads in dict.fromkeys(setting.threads for setting in settings):
        group = [setting for setting in dict.fromkeys(settings) if setting.threads == threads]
        calls = [_call(setting) for setting in group]
        timed = time_calls(calls, threads=threads, progress=progress)
        found |= {setting: _of_one(latency, setting.batch) for setting, latency in zip(group, timed, strict=True)}
    return [found[setting] for setting in settings]


def time_calls(calls: Sequence[tuple[Call, str]], *, threads: int, progress: Progress = Silent()) -> list[Latency]:
    """Time calls, each given with the name of its runtime, in turns with each other and with the reference net."""
    rounds = track(range(ROUNDS), progress, f"timing on {threads} thread(s)", ROUNDS)
    return measure_in_turns(calls, _reference(threads), threads=threads, rounds=rounds)


def _call(setting: TimedFile) -> tuple[Callable[[], object], str]:
    runner = open_model(setting.file, threads=setting.threads)
    return partial(runner.run, noise(runner.manifest.image.resolution, setting.batch)), runner.name


def _of_one(found: Latency, batch: int) -> Latency:
    return replace(found, median_ms=found.median_ms / batch, p90_ms=found.p90_ms / batch)


def _reference(threads: int) -> Callable[[], object]:
    graph = reference_graph()
    return partial(answer_of(to_bytes(graph), threads=threads), noise(graph.input.resolution))


def noise(side: int, batch: int = 1) -> NDArray[np.uint8]:
    """Draw images [batch, side, side, 3] for timing; always the same ones."""
    return np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), dtype=np.uint8)
