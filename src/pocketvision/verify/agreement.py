"""The delivered file against the trained net: on the test images, and on the probes the file carries."""

import base64
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import DataError, WeightsError
from pocketvision.export.manifest import PROBE_BOXES
from pocketvision.images.prepare import load
from pocketvision.runtime import Runner
from pocketvision.tasks import load as load_task
from pocketvision.tasks import spec_of
from pocketvision.values import Agreement, Example, ImageSpec, Manifest, Probe
from pocketvision.verify.inference import Answers, Floats, Image, run_in_batches

AGAIN = "export the net again"
BOX_NUMBERS = 6
SLACK = 0.1
"""By how much the score of a box may be above the last one in a full probe, and still be one that it does not hold."""


@dataclass(frozen=True, eq=False)
class TrainedOutputs:
    """The trained net's probabilities [N, C], or boxes [N, M, 6], by file."""

    rows: dict[str, NDArray[np.floating]]
    columns: int
    contents: Mapping[str, str] = field(default_factory=dict)
    """Content hash of each file; empty where the outputs do not say."""

    def of_content(self, examples: Iterable[Example], contents: Mapping[str, str]) -> "TrainedOutputs":
        """Return the rows of what the examples hold, whatever they are called; `contents` is by the outputs' names."""
        names = {sha256: file for file, sha256 in contents.items() if file in self.rows}
        named = {example.file: names[example.sha256] for example in examples if example.sha256 in names}
        return replace(self, rows={file: self.rows[name] for file, name in named.items()})


def read_trained(path: Path) -> TrainedOutputs:
    """Read an .npz with the arrays `files` [N] and `probabilities` [N, C] or [N, M, 6]; raises DataError for others.

    With an array `sha256` [N], the files are told by their content.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}; give the .npz written by the run, or leave it away")
    try:
        # Never unpickles: such a file may come from anywhere.
        with np.load(path, allow_pickle=False) as arrays:
            files, probabilities = arrays["files"], arrays["probabilities"]
            contents = arrays["sha256"] if "sha256" in arrays else files[:0]
    except (OSError, ValueError, KeyError, AttributeError, TypeError, EOFError, zipfile.BadZipFile) as error:
        reason = "it is no archive of plain arrays" if "pickle" in str(error) else error  # whose advice is dangerous
        raise DataError(f"{path} is no file of trained outputs ({reason}); give the .npz written by the run") from error
    boxes = probabilities.ndim == 3 and probabilities.shape[2] == BOX_NUMBERS
    if (probabilities.ndim != 2 and not boxes) or files.shape != probabilities.shape[:1]:
        raise DataError(
            f"{path}: files has shape {files.shape} and probabilities {probabilities.shape}; wanted [N] and [N, C]"
        )
    names = [str(file) for file in files]
    return TrainedOutputs(
        dict(zip(names, probabilities, strict=True)),
        int(probabilities.shape[-1]),
        dict(zip(names, (str(content) for content in contents), strict=False)),
    )


@dataclass(frozen=True)
class Agreed:
    """The delivered file against the trained net, image by image."""

    agreement: Agreement
    clear_flips: int
    """Decisions that differ, where the trained net was not torn between the two."""
    decisions: int
    """One an image, or one for each of its attributes."""


def compare(trained: TrainedOutputs, answers: Answers, *, tie: float) -> Agreed | None:
    """Compare the two on the images both have seen, byte for byte the same; None where there is none.

    Two answers are tied where the trained net's probabilities for them differ by no more than `tie`.
    """
    if trained.columns != answers.probabilities.shape[-1]:
        raise DataError(
            f"the trained outputs have {trained.columns} classes and the file {answers.probabilities.shape[-1]}; "
            "give the outputs of the net this file was made of"
        )
    shared = [
        row
        for row, example in enumerate(answers.examples)
        if example.file in trained.rows and example.file not in answers.changed
    ]
    if not shared:
        return None
    theirs = np.nan_to_num(np.stack([trained.rows[answers.examples[row].file] for row in shared]))
    ours = answers.probabilities[shared]
    spec, task = answers.spec, answers.task
    same = task.decide(ours, spec).choices == task.decide(theirs, spec).choices
    lost = task.clearly_lost(ours, theirs, spec, tie=tie)
    agreed = Agreement(float(same.mean()), float(task.gaps(ours, theirs).max()), len(shared))
    return Agreed(agreed, int(lost.sum()), lost.size)


def probe_gap(runner: Runner) -> float:
    """Return the largest difference of a probability from those stored in the file's probes; 0 without probes.

    A probability that is NaN counts as a gap of 1, the largest there is. Raises WeightsError for damaged probes.
    """
    probes = runner.manifest.probes
    if not probes:
        return 0.0
    images = [_image(probe, runner.manifest.image) for probe in probes]
    found = run_in_batches(runner, images)
    if runner.manifest.model.detector is not None:
        return _box_gap(found, probes, runner.manifest)
    expected = np.array([_expected(probe, len(runner.labels)) for probe in probes])
    return float(np.nan_to_num(np.abs(found - expected), nan=1.0).max())


def _expected(probe: Probe, classes: int) -> tuple[float, ...]:
    if len(probe.probabilities) != classes:
        raise WeightsError(f"a probe in the file has {len(probe.probabilities)} answers, not {classes}; {AGAIN}")
    return probe.probabilities


def _box_gap(found: Floats, probes: tuple[Probe, ...], manifest: Manifest) -> float:
    """Return the largest difference of a box's score.

    A probe holds the best boxes only. Where it is full, what the file gives below them counts as expected.
    """
    expected = np.zeros((len(found), 2 * found.shape[1], BOX_NUMBERS), np.float32)
    for place, probe in enumerate(probes):
        rows = _stored_boxes(probe, found.shape[1])
        expected[place, : len(rows)] = rows
        if len(rows) >= PROBE_BOXES:
            below = found[place, found[place, :, 5] < rows[-1, 5] + SLACK]
            expected[place, len(rows) : len(rows) + len(below)] = below
    if np.isnan(found).any():
        return 1.0
    return float(load_task(spec_of(manifest).name).gaps(found, expected).max())


def _stored_boxes(probe: Probe, most: int) -> Floats:
    numbers = np.array(probe.probabilities, np.float32)
    if len(numbers) % BOX_NUMBERS or len(numbers) > most * BOX_NUMBERS:
        raise WeightsError(f"a probe in the file has {len(numbers)} numbers, which are no boxes; {AGAIN}")
    return numbers.reshape(-1, BOX_NUMBERS)


def _image(probe: Probe, spec: ImageSpec) -> Image:
    try:
        return load(base64.b64decode(probe.png_base64, validate=True), spec)
    except ValueError as error:
        raise WeightsError(f"a probe in the file cannot be decoded ({error}); {AGAIN}") from error
