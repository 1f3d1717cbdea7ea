"""What a file says of any images."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pocketvision.data.layout import images_below, printable
from pocketvision.errors import DataError
from pocketvision.progress import Progress, track
from pocketvision.runtime import Runner
from pocketvision.tasks import load as load_task
from pocketvision.tasks import spec_of
from pocketvision.values import FoundBox, Manifest
from pocketvision.values.records import UNSAID
from pocketvision.verify.found import in_pixels
from pocketvision.verify.inference import Floats, Image, Reading, read_images, run_in_batches

GUESSES = 2
"""How many labels a refusal names."""


@dataclass(frozen=True)
class Prediction:
    """The answer for one image; `error` tells why there is none."""

    file: str
    """Path of the image."""
    label: str
    """The likeliest, also where the file is not sure of it, or all attributes that are there, with commas, or how many
    boxes there are of each label; empty where there is no answer."""
    probability: float
    """Of that; of several attributes or boxes, of the one that the file is least sure of."""
    top: tuple[tuple[str, float], ...]
    """The likeliest labels with their probabilities, likeliest first; of a detector those found, with the best score of
    each."""
    error: str | None = None
    """Why there is no answer, or None."""
    sure: bool = True
    """False where the probability is below the file's `abstain_below`, which the file refuses to decide by, and where
    there is no answer."""
    boxes: tuple[FoundBox, ...] | None = field(default=None, metadata=UNSAID)
    """What a detector found, best first, corners in pixels of the upright image; None of other files."""

    def __str__(self) -> str:
        if self.error is not None:
            return self.error
        if self.boxes is not None:
            return f"{self.label} (best {self.boxes[0].score:.2f})" if self.boxes else self.label
        guesses = ", ".join(f"{label} {share:.0%}" for label, share in self.top[:GUESSES])
        return self.label if self.sure else f"not sure: {guesses}"


def expand(images: Sequence[str | Path]) -> list[Path]:
    """Replace folders by the images inside, at any depth, in natural order; raises DataError for a missing path."""
    found: list[Path] = []
    for image in images:
        path = Path(image)
        if not path.exists():
            raise DataError(f"there is no file or folder {path}; check the path")
        inside = images_below(path) if path.is_dir() else [path]
        if not inside:
            raise DataError(f"{path} holds no image; give a folder with JPEG, PNG, WebP, BMP, GIF or TIFF files")
        found += inside
    return found


def predictions(runner: Runner, paths: Sequence[Path], *, top: int, progress: Progress) -> list[Prediction]:
    """Answer images; a broken one gets its error and stops nothing."""
    readings = track(read_images(paths, runner.manifest.image), progress, "predicting", len(paths))
    passed: list[Reading] = []
    answers = iter(run_in_batches(runner, _sift(readings, passed)))
    return [
        _prediction(path, next(answers), runner.manifest, top=top, size=reading.size)
        if reading.error is None
        else _failed(path, reading.error)
        for path, reading in zip(paths, passed, strict=True)
    ]


def _sift(readings: Iterable[Reading], passed: list[Reading]) -> Iterator[Image]:
    """Yield the images, and keep what else is known of each."""
    for reading in readings:
        passed.append(replace(reading, image=None))
        if reading.image is not None:
            yield reading.image


def _prediction(path: Path, row: Floats, manifest: Manifest, *, top: int, size: tuple[int, int]) -> Prediction:
    if np.isnan(row).any():
        return _failed(path, "the model file answers NaN; run pocketvision verify on it")
    spec, least = spec_of(manifest), manifest.abstain_below
    task = load_task(spec.name)
    decided = task.decide(row[None], spec)
    chance, boxes = float(decided.probability[0]), None
    if manifest.model.detector is None:
        best = np.argsort(-row, kind="stable")
        ranked = tuple((manifest.labels[column], float(row[column])) for column in best)
    else:
        boxes = in_pixels(task.found(row, spec), size, manifest.image)
        best_of = {box.label: box.score for box in reversed(boxes)}
        ranked = tuple(sorted(best_of.items(), key=lambda pair: -pair[1]))
    sure = least is None or chance >= least
    return Prediction(printable(path.as_posix()), decided.told[0], chance, ranked[:top], sure=sure, boxes=boxes)


def _failed(path: Path, error: str) -> Prediction:
    return Prediction(printable(path.as_posix()), "", 0.0, (), error, sure=False)
