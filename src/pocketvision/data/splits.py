"""Which image trains, validates and tests: decided by its content, so that it stays where it is.

An image's place is a hash of its bytes and the seed, read as a number from 0 to 1. Adding, renaming or removing files
moves no other, and copies of one image never lie on both sides. Near duplicates take the place of one of them.

Files move in two cases only. A new near duplicate can become the one by which its group is placed. And where a small
class would be left without a training, validation or test image, the one nearest to the missing range is taken for it;
of boxes too, as far as a class has images.
"""

import csv
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import cast, get_args

from pocketvision.data.digits import mirror_safe
from pocketvision.data.layout import root_of
from pocketvision.data.layouts.tree import is_image, walk
from pocketvision.data.parallel import in_order
from pocketvision.errors import DataError, UsageError
from pocketvision.files import csv_text, write_text
from pocketvision.images.decode import content_of
from pocketvision.progress import Progress, Silent, track
from pocketvision.tasks import of_kind
from pocketvision.values import Dataset, Example, Kind, Split
from pocketvision.values.ranges import check_ranges
from pocketvision.words import some

COLUMNS: dict[Kind, tuple[str, ...]] = {
    "classes": ("file", "label", "split", "sha256"),
    "attributes": ("file", "attributes", "split", "sha256"),
    "boxes": ("file", "boxes", "split", "sha256"),
}
"""Of splits.csv: the second tells what is said of an image, and so what the data is."""

ORDER: tuple[Split, ...] = ("train", "val", "test")
"""Where a class of boxes is needed most."""

FEWEST = 3
"""Distinct images of a class: one each to train, validate and test."""


@dataclass(frozen=True)
class SplitRule:
    """How images are split where the data does not say; `val` and `test` are shares of them, 0..1."""

    seed: int = 42
    val: float = 0.15
    test: float = 0.15

    def __post_init__(self) -> None:
        check_ranges(vars(self))
        check_shares(self.val, self.test)


def split_of(sha256: str, *, seed: int, val: float, test: float) -> Split:
    """Return the split of one content; `val` and `test` are shares, 0..1."""
    place = position(sha256, seed)
    return next(split for split, (_, end) in _ranges(val, test).items() if place < end)


def position(sha256: str, seed: int) -> float:
    """Return a content's place in [0, 1): the first 52 bits, all that a float holds, of a hash with the seed."""
    return int(hashlib.sha256(f"{seed}:{sha256}".encode()).hexdigest()[:13], 16) / 16**13


def assign(
    contents: Iterable[str], *, seed: int, val: float, test: float, leaders: Mapping[str, str] | None = None
) -> dict[str, Split]:
    """Split the distinct contents of one class, leaving no wanted split empty where there are three or more.

    Contents with one leader go where it goes, together, unless that leaves fewer than three groups: then each goes by
    itself. Fewer than three contents all go to train.
    """
    groups = _groups(contents, leaders or {})
    splits = _assign(groups, seed=seed, val=val, test=test)
    return {sha256: splits[leader] for leader, group in groups.items() for sha256 in group}


def assign_boxes(
    contents: Mapping[str, frozenset[int]],
    *,
    seed: int,
    val: float,
    test: float,
    leaders: Mapping[str, str] | None = None,
) -> dict[str, Split]:
    """Split distinct contents, given the classes that each shows, as `assign` does without regard to them.

    Then each class, the rarest first, gets into train, validation and test, in that order, as far as it has images for
    it: the nearest to the range that it lacks moves, unless another class would then be missing where the image was.
    For training that counts for nothing.
    """
    groups = _groups(contents, leaders or {})
    splits = _assign(groups, seed=seed, val=val, test=test)
    placing = _Placing(splits, {one: frozenset().union(*(contents[c] for c in group)) for one, group in groups.items()})
    ranges = {split: part for split, part in _ranges(val, test).items() if part[0] < part[1]}
    for label in placing.rarest_first():
        for split in (split for split in ORDER if split in ranges):
            if spare := placing.spare(label, split):
                splits[_nearest(spare, ranges[split], seed)] = split
    return {sha256: splits[leader] for leader, group in groups.items() for sha256 in group}


@dataclass(frozen=True)
class _Placing:
    """Images in their splits, and the classes that each shows."""

    splits: Mapping[str, Split]
    shown: Mapping[str, frozenset[int]]

    def rarest_first(self) -> list[int]:
        """Return the classes by the number of their images."""
        counts = Counter(label for labels in self.shown.values() for label in labels)
        return sorted(counts, key=lambda label: (counts[label], label))

    def spare(self, label: int, split: Split) -> list[str]:
        """Return the images of a class that may go where it has none; none where it has one."""
        holders = [image for image, labels in self.shown.items() if label in labels]
        if any(self.splits[image] == split for image in holders):
            return []
        return [image for image in holders if split == "train" or self._is_spare(image, label, split)]

    def _is_spare(self, image: str, label: int, split: Split) -> bool:
        own = self.splits[image]
        others = [labels for one, labels in self.shown.items() if self.splits[one] == own and one != image]
        # A class may leave test for validation, but takes no other one with it.
        freed = {label} if ORDER.index(own) > ORDER.index(split) else set()
        return bool(others) and self.shown[image] - freed <= frozenset().union(*others)


def _groups(contents: Iterable[str], leaders: Mapping[str, str]) -> dict[str, list[str]]:
    """Return what is split together; each content by itself where there would be fewer than three groups."""
    groups: dict[str, list[str]] = defaultdict(list)
    for sha256 in contents:
        groups[leaders.get(sha256, sha256)].append(sha256)
    if len(groups) < FEWEST:
        return {sha256: [sha256] for group in groups.values() for sha256 in group}
    return groups


def _nearest(contents: Iterable[str], part: tuple[float, float], seed: int) -> str:
    """Return the content whose place is nearest to a range."""
    places = {sha256: position(sha256, seed) for sha256 in contents}
    return min(places, key=lambda sha256: (max(part[0] - places[sha256], places[sha256] - part[1]), sha256))


def _assign(contents: Iterable[str], *, seed: int, val: float, test: float) -> dict[str, Split]:
    places = {sha256: position(sha256, seed) for sha256 in contents}
    if len(places) < FEWEST:
        return dict.fromkeys(places, "train")
    splits = {sha256: split_of(sha256, seed=seed, val=val, test=test) for sha256 in places}
    for split, (start, end) in _ranges(val, test).items():
        counts = Counter(splits.values())
        if start == end or counts[split]:
            continue
        spare = [sha256 for sha256 in places if counts[splits[sha256]] > 1]
        splits[_nearest(spare, (start, end), seed)] = split
    return splits


def check_shares(val: float, test: float) -> None:
    """Raise a `UsageError` unless both shares are at least 0 and leave something to train on."""
    check_ranges({"val": val, "test": test})
    if val + test >= 1:
        raise UsageError(f"val={val:g} and test={test:g} are shares of the images: each from 0 to 1, together below 1.")


def _ranges(val: float, test: float) -> dict[Split, tuple[float, float]]:
    return {"test": (0.0, test), "val": (test, test + val), "train": (test + val, 1.0)}


# ---------------------------------------------------------------- splits.csv


@dataclass(frozen=True)
class SplitRow:
    """One line of splits.csv."""

    file: str
    label: str
    """What is said of the image, as its task writes it."""
    split: Split
    sha256: str
    kind: Kind = "classes"


def write_splits(path: Path, dataset: Dataset) -> None:
    """Write file, label by name or a row of attributes or boxes, split and content hash of every image as CSV."""
    write = of_kind(dataset.kind).write
    rows = ((e.file, write(e.target, dataset.labels), e.split, e.sha256) for e in dataset.examples)
    write_text(path, csv_text(COLUMNS[dataset.kind], rows))


def read_splits(path: Path) -> tuple[SplitRow, ...]:
    """Read what `write_splits` wrote; an unknown column or split, or a path out of the root, is a `DataError`."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror}.") from None
    header, *lines = list(csv.reader(io.StringIO(text, newline=""))) or [[]]
    kind = next((kind for kind, columns in COLUMNS.items() if tuple(header) == columns), None)
    if kind is None:
        known = " or ".join(",".join(columns) for columns in COLUMNS.values())
        raise DataError(f"'{path}' must have the columns {known}; it has {','.join(header) or 'none'}.")
    return tuple(_row(path, line, number, kind) for number, line in enumerate(lines, 2) if line)


def dataset_of(root: Path, labels: tuple[str, ...], rows: Sequence[SplitRow]) -> Dataset:
    """Return the data set of these lines of splits.csv; raises DataError for what does not fit the labels."""
    kind = rows[0].kind if rows else "classes"
    task = of_kind(kind)
    try:
        examples = tuple(Example(row.file, task.read(row.label, labels), row.split, row.sha256) for row in rows)
    except ValueError as error:
        if kind == "boxes":
            raise DataError(f"splits.csv does not fit the net's labels: {error}.") from None
        unknown = {row.label for row in rows} - set(labels)
        raise DataError(f"splits.csv has labels that the net does not: {', '.join(sorted(unknown))}.") from None
    safe = mirror_safe(root, labels if kind == "attributes" else ())
    return Dataset(str(root), labels, examples, mirror_safe=safe, kind=kind)


def read_dataset(root: Path, labels: tuple[str, ...], splits_csv: Path, *, progress: Progress = Silent()) -> Dataset:
    """Rebuild the data set that `write_splits` wrote, in its order; `labels` in the order of the net's outputs.

    `root` may also be the manifest that the data set was read from.

    Every file's content is compared with its hash: a `DataError` names the first that is absent or changed.
    """
    root = root_of(root)
    rows = read_splits(splits_csv)
    dataset = dataset_of(root, labels, rows)
    hashes = in_order(lambda row: _sha256(root / row.file, row.file), rows)
    found = list(track(hashes, progress, "Comparing with splits.csv", len(rows)))
    changed = [row.file for row, sha256 in zip(rows, found, strict=True) if row.sha256 != sha256]
    if changed:
        raise DataError(f"{len(changed)} images have changed since the run began, '{changed[0]}' first. Start anew.")
    return dataset


def find_dataset(
    root: Path, labels: tuple[str, ...], splits_csv: Path, *, progress: Progress = Silent()
) -> Dataset | None:
    """Rebuild what is still there of the data set that `write_splits` wrote; None where nothing of it is in `root`.

    Only contents of the run's count: one that is not under its name is looked for under other names, and what is not
    found is told and left out.
    """
    root = root_of(root)
    rows = read_splits(splits_csv)
    hashes = in_order(lambda row: _sha256_or_none(root / row.file), rows)
    found = list(track(hashes, progress, "Comparing with splits.csv", len(rows)))
    places = {row.sha256: row.file for row, sha256 in zip(rows, found, strict=True) if row.sha256 == sha256}
    if len(places) < len({row.sha256 for row in rows}) and root.is_dir():
        paths = [path for path in walk(root) if is_image(path)]
        for path, sha256 in zip(paths, in_order(_sha256_or_none, paths), strict=True):
            places.setdefault(sha256 or "", path.relative_to(root).as_posix())
    kept = [replace(row, file=places[row.sha256]) for row in rows if row.sha256 in places]
    if kept and (lost := [row.file for row in rows if row.sha256 not in places]):
        progress.say(f"left out: {len(lost)} of the run's {len(rows)} images, gone or changed in {root}: {some(lost)}")
    return dataset_of(root, labels, kept) if kept else None


def _row(path: Path, line: list[str], number: int, kind: Kind) -> SplitRow:
    if len(line) != len(COLUMNS[kind]):
        raise DataError(f"line {number} of '{path}' has {len(line)} values, not {len(COLUMNS[kind])}.")
    file, label, split, sha256 = line
    if split not in get_args(Split):
        raise DataError(f"line {number} of '{path}' has the split '{split}'; known are train, val and test.")
    if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
        raise DataError(f"line {number} of '{path}' leads out of the data folder: '{file}'.")
    return SplitRow(file, label, cast(Split, split), sha256, kind)


def _sha256(path: Path, file: str) -> str:
    try:
        return hashlib.sha256(content_of(path)).hexdigest()
    except DataError as error:
        raise DataError(f"'{file}' of the data set is gone: {error}.") from None


def _sha256_or_none(path: Path) -> str | None:
    try:
        return _sha256(path, path.name)
    except DataError:
        return None
