"""What a file says of any images."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketvision.data.layout import images_below, printable
from pocketvision.errors import DataError
from pocketvision.progress import Progress, track
from pocketvision.runtime import Runner
from pocketvision.tasks import load as load_task
from pocketvision.tasks import spec_of
from pocketvision.values import Manifest
from pocketvision.verify.inference import Floats, Image, Reading, read_images, run_in_batches

GUESSES = 2
"""How many labels a refusal names."""


@dataclass(frozen=True)
class Prediction:
    """The answer for one image; `error` tells why there is none."""

    file: str
    """Path of the image."""
    label: str
    """The likeliest, also where the file is not sure of it, or all attributes that are there, with commas; empty where
    there is no answer."""
    probability: float
    """Of that; of several attributes, of the decision that the file is least sure of."""
    top: tuple[tuple[str, float], ...]
    """The likeliest labels with their probabilities, likeliest first."""
    error: str | None = None
    """Why there is no answer, or None."""
    sure: bool = True
    """False where the probability is below the file's `abstain_below`, which the file refuses to decide by, and where
    there is no answer."""

    def __str__(self) -> str:
        if self.error is not None:
            return self.error
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
    errors: list[str | None] = []
    answers = iter(run_in_batches(runner, _sift(readings, errors)))
    return [
        _prediction(path, next(answers), runner.manifest, top=top) if error is None else _failed(path, error)
        for path, error in zip(paths, errors, strict=True)
    ]


def _sift(readings: Iterable[Reading], errors: list[str | None]) -> Iterator[Image]:
    for reading in readings:
        errors.append(reading.error)
        if reading.image is not None:
            yield reading.image


def _prediction(path: Path, row: Floats, manifest: Manifest, *, top: int) -> Prediction:
    if np.isnan(row).any():
        return _failed(path, "the model file answers NaN; run pocketvision verify on it")
    best = np.argsort(-row, kind="stable")[:top]
    ranked = tuple((manifest.labels[column], float(row[column])) for column in best)
    spec, least = spec_of(manifest), manifest.abstain_below
    found = load_task(spec.name).decide(row[None], spec)
    chance = float(found.probability[0])
    return Prediction(printable(path.as_posix()), found.told[0], chance, ranked, sure=least is None or chance >= least)


def _failed(path: Path, error: str) -> Prediction:
    return Prediction(printable(path.as_posix()), "", 0.0, (), error, sure=False)
