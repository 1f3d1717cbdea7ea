"""A finished run's folder as records: everything the page and the card are made from."""

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pocketvision.errors import DataError, UsageError
from pocketvision.report.words import titled
from pocketvision.runs import RunFile, RunFolder
from pocketvision.values import Choice, Compression, Cost, Epoch, Health, Manifest, Proof, Summary
from pocketvision.verify.outcome import judged_words
from pocketvision.verify.verdicts import read_cost

R = TypeVar("R")


@dataclass(frozen=True)
class Run:
    """What a finished run left behind."""

    files: RunFolder
    args: Mapping[str, object]
    labels: tuple[str, ...]
    health: Health
    choice: Choice
    epochs: tuple[Epoch, ...]
    compression: Compression
    manifest: Manifest
    proof: Proof
    summary: Summary
    cost: Cost
    """Of the delivered net, or of the chosen one where its counts do not lie beside the file."""
    sha256: str
    """Of the delivered file as it lies there now."""
    further: tuple[Proof, ...] = ()
    """Of the files in other formats, where there are any."""

    @property
    def folder(self) -> Path:
        """Return where it lies."""
        return self.files.path

    @property
    def metric(self) -> str:
        """Return what the figures of the task measure, such as `accuracy`."""
        return self.proof.accuracy.metric

    @property
    def metric_title(self) -> str:
        """Return the same as a heading begins with it."""
        return titled(self.metric)

    @property
    def placed(self) -> bool:
        """Whether answers are boxes of things in the image."""
        return self.manifest.model.detector is not None

    @property
    def several(self) -> bool:
        """Whether each image has several answers, one for each attribute."""
        return bool(self.proof.attributes) and not self.placed

    @property
    def kept(self) -> Epoch | None:
        """Return the epoch whose weights were kept, if there was any."""
        kept = [epoch for epoch in self.epochs if epoch.kept]
        return kept[-1] if kept else None

    @property
    def title(self) -> str:
        """Return a short name: the data set's folder."""
        return Path(self.health.root).name or self.folder.name

    @property
    def command(self) -> str:
        """Return the command line that repeats the run."""
        return str(self.args.get("command", ""))

    @property
    def untouched(self) -> bool:
        """Whether the delivered file is still the one that was verified."""
        return self.sha256 == self.proof.sha256

    @property
    def failures(self) -> tuple[str, ...]:
        """Return why the file cannot be trusted to answer as the trained net does; empty when it can."""
        changed = f"The file changed after it was verified: its SHA-256 is now {self.sha256}. Run pocketvision verify."
        found = self.proof.failures if self.untouched else (*self.proof.failures, changed)
        return (
            found
            if self.of_unseen
            else (*found, f"The figures are of other images than the run's test images: {self.judged}.")
        )

    @property
    def judged(self) -> str:
        """Return which images the delivered file was judged on; empty in older runs."""
        return judged_words(self.proof.judged) if self.proof.judged else ""

    @property
    def of_unseen(self) -> bool:
        """Whether the figures are those of the run's own test images, under the labels it had."""
        judged = self.proof.judged
        return judged is None or (judged.known and judged.split in (None, "test") and judged.of_run == judged.judged)


def read(folder: Path) -> Run:
    """Read a finished run; a missing folder is a `UsageError`, a missing or damaged file a `DataError`."""
    if not folder.is_dir():
        raise UsageError(f"no run at {folder}. A run is the folder that 'pocketvision fit' names at its end.")
    files = RunFolder(folder)
    if not files.settings.exists():
        raise UsageError(f"{folder} is no run. A run is the folder that 'pocketvision fit' names at its end.")
    if not files.choice.exists() and files.checksums.is_file():
        raise UsageError(f"{folder} is a run of `train` or `distill`, which have no report; name a run of `fit`")
    args = _load(files, files.settings, {})
    for file in (files.labels, files.splits):
        if not file.exists():
            raise DataError(_missing(files, file.path, file.holds, args))
    choice = _load(files, files.choice, args)
    run = Run(
        files=files,
        args=args,
        labels=_load(files, files.labels, args),
        health=_load(files, files.health, args),
        choice=choice,
        epochs=_load(files, files.epochs, args),
        compression=_load(files, files.compression, args),
        manifest=_load(files, files.export.manifest, args),
        proof=_load(files, files.proof, args),
        summary=_load(files, files.summary, args),
        cost=read_cost(files.export.model()) or choice.taken.cost,
        sha256=_sha256(files, args),
        further=tuple(_load(files, proof, args) for proof in files.further_proofs()),
    )
    _check_labels(run)
    return run


def contents(run: RunFolder) -> dict[str, str]:
    """Return the files that a finished run has, and what each holds."""
    given = (run.settings, run.labels, run.splits, run.health, run.choice, run.epochs, run.compression)
    proven = (run.export.manifest, run.proof, run.summary)
    model = {run.export.model(): "the delivered file"}
    held = {file.path: file.holds for file in given} | model | {file.path: file.holds for file in proven}
    return {path.relative_to(run.path).as_posix(): holds for path, holds in held.items()}


def _missing(run: RunFolder, path: Path, holds: str, args: Mapping[str, object]) -> str:
    again = str(args.get("command") or "pocketvision fit DATA").removesuffix(" --resume")
    name = path.relative_to(run.path).as_posix()
    return f"the run {run.path} is not finished: {name} is missing ({holds}). Finish it with: {again} --resume"


def _load(run: RunFolder, file: RunFile[R], args: Mapping[str, object]) -> R:
    try:
        return file.read()
    except FileNotFoundError:
        raise DataError(_missing(run, file.path, file.holds, args)) from None
    except (ValueError, TypeError, KeyError, AttributeError, OSError, csv.Error) as error:
        raise DataError(
            f"{file.path} ({file.holds}) cannot be read: {error}. "
            "It was changed by hand or written by another version; repeat the run."
        ) from error


def _sha256(run: RunFolder, args: Mapping[str, object]) -> str:
    path = run.export.model()
    if not path.is_file():
        raise DataError(_missing(run, path, "the delivered file", args))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _check_labels(run: Run) -> None:
    held = {run.files.export.manifest.path: run.manifest.labels, run.files.proof.path: run.proof.labels}
    for path, labels in held.items():
        if labels != run.labels:
            name = path.relative_to(run.folder).as_posix()
            ours, theirs = json.dumps(run.labels[:3]), json.dumps(labels[:3])
            raise DataError(
                f"labels.txt and {name} in {run.folder} hold different label lists: {ours}... and {theirs}.... "
                "They are of different runs; repeat it."
            )
