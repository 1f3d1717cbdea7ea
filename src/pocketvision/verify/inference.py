"""What a file says of images, from their bytes on: read, prepared, run in batches."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.parallel import in_order
from pocketvision.errors import ImageError
from pocketvision.images.decode import content_of, decode
from pocketvision.images.prepare import prepare
from pocketvision.progress import Progress, Silent, track
from pocketvision.runtime import Runner
from pocketvision.tasks import Judgment, spec_of
from pocketvision.tasks import TaskAnswers as Task
from pocketvision.tasks import load as load_task
from pocketvision.tasks.detect.text import boxes_of
from pocketvision.values import Answer, Example, ImageSpec, Score, TaskSpec

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

BATCH = 32
"""Images run at once, for speed; every one of them gets the answer it gets alone."""


@dataclass(frozen=True, eq=False)
class Reading:
    """An image read and prepared, or why it could not be."""

    image: Image | None
    sha256: str
    """Of the file's bytes, in hex; empty where there are none."""
    error: str | None = None
    size: tuple[int, int] = (0, 0)
    """Width and height of the upright image in pixels."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a file said of the readable ones among some examples."""

    spec: TaskSpec
    examples: tuple[Example, ...]
    probabilities: Floats
    """[N, C] or [N, M, 6] in the order of `examples`; where the file said NaN, 0."""
    nan_files: tuple[str, ...]
    unreadable: tuple[str, ...]
    changed: frozenset[str]
    """Files whose bytes are no longer those the split was drawn with."""

    @property
    def task(self) -> Task:
        """Return the functions of the file's task."""
        return load_task(self.spec.name)

    @property
    def truth(self) -> NDArray[np.int64]:
        """Return the targets: [N], or [N, labels]."""
        return self.task.targets(self.examples)

    @cached_property
    def judgment(self) -> Judgment:
        """Return what the answers are worth in every respect."""
        return self.task.judge(self.probabilities, self.truth, self.spec)

    def score(self, rows: Sequence[int] | slice) -> Score:
        """Return what the answers of some rows are worth."""
        return self.task.score(self.probabilities[rows], self.truth[rows], self.spec)

    def told(self) -> tuple[Answer, ...]:
        """Return one answer per example, in words."""
        found = self.task.decide(self.probabilities, self.spec)
        rows = zip(self.examples, found.told, found.probability, found.choices, self.probabilities, strict=True)
        return tuple(
            Answer(
                example.file,
                self.task.told(example.target, self.spec),
                said,
                float(chance),
                self.task.wrong(choices, example.target, self.spec),
                self.task.found(answer, self.spec),
                boxes_of(example.target),
            )
            for example, said, chance, choices, answer in rows
        )


def ask(
    runner: Runner, root: Path, examples: tuple[Example, ...], *, batch: int = BATCH, progress: Progress = Silent()
) -> Answers:
    """Let a file answer examples whose paths are below `root`; an unreadable one is named and left out."""
    books = _Books()
    paths = (root / example.file for example in examples)
    readings = track(read_images(paths, runner.manifest.image), progress, "verifying", len(examples))
    raw = run_in_batches(runner, books.sift(zip(examples, readings, strict=True)), batch=batch)
    lost = np.flatnonzero(np.isnan(raw).any(axis=tuple(range(1, raw.ndim))))
    return Answers(
        spec_of(runner.manifest),
        tuple(books.kept),
        np.nan_to_num(raw, nan=0.0),
        tuple(books.kept[row].file for row in lost),
        tuple(books.unreadable),
        frozenset(books.changed),
    )


def read_images(paths: Iterable[Path], spec: ImageSpec) -> Iterator[Reading]:
    """Read and prepare images on all cores, in order, holding few of them at a time."""
    return in_order(partial(_read, spec=spec), paths)


def run_in_batches(runner: Runner, images: Iterable[Image], *, batch: int = BATCH) -> Floats:
    """Run prepared images, holding no more than `batch` of them at a time: [N, C]."""
    stream = iter(images)
    rows = [runner.run(np.stack(group)) for group in iter(lambda: list(islice(stream, batch)), [])]
    return np.concatenate(rows) if rows else np.zeros((0, *runner.answer_shape), np.float32)


def _read(path: Path, spec: ImageSpec) -> Reading:
    digest = ""
    try:
        content = content_of(path)
        digest = hashlib.sha256(content).hexdigest()
        pixels = decode(content)
        return Reading(prepare(pixels, spec), digest, size=(pixels.shape[1], pixels.shape[0]))
    except ImageError as error:
        return Reading(None, digest, str(error))


@dataclass(frozen=True)
class _Books:
    """Keeps account of what was and was not there while images pass by."""

    kept: list[Example] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    def sift(self, read: Iterable[tuple[Example, Reading]]) -> Iterator[Image]:
        for example, reading in read:
            if reading.image is None:
                self.unreadable.append(example.file)
                continue
            if reading.sha256 != example.sha256:
                self.changed.append(example.file)
            self.kept.append(example)
            yield reading.image
