"""The verb `verify`: is this file right, and does it keep the budget?"""

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict, get_args, overload

from pocketvision.budget.parse import Amount, parse_budget
from pocketvision.errors import DataError, UnknownName, UsageError
from pocketvision.files import claim, read_json, write_json
from pocketvision.metrics.accuracy import accuracy
from pocketvision.metrics.calibration import measured as confidence
from pocketvision.metrics.confusion import confusion
from pocketvision.metrics.refusal import refusal, top
from pocketvision.progress import Progress, Silent
from pocketvision.runtime import computes_in_half, digest, size_bytes
from pocketvision.runtime import open as open_model
from pocketvision.train.clock import Clock, seconds
from pocketvision.values import Accuracy, Budget, Dataset, Judged, Manifest, Proof, Refusal, Resized, Split
from pocketvision.verify.agreement import TRAINED_OUTPUTS, Comparison, compare, probe_gap, read_trained
from pocketvision.verify.answers import Answers, ask
from pocketvision.verify.failures import accuracy_fault, failures, tolerance
from pocketvision.verify.images import GivenImages, find_images
from pocketvision.verify.resizing import under_resizers
from pocketvision.verify.several import Several, stand
from pocketvision.verify.timing import time_files
from pocketvision.verify.verdicts import Measured, judge, read_cost, unjudged

PROOF_FILE = "verify.json"
UNLIMITED = Budget()


class _Settings(TypedDict):
    budget: Budget
    split: Split | None
    trained: Path | None
    clock: Clock
    progress: Progress


@overload
def verify(
    file: str | Path,
    data: str | Path | Dataset,
    *,
    split: Split | None = ...,
    trained: str | Path | None = ...,
    max_size: Amount = ...,
    max_latency: Amount = ...,
    max_macs: Amount = ...,
    max_memory: Amount = ...,
    max_params: Amount = ...,
    min_accuracy: Amount = ...,
    time_limit: str | None = ...,
    output: str | Path | None = ...,
    progress: Progress = ...,
) -> Proof: ...


@overload
def verify(
    file: list[str] | list[Path],
    data: str | Path | Dataset | None = ...,
    *,
    split: Split | None = ...,
    trained: str | Path | None = ...,
    max_size: Amount = ...,
    max_latency: Amount = ...,
    max_macs: Amount = ...,
    max_memory: Amount = ...,
    max_params: Amount = ...,
    min_accuracy: Amount = ...,
    time_limit: str | None = ...,
    output: str | Path | None = ...,
    progress: Progress = ...,
) -> Several: ...


def verify(  # noqa: PLR0913  one option per line of the budget
    file: str | Path | list[str] | list[Path],
    data: str | Path | Dataset | None = None,
    *,
    split: Split | None = None,
    trained: str | Path | None = None,
    max_size: Amount = None,
    max_latency: Amount = None,
    max_macs: Amount = None,
    max_memory: Amount = None,
    max_params: Amount = None,
    min_accuracy: Amount = None,
    time_limit: str | None = None,
    output: str | Path | None = None,
    progress: Progress = Silent(),
) -> Proof | Several:
    """Prove a delivered file: its answers on real images from their bytes on, its speed, its size.

    A list of files gives `Several`: each in its own runtime, with load time and memory, its answers to odd images
    (turned, grey, CMYK, truncated, ...), and each against the others; then `data` may be left out, and the files are
    held against their own probes. Judged are the images given, but for those that the file's run trained or chose on,
    told by content and label; with `split`, those that the run had in it. The proof's `judged` counts them. `trained`
    is an .npz with the arrays `files` and `probabilities` of the trained net on the same images; by default
    `trained_outputs.npz` beside the file. Limits are numbers or text such as '2MB' and '10ms'; MACs, parameters and
    memory are read from `cost.json` beside the file. `output` is a folder that gets `verify.json`. With `time_limit`,
    such as '20s', fewer images are asked again under other resizers; all else is judged in full. Returns wrong
    answers and broken limits in the proof; `raise_for` turns them into errors.
    """
    budget = parse_budget(
        max_size=max_size,
        max_latency=max_latency,
        max_macs=max_macs,
        max_memory=max_memory,
        max_params=max_params,
        min_accuracy=min_accuracy,
    )
    settings: _Settings = {
        "budget": budget,
        "split": split,
        "trained": None if trained is None else Path(trained),
        "clock": Clock(seconds(time_limit)),
        "progress": progress,
    }
    found: Proof | Several
    if not isinstance(file, str | Path):
        if data is None and budget != UNLIMITED:
            raise UsageError("limits are judged on images: give the data too")
        judge = None if data is None else partial(prove_with_answers, data=data, **settings)
        found = stand([Path(one) for one in file], judge, progress=progress)
    elif data is None:
        raise UsageError("give the images to judge the file by, or the file in a list to hold it against its probes")
    else:
        found = prove(Path(file), data, **settings)
    if output is not None:
        _claim(Path(output))
        write_json(Path(output, PROOF_FILE), found)
    return found


def _claim(folder: Path) -> None:
    """Make ready to write the proof; RunExists where the user has a `verify.json` of another kind there."""
    for kind in (Proof, Several):
        with suppress(OSError, ValueError, TypeError, AttributeError):
            read_json(kind, folder / PROOF_FILE)
            claim(folder)
            return
    claim(folder, PROOF_FILE)


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
    size = size_bytes(file)
    measured = Measured(size, latency, checked.accuracy, read_cost(file))
    verdicts = judge(budget, measured)
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
        confusion=_matrix(checked.answers, len(checked.manifest.labels)),
        answers=checked.answers.named(checked.manifest.labels),
        failures=(*checked.failures, *unjudged(verdicts)),
        unreadable=checked.answers.unreadable,
        confidence=confidence(checked.answers.probabilities, checked.answers.truth),
        abstain_below=checked.manifest.abstain_below,
        refusal=_refusal(checked.answers, checked.manifest.abstain_below),
        resized=checked.resized,
        judged=checked.judged,
    )
    return proof, checked.answers


@dataclass(frozen=True, eq=False)
class _Checked:
    manifest: Manifest
    answers: Answers
    accuracy: Accuracy
    compared: Comparison | None
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
    measured = accuracy(answers.probabilities, answers.truth)
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
    return accuracy_fault(manifest, images.split or "test", accuracy(answers.probabilities[rows], answers.truth[rows]))


def _agree(file: Path, trained: Path | None, *, images: GivenImages, answers: Answers, tie: float) -> Comparison | None:
    if trained is not None:
        outputs = read_trained(trained)
        if outputs.contents:
            outputs = outputs.of_content(answers.examples, outputs.contents)
        compared = compare(outputs, answers, tie=tie)
        if compared is None:
            raise DataError(f"{trained} holds none of the images judged here; give the outputs on the same images")
        return compared
    beside = file.with_name(TRAINED_OUTPUTS)
    if not beside.is_file():
        return None
    # Other images may have the same names, so the outputs that lie about count by content only.
    outputs = read_trained(beside)
    contents = outputs.contents or (images.past.contents() if images.past else {})
    return compare(outputs.of_content(answers.examples, contents), answers, tie=tie)


def _refusal(answers: Answers, below: float | None) -> Refusal | None:
    return None if below is None else refusal(*top(answers.probabilities, answers.truth), below)


def _matrix(answers: Answers, classes: int) -> tuple[tuple[int, ...], ...]:
    matrix = confusion(answers.truth, answers.predicted, classes)
    return tuple(tuple(int(cell) for cell in row) for row in matrix)


def _tell(answers: Answers, progress: Progress) -> None:
    for name in answers.unreadable:
        progress.say(f"left out, cannot be read: {name}")
    if answers.changed:
        progress.say(f"{len(answers.changed)} images have changed since the data was split")
