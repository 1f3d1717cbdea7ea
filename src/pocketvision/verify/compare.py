"""FileComparison delivered files side by side, each in its own runtime, with or without images to judge them by."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import DataError, MissingExtra
from pocketvision.progress import Progress, Silent, track
from pocketvision.runtime import computes_in_half, size_bytes
from pocketvision.runtime import open as open_model
from pocketvision.tasks import load as load_task
from pocketvision.tasks import spec_of
from pocketvision.values import Agreement, Latency, Manifest, Precision, Proof, TaskSpec
from pocketvision.verify.agreement import probe_gap
from pocketvision.verify.inference import Answers
from pocketvision.verify.loading import Loading, loading
from pocketvision.verify.robustness import EncodingAnswer, check_robustness
from pocketvision.verify.timing import time_files
from pocketvision.verify.tolerances import tolerance

Judge = Callable[[Path], tuple[Proof, Answers]]


@dataclass(frozen=True)
class ComparedFile:
    """What one file does in its own runtime."""

    file: str
    """Path of the file."""
    runtime: str
    """Name, version, device; empty where it is not installed."""
    precision: Precision | None
    """Of the file."""
    size_bytes: int
    """Of the file."""
    latency: Latency | None
    """Time of one image; None where nothing was checked."""
    loading: Loading | None
    """Time and memory to open it; None where nothing was checked."""
    probe_gap: float
    """Largest difference of a probability from those stored in the file's probes."""
    robustness: tuple[EncodingAnswer, ...]
    """One image stored in many ways."""
    proof: Proof | None
    """Its answers on the images given; None without images."""
    failures: tuple[str, ...]
    """Sentences; empty when the file answers as it should."""
    unchecked: str = ""
    """Why nothing was checked, such as a runtime that is not installed."""


@dataclass(frozen=True)
class Pair:
    """Two files' answers to the same images."""

    first: str
    """Path of one file."""
    second: str
    """Path of the other."""
    agreement: Agreement
    """Of their answers."""


@dataclass(frozen=True)
class FileComparison:
    """All of them, in the order given."""

    files: tuple[ComparedFile, ...]
    """One for each file."""
    pairs: tuple[Pair, ...]
    """Each with each, on the images given; on one image in many encodings where none were."""


def compare_files(files: Sequence[Path], judge: Judge | None, *, progress: Progress = Silent()) -> FileComparison:
    """Look at each file; `judge` proves one on images. Raises WeightsError for a damaged or foreign file."""
    if not files:
        raise DataError("give at least one file to verify")
    for file in files:
        if not file.exists():
            raise DataError(f"there is no file {file}; give the path of an exported model")
    shown = _shown(files)
    found = [_compared(file, judge, shown) for file in track(files, progress, "files", len(files))]
    asked = [(standing, answers) for standing, answers in found if answers is not None]
    pairs = [
        Pair(a.file, b.file, agreement)
        for (a, ours), (b, theirs) in combinations(asked, 2)
        if (agreement := _agreement(ours, theirs)) is not None
    ]
    return FileComparison(tuple(standing for standing, _ in found), tuple(pairs))


@dataclass(frozen=True, eq=False)
class _Rows:
    """Probabilities [N, C] and what they are of."""

    names: tuple[str, ...]
    spec: TaskSpec
    probabilities: NDArray[np.float32]


def _shown(files: Sequence[Path]) -> Manifest | None:
    """Return the manifest whose probe all files are shown, so that their answers are of one image."""
    for file in files:
        with suppress(MissingExtra):
            return open_model(file).manifest
    return None


def _compared(file: Path, judge: Judge | None, shown: Manifest | None) -> tuple[ComparedFile, _Rows | None]:
    size = size_bytes(file)
    try:
        runner = open_model(file)
    except MissingExtra as error:
        return ComparedFile(file.as_posix(), "", None, size, None, None, 0.0, (), None, (), str(error)), None
    manifest = runner.manifest
    latency = next(iter(time_files([file]))) if judge is None else None
    gap = probe_gap(runner)
    robustness = check_robustness(runner, shown)
    if judge is None:
        allowed = tolerance(manifest.precision, narrow=computes_in_half(file)).probe_gap
        wrong = (f"the file's answers to its own probes differ from the stored ones by {gap:.3g}",) * (gap > allowed)
        rows = _Rows(tuple(one.kind for one in robustness.answers), spec_of(manifest), robustness.probabilities)
        proof = None
    else:
        proof, answers = judge(file)
        latency, wrong = proof.latency, proof.failures
        rows = _Rows(tuple(item.file for item in answers.examples), answers.spec, answers.probabilities)
    standing = ComparedFile(
        file.as_posix(),
        runner.name,
        manifest.precision,
        size,
        latency,
        loading(file),
        gap,
        robustness.answers,
        proof,
        wrong,
    )
    return standing, rows


def _agreement(ours: _Rows, theirs: _Rows) -> Agreement | None:
    """Compare two files on the images that both answered; None where their labels are not the same."""
    places = {name: place for place, name in enumerate(theirs.names)}
    shared = [(row, places[name]) for row, name in enumerate(ours.names) if name in places]
    if not shared or (ours.spec.name, ours.spec.labels) != (theirs.spec.name, theirs.spec.labels):
        return None
    first, second = (
        rows.probabilities[list(at)] for rows, at in zip((ours, theirs), zip(*shared, strict=True), strict=True)
    )
    task = load_task(ours.spec.name)
    same = float((task.decide(first, ours.spec).choices == task.decide(second, theirs.spec).choices).mean())
    return Agreement(same, float(task.gaps(first, second).max()), len(shared))
