"""Which pictures a file is judged on: those of the split its manifest describes, found again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.data.check import load_dataset
from pocketvision.data.digits import resolve
from pocketvision.data.layout import root_of
from pocketvision.data.splits import read_splits
from pocketvision.errors import DataError
from pocketvision.files import lines_of
from pocketvision.progress import Progress
from pocketvision.values import Dataset, Example, Manifest, Split

SPLITS_FILE = "splits.csv"
"""Lies in the run's folder, one above the file's: which picture is in which split."""


LABELS_FILE = "labels.txt"
"""Lies there too: the names of the outputs in order, written before training."""


@dataclass(frozen=True)
class Pictures:
    """Examples whose labels are numbered as the file's outputs are."""

    root: Path
    examples: tuple[Example, ...]
    same_data: bool
    """Whether these are the images that the file's figures were measured on."""
    label_fault: str | None
    """A sentence where the data's labels stand in another order than the file's."""


def find_pictures(
    file: Path, data: str | Path | Dataset, manifest: Manifest, *, split: Split, progress: Progress
) -> Pictures:
    """Find a split again; raises DataError where the labels are others than the file's, or the split is empty.

    The run's own list is used where it lies beside the file and fits the data; else the data is split again by the
    manifest's rule, which goes by the images' content and so gives the same split.
    """
    dataset, same_data = _dataset(file, data, manifest=manifest, progress=progress)
    fault = _compare(dataset.labels, manifest.labels)
    examples = dataset.of(split)
    if not examples:
        raise DataError(f"{dataset.root} has no image in the split '{split}'; choose another one with --split")
    numbers = [manifest.labels.index(label) for label in dataset.labels]
    return Pictures(
        Path(dataset.root),
        tuple(replace(example, label=numbers[example.label]) for example in examples),
        same_data,
        fault,
    )


def _dataset(file: Path, data: str | Path | Dataset, *, manifest: Manifest, progress: Progress) -> tuple[Dataset, bool]:
    if isinstance(data, Dataset):
        return data, True
    root = resolve(data, progress)
    listed = _listed(file, root_of(root), manifest)
    if listed is not None:
        return listed, True
    rule = manifest.splits
    if not {"seed", "val", "test"} <= rule.keys():
        raise DataError(f"{file} does not say how its data was split; keep the run's {SPLITS_FILE} one folder above it")
    dataset, health, _ = load_dataset(
        root, val=float(rule["val"]), test=float(rule["test"]), seed=int(rule["seed"]), progress=progress
    )
    return dataset, health.digest == manifest.data_digest


def _listed(file: Path, root: Path, manifest: Manifest) -> Dataset | None:
    """Read the run's list of splits, if it is there and speaks of the images below `root`."""
    run = file.resolve().parent.parent
    if not (run / SPLITS_FILE).is_file():
        return None
    rows = read_splits(run / SPLITS_FILE)
    if not any((root / row.file).is_file() for row in rows):
        return None
    labels = _labels(run, manifest)
    # Unlike a resumed run, which must have the very same data, a check goes on without the images that are gone.
    if unknown := {row.label for row in rows} - set(labels):
        raise DataError(f"{run / SPLITS_FILE} has labels that the net does not: {', '.join(sorted(unknown))}")
    examples = (Example(row.file, labels.index(row.label), row.split, row.sha256) for row in rows)
    return Dataset(str(root), labels, tuple(examples))


def _labels(run: Path, manifest: Manifest) -> tuple[str, ...]:
    path = run / LABELS_FILE
    return tuple(lines_of(path.read_text(encoding="utf-8"))) if path.is_file() else manifest.labels


def _compare(data: Sequence[str], file: Sequence[str]) -> str | None:
    missing, unknown = sorted(set(file) - set(data)), sorted(set(data) - set(file))
    if missing or unknown:
        raise DataError(
            "the data's labels are not the file's: "
            + "; ".join(
                f"only in the {where}: {', '.join(labels)}"
                for where, labels in (("file", missing), ("data", unknown))
                if labels
            )
            + ". Give the data the file was trained for, with the same label names."
        )
    if tuple(data) == tuple(file):
        return None
    first = next(number for number, (ours, theirs) in enumerate(zip(data, file, strict=True)) if ours != theirs)
    return (
        f"the labels stand in another order: output {first} is '{file[first]}' in the file "
        f"and '{data[first]}' in the data."
    )
