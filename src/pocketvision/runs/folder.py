"""Every file of a run: its name, what it holds, how it is read and written. No other module spells these names."""

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pocketvision.files import lines_of, read_json, write_text
from pocketvision.values import (
    Choice,
    Compression,
    Cost,
    Epoch,
    Health,
    Manifest,
    Proof,
    Summary,
    Trained,
    from_json,
    to_json,
)

R = TypeVar("R")


@dataclass(frozen=True)
class RunFile(Generic[R]):
    """One file of a run and what it holds; it is read and written as the record `R`."""

    path: Path
    holds: str
    parse: Callable[[Path], R]
    text: Callable[[R], str]

    def exists(self) -> bool:
        """Tell whether it was written."""
        return self.path.is_file()

    def read(self) -> R:
        """Return what it holds; raises FileNotFoundError, or ValueError and its like for what is damaged."""
        return self.parse(self.path)

    def write(self, value: R) -> None:
        """Write it, whole or not at all."""
        write_text(self.path, self.text(value))


@dataclass(frozen=True)
class ExportFolder:
    """What lies beside a delivered file; one that was exported from a file has no run above it."""

    path: Path
    BESIDE: ClassVar = ("manifest.json", "cost.json", "USE.md")
    """What is written beside every file; the first one says who wrote it."""

    @property
    def manifest(self) -> RunFile[Manifest]:
        """What the file holds inside, too, with the time when it was written."""
        holds = "what is needed to use the file: labels, resize rule, probes"
        return _record(self.path / "manifest.json", holds, Manifest)

    @property
    def cost(self) -> RunFile[Cost]:
        """The counts of the file's graph."""
        return _record(self.path / "cost.json", "parameters, multiply-adds, bytes and memory", Cost)

    @property
    def use(self) -> RunFile[str]:
        """How to use the files, with code."""
        return _plain(self.path / "USE.md", "how to use the file")

    @property
    def trained_outputs(self) -> Path:
        """The trained net's own answers to the test images: arrays `files`, `sha256` and `probabilities`."""
        return self.path / "trained_outputs.npz"

    def model(self, suffix: str = ".onnx") -> Path:
        """Return where a run's file of a format lies, by the format's suffix."""
        return self.path / f"model{suffix}"


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, with a property for every file in it."""

    path: Path

    @property
    def settings(self) -> RunFile[dict[str, Any]]:
        """The options that it was started with; written before everything else."""
        return RunFile(self.path / "args.yaml", "the settings and the command of the run", _settings, _yaml)

    @property
    def labels(self) -> RunFile[tuple[str, ...]]:
        """The labels; written first, every later step is checked against them."""
        holds = "the labels, one a line, in the order of the net's outputs"
        return RunFile(self.path / "labels.txt", holds, _lines, lambda names: "".join(f"{name}\n" for name in names))

    @property
    def splits(self) -> RunFile[str]:
        """The table that `data.splits` reads and writes."""
        return _plain(self.path / "splits.csv", "which image was for training, validation or test")

    @property
    def health(self) -> RunFile[Health]:
        """The result of `check`."""
        return _record(self.path / "check.json", "what was found in the data set", Health)

    @property
    def gallery(self) -> RunFile[str]:
        """The page of `check`."""
        return _plain(self.path / "check.html", "the images of what was found in the data set")

    @property
    def choice(self) -> RunFile[Choice]:
        """What `fit` trains."""
        return _record(self.path / "choice.json", "every candidate net and why it was taken or not", Choice)

    @property
    def epochs(self) -> RunFile[tuple[Epoch, ...]]:
        """A column per field of `Epoch`."""
        return RunFile(self.path / "results.csv", "the learning curves, one line an epoch", _epochs, _epochs_text)

    @property
    def trained(self) -> RunFile[Trained]:
        """Written when a training is whole, after its weights."""
        return _record(self.path / "train.json", "the trained net and its accuracy", Trained)

    @property
    def weights(self) -> Path:
        """The folder of weights, and of what an interrupted training goes on from."""
        return self.path / "weights"

    @property
    def best(self) -> Path:
        """The weights of the best epoch on validation."""
        return self.weights / "best.safetensors"

    @property
    def last(self) -> Path:
        """The weights of the last epoch."""
        return self.weights / "last.safetensors"

    @property
    def compression(self) -> RunFile[Compression]:
        """Which precision is delivered, and why."""
        return _record(self.path / "compress.json", "the comparison of float and int8", Compression)

    @property
    def export(self) -> ExportFolder:
        """The delivered files and what lies beside them."""
        return ExportFolder(self.path / "export")

    @property
    def proof(self) -> RunFile[Proof]:
        """The result of `verify`."""
        return _record(self.path / "verify.json", "what was measured on the delivered file", Proof)

    def further(self, name: str) -> "RunFolder":
        """Return the folder that holds the proof of a further format."""
        return RunFolder(self.path / "proofs" / name)

    def further_proofs(self) -> list[RunFile[Proof]]:
        """Return the proofs of further formats that were written, by the formats' names."""
        found = (self.further(path.name).proof for path in sorted(self.path.glob("proofs/*")))
        return [proof for proof in found if proof.exists()]

    @property
    def summary(self) -> RunFile[Summary]:
        """What `fit` returns and prints."""
        return _record(self.path / "summary.json", "the end of the run in short", Summary)

    @property
    def page(self) -> RunFile[str]:
        """The page of `report`."""
        return _plain(self.path / "report.html", "the report")

    @property
    def card(self) -> RunFile[str]:
        """The model card of `report`."""
        return _plain(self.path / "model_card.md", "the model card")

    @property
    def checksums(self) -> Path:
        """SHA-256 of every file that the run wrote; written last."""
        return self.path / "SHA256SUMS"


def run_of(file: Path) -> RunFolder:
    """Return the run that a delivered file would lie in: its folder is one above the file's."""
    return RunFolder(file.resolve().parent.parent)


def _record(path: Path, holds: str, kind: type[R]) -> RunFile[R]:
    return RunFile(path, holds, lambda path: read_json(kind, path), _json)


def _plain(path: Path, holds: str) -> RunFile[str]:
    return RunFile(path, holds, lambda path: path.read_text(encoding="utf-8"), str)


def _json(value: object) -> str:
    return json.dumps(to_json(value), indent=1, ensure_ascii=False) + "\n"


def _lines(path: Path) -> tuple[str, ...]:
    return tuple(lines_of(path.read_text(encoding="utf-8")))


def _yaml(settings: dict[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(to_json(settings), sort_keys=False, allow_unicode=True))


def _settings(path: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if not isinstance(values, dict):
        raise ValueError("it is not a mapping of settings")
    return {str(key): value for key, value in values.items()}


def _epochs_text(epochs: Iterable[Epoch]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(item.name for item in dataclasses.fields(Epoch))
    for epoch in epochs:
        values = dataclasses.astuple(epoch)
        writer.writerow(f"{value:.6g}" if isinstance(value, float) else value for value in values)
    return text.getvalue()


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
