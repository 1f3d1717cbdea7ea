"""A finished run's folder as records: everything the page and the card are made from."""

import csv
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml

from pocketvision.errors import DataError, UsageError
from pocketvision.files import lines_of, read_json
from pocketvision.values import Choice, Compression, Cost, Epoch, Health, Manifest, Proof, Summary, from_json
from pocketvision.verify.outcome import judged_words
from pocketvision.verify.verdicts import read_cost

R = TypeVar("R")

CONTENTS = {
    "args.yaml": "the settings and the command of the run",
    "labels.txt": "the labels, one a line, in the order of the net's outputs",
    "splits.csv": "which image was for training, validation or test",
    "check.json": "what was found in the data set",
    "choice.json": "every candidate net and why it was taken or not",
    "results.csv": "the learning curves, one line an epoch",
    "compress.json": "the comparison of float and int8",
    "export/model.onnx": "the delivered file",
    "export/manifest.json": "what is needed to use the file: labels, resize rule, probes",
    "verify.json": "what was measured on the delivered file",
    "summary.json": "the end of the run in short",
}
"""The files a finished run has, and what each holds."""


@dataclass(frozen=True)
class Run:
    """What a finished run left behind."""

    folder: Path
    args: Mapping[str, object]
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
    if not (folder / "args.yaml").is_file():
        raise UsageError(f"{folder} is no run. A run is the folder that 'pocketvision fit' names at its end.")
    if not (folder / "choice.json").is_file() and (folder / "SHA256SUMS").is_file():
        raise UsageError(f"{folder} is a run of `train` or `distill`, which have no report; name a run of `fit`")
    args = _load(folder, "args.yaml", _args)
    for name in CONTENTS:
        if not (folder / name).is_file():
            raise DataError(_missing(folder, name, args))
    choice = _load(folder, "choice.json", _record(Choice))
    run = Run(
        folder=folder,
        args=args,
        health=_load(folder, "check.json", _record(Health)),
        choice=choice,
        epochs=_load(folder, "results.csv", _epochs),
        compression=_load(folder, "compress.json", _record(Compression)),
        manifest=_load(folder, "export/manifest.json", _record(Manifest)),
        proof=_load(folder, "verify.json", _record(Proof)),
        summary=_load(folder, "summary.json", _record(Summary)),
        cost=read_cost(folder / "export" / "model.onnx") or choice.taken.cost,
        sha256=_load(folder, "export/model.onnx", lambda path: hashlib.sha256(path.read_bytes()).hexdigest()),
        further=tuple(
            _load(folder, path.relative_to(folder).as_posix(), _record(Proof))
            for path in sorted(folder.glob("proofs/*/verify.json"))
        ),
    )
    _check_labels(run)
    return run


def _missing(folder: Path, name: str, args: Mapping[str, object]) -> str:
    again = str(args.get("command") or "pocketvision fit DATA").removesuffix(" --resume")
    return f"the run {folder} is not finished: {name} is missing ({CONTENTS[name]}). Finish it with: {again} --resume"


def _load(folder: Path, name: str, reader: Callable[[Path], R]) -> R:
    try:
        return reader(folder / name)
    except FileNotFoundError:
        raise DataError(_missing(folder, name, {})) from None
    except (ValueError, TypeError, KeyError, AttributeError, OSError, yaml.YAMLError, csv.Error) as error:
        raise DataError(
            f"{folder / name} ({CONTENTS[name]}) cannot be read: {error}. "
            "It was changed by hand or written by another version; repeat the run."
        ) from error


def _record(kind: type[R]) -> Callable[[Path], R]:
    return lambda path: read_json(kind, path)


def _args(path: Path) -> Mapping[str, object]:
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ValueError("it is not a mapping of settings")
    return {str(key): value for key, value in values.items()}


def _epochs(path: Path) -> tuple[Epoch, ...]:
    with path.open(encoding="utf-8", newline="") as stream:
        # A column that an older version did not write keeps the record's default.
        return tuple(
            from_json(Epoch, {key: _number(key, text) for key, text in row.items() if text})
            for row in csv.DictReader(stream, restval="")
        )


def _number(column: str, text: str) -> object:
    if column == "phase":
        return text
    if column == "kept":
        return text == "True"
    return int(text) if column in {"epoch", "resolution"} else float(text)


def _check_labels(run: Run) -> None:
    listed = tuple(lines_of((run.folder / "labels.txt").read_text(encoding="utf-8")))
    for name, labels in (("export/manifest.json", run.manifest.labels), ("verify.json", run.proof.labels)):
        if labels != listed:
            raise DataError(
                f"labels.txt and {name} in {run.folder} hold different label lists: "
                f"{json.dumps(listed[:3])}... and {json.dumps(labels[:3])}.... They are of different runs; repeat it."
            )
