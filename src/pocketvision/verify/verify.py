"""Is this file right, and does it keep the budget?"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, get_args

from pocketvision.budget.limits import Measured, judge
from pocketvision.clock import Clock
from pocketvision.errors import DataError, UnknownName
from pocketvision.metrics.refusal import refusal, top
from pocketvision.packing import DEFLATE
from pocketvision.progress import Progress, Silent
from pocketvision.runs import ExportFolder
from pocketvision.runtime import computes_in_half, digest, download_bytes, size_bytes
from pocketvision.runtime import open as open_model
from pocketvision.values import Budget, Dataset, Judged, Manifest, Proof, Refusal, Resized, Score, Split
from pocketvision.verify.agreement import Agreed, compare, probe_gap, read_trained
from pocketvision.verify.images import GivenImages, find_images
from pocketvision.verify.inference import Answers, ask
from pocketvision.verify.resizing import under_resizers
from pocketvision.verify.timing import time_files
from pocketvision.verify.tolerances import accuracy_fault, failures, tolerance
from pocketvision.verify.verdicts import predicted_for, read_cost, unjudged

UNLIMITED = Budget()


class _Settings(TypedDict):
    budget: Budget
    split: Split | None
    trained: Path | None
    clock: Clock
    progress: Progress


def prove(
    file: Path,
    data: str | Path | Dataset,
    *,
    budget: Budget = UNLIMITED,
    split: Split | None = None,
    trained: Path | None = None,
    clock: Clock | None = None,
    progress: Progress = Silent(),
) -> Proof:
    """Do the work of `verify` with a parsed budget, in the time that the clock has left."""
    settings: _Settings = {
        "budget": budget,
        "split": split,
        "trained": trained,
        "clock": clock or Clock(),
        "progress": progress,
    }
    proof, _ = prove_with_answers(file, data, **settings)
    return proof


def prove_with_answers(
    file: Path,
    data: str | Path | Dataset,
    *,
    budget: Budget = UNLIMITED,
    split: Split | None = None,
    trained: Path | None = None,
    clock: Clock | None = None,
    progress: Progress = Silent(),
) -> tuple[Proof, Answers]:
    """Prove a file, and return its answers too."""
    if not file.exists():
        raise DataError(f"there is no file {file}; give the path of an exported model")
    if split is not None and split not in get_args(Split):
        raise UnknownName("split", split, get_args(Split))
    # Timed first, while no other session's threads are about.
    latency = next(iter(time_files([file])))
    checked = _check(file, data, split=split, trained=trained, clock=clock or Clock(), progress=progress)
    size, answers = size_bytes(file), checked.answers
    truth = answers.truth
    download = download_bytes(file, budget.compressor or DEFLATE) if "max_download" in budget.limits else None
    predicted = predicted_for(file, budget)
    figures = Measured(size, read_cost(file), latency, checked.accuracy.value, download, predicted)
    verdicts = judge(budget, figures)
    proof = Proof(
        file=file.as_posix(),
        sha256=digest(file),
        size_bytes=size,
        accuracy=checked.accuracy,
        agreement=checked.compared.agreement if checked.compared else None,
        probe_gap=checked.gap,
        latency=latency,
        verdicts=verdicts,
        labels=checked.manifest.labels,
        confusion=answers.judgment.confusion,
        answers=answers.told(),
        failures=(*checked.failures, *unjudged(verdicts)),
        unreadable=checked.answers.unreadable,
        confidence=answers.task.confidence(answers.probabilities, truth),
        abstain_below=checked.manifest.abstain_below,
        refusal=_refusal(checked.answers, checked.manifest.abstain_below),
        resized=checked.resized,
        judged=checked.judged,
        attributes=answers.judgment.parts,
        curves=answers.judgment.curves,
    )
    return proof, answers


@dataclass(frozen=True, eq=False)
class _Checked:
    manifest: Manifest
    answers: Answers
    accuracy: Score
    compared: Agreed | None
    gap: float
    failures: tuple[str, ...]
    resized: tuple[Resized, ...]
    judged: Judged


def _check(
    file: Path,
    data: str | Path | Dataset,
    *,
    split: Split | None,
    trained: Path | None,
    clock: Clock,
    progress: Progress,
) -> _Checked:
    runner = open_model(file, threads=os.cpu_count() or 1)
    manifest = runner.manifest
    images = find_images(file, data, manifest, split=split, progress=progress)
    answers = ask(runner, images.root, images.examples, progress=progress)
    _tell(answers, progress)
    if not answers.examples:
        raise DataError(
            f"none of the {len(images.examples)} images to judge by can be read, {answers.unreadable[0]} first; "
            "pocketvision check says why"
        )
    measured = answers.judgment.score
    narrow = computes_in_half(file)
    tie = tolerance(manifest.precision, narrow=narrow).tie
    compared = _agree(file, trained, images=images, answers=answers, tie=tie)
    gap = probe_gap(runner)
    fault = _fault(manifest, images, answers)
    found = failures(manifest, answers, compared=compared, gap=gap, label_fault=images.label_fault, narrow=narrow)
    resized = under_resizers(runner, images.root, answers, clock=clock, progress=progress)
    wrong = (*found, *([fault] if fault else []))
    return _Checked(manifest, answers, measured, compared, gap, wrong, resized, images.told(answers.examples))


def _fault(manifest: Manifest, images: GivenImages, answers: Answers) -> str | None:
    """Hold the accuracy on the run's own images, among those judged, against the figure of the run."""
    rows = images.of_run(answers.examples) if images.known else []
    if not rows:
        return None
    return accuracy_fault(manifest, images.split or "test", answers.score(rows))


def _agree(file: Path, trained: Path | None, *, images: GivenImages, answers: Answers, tie: float) -> Agreed | None:
    if trained is not None:
        outputs = read_trained(trained)
        if outputs.contents:
            outputs = outputs.of_content(answers.examples, outputs.contents)
        compared = compare(outputs, answers, tie=tie)
        if compared is None:
            raise DataError(f"{trained} holds none of the images judged here; give the outputs on the same images")
        return compared
    beside = ExportFolder(file.parent).trained_outputs
    if not beside.is_file():
        return None
    # Other images may have the same names, so the outputs that lie about count by content only.
    outputs = read_trained(beside)
    contents = outputs.contents or (images.past.contents() if images.past else {})
    return compare(outputs.of_content(answers.examples, contents), answers, tie=tie)


def _refusal(answers: Answers, below: float | None) -> Refusal | None:
    return None if below is None else refusal(*top(answers.probabilities, answers.truth), below)


def _tell(answers: Answers, progress: Progress) -> None:
    for name in answers.unreadable:
        progress.say(f"left out, cannot be read: {name}")
    if answers.changed:
        progress.say(f"{len(answers.changed)} images have changed since the data was split")
