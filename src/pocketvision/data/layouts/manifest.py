"""Manifests: a table of files with a label each, `filename,label[,split]`, or with 0/1 columns for attributes.

Of an image that stands there twice with one label one is kept, in the scarcer split; with two labels, none.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.data.layouts.attributes import Attributes, attributes_of
from pocketvision.data.layouts.inside import absent, inside
from pocketvision.data.layouts.labels import must_agree, nothing_warnings, ordered, unknown
from pocketvision.data.layouts.listing import SPLIT_NAMES, Found, Listing, in_order, normal, split_named
from pocketvision.data.layouts.table import NESTED, DataTable, read_table
from pocketvision.errors import DataError
from pocketvision.values import Problem, Split
from pocketvision.words import quoted, some

FILE_COLUMNS = ("filename", "file_name", "file", "image", "path", "image_path", "filepath", "image_id")
LABEL_COLUMNS = ("label", "class", "category", "target", "class_name")
SPLIT_COLUMNS = ("split", "subset")
KNOWN_UNUSED = ("sha256",)
"""Columns that our own files have and that need no word."""

PRECEDENCE: tuple[Split | None, ...] = ("test", "val", "train", None)
"""The scarcer split first."""


@dataclass(frozen=True)
class Columns:
    """Where a table's file, label and split stand; None where it has none."""

    file: int
    label: int | None
    split: int | None


@dataclass(frozen=True)
class ManifestRow:
    """One image as a manifest names it."""

    found: Found
    where: str


def columns_of(table: DataTable) -> Columns:
    """Find the columns by name; a `DataError` where there is none for the file, or two for one thing."""
    names = [name.casefold().replace(" ", "_") for name in table.columns]

    def one(known: Sequence[str], what: str) -> int | None:
        hits = [index for index, name in enumerate(names) if name in known]
        if len(hits) > 1:
            both = quoted(table.columns[index] for index in hits)
            raise DataError(f"'{table.path}' has {len(hits)} columns for the {what}: {both}. Keep one.")
        return hits[0] if hits else None

    file = one(FILE_COLUMNS, "file")
    if file is None:
        raise DataError(
            f"the first line of '{table.path}' names no column for the file; call it one of {', '.join(FILE_COLUMNS)}. "
            f"It has {quoted(table.columns) or 'nothing'}."
        )
    return Columns(file, one(LABEL_COLUMNS, "label"), one(SPLIT_COLUMNS, "split"))


def says_nothing(path: Path) -> bool:
    """Tell whether a table has neither labels nor attributes, as one of captions."""
    table = read_table(path)
    columns = columns_of(table)
    return columns.label is None and not attributes_of(table, _rest(table, columns)).names


def read_manifest(path: Path) -> Listing:
    """List what a manifest names, relative to its folder."""
    return read_manifests(path.parent, {None: path})


def read_manifests(root: Path, paths: dict[Split | None, Path]) -> Listing:
    """List what one manifest for each split names, as in train/metadata.csv; None stands for all splits."""
    return read_tables(root, {split: read_table(path) for split, path in paths.items()})


def read_tables(root: Path, tables: dict[Split | None, DataTable]) -> Listing:
    """List what tables in `root` or below it name."""
    rows: list[ManifestRow] = []
    problems: list[Problem] = []
    warnings: list[str] = []
    names: dict[Path, tuple[str, ...]] = {}
    for split, table in tables.items():
        columns = columns_of(table)
        attributes = _attributes(table, columns)
        names[table.path] = attributes.names
        rows += _rows(root, table, columns=columns, attributes=attributes, split=split, problems=problems)
        warnings += [*attributes.warnings, *_unused(table, columns, attributes)]
    _same_attributes(names)
    rows, warnings = _splits_of_folders(rows, warnings)
    return _listing(root, rows, list(names), problems=problems, warnings=warnings, names=next(iter(names.values())))


def _attributes(table: DataTable, columns: Columns) -> Attributes:
    if columns.label is not None:
        return Attributes((), (), ())
    attributes = attributes_of(table, _rest(table, columns))
    if not attributes.names:
        raise DataError(
            f"'{table.path}' has no column for the label, nor two of only 0 and 1 for attributes; call it one of "
            f"{', '.join(LABEL_COLUMNS)}. It has {quoted(table.columns)}."
        )
    return attributes


def _rest(table: DataTable, columns: Columns) -> list[int]:
    used = (columns.file, columns.label, columns.split)
    return [index for index in range(len(table.columns)) if index not in used]


def _unused(table: DataTable, columns: Columns, attributes: Attributes) -> tuple[str, ...]:
    rest = [table.columns[index] for index in _rest(table, columns)]
    names = [name for name in rest if name not in attributes.names and name.casefold() not in KNOWN_UNUSED]
    return (f"Columns of '{table.path.name}' that are not used: {quoted(names)}.",) if names else ()


def _same_attributes(names: dict[Path, tuple[str, ...]]) -> None:
    (first, ours), *others = names.items()
    for path, theirs in others:
        must_agree(f"'{first}'", ours, f"'{path}'", theirs)
        if ours != theirs:
            raise DataError(f"'{first}' and '{path}' have the same attributes in another order.")


# ---------------------------------------------------------------- rows


def _rows(
    root: Path,
    table: DataTable,
    *,
    columns: Columns,
    attributes: Attributes,
    split: Split | None,
    problems: list[Problem],
) -> Iterable[ManifestRow]:
    folder = (table.path.parent.relative_to(root) / table.images).as_posix()
    below = "" if folder == "." else f"{folder}/"
    for index, row in enumerate(table.rows):
        where = table.where(index)
        file = below + inside(row[columns.file], where)
        label = "" if columns.label is None else _label(row[columns.label], where)
        if columns.label is not None and not label:
            problems.append(Problem(file, "unlabeled", f"{where} has no label", left_out=True))
            continue
        known = split if columns.split is None else _split(row[columns.split], split, where)
        yield ManifestRow(Found(file, label, known, attributes.rows[index] if attributes.names else ()), where)


def _label(text: str, where: str) -> str:
    if text == NESTED:
        raise DataError(f"{where} has a list or an object as its label; one image has one label.")
    return normal(text.strip())


def _split(name: str, folder: Split | None, where: str) -> Split | None:
    if not name.strip():
        return folder
    split = split_named(name)
    if split is None:
        raise DataError(f"{where} has the split '{name}'; known are {', '.join(SPLIT_NAMES)}.")
    if folder is not None and split != folder:
        raise DataError(f"{where} says '{name}', but the file lies in the folder for {folder}.")
    return split


def _splits_of_folders(rows: list[ManifestRow], warnings: list[str]) -> tuple[list[ManifestRow], list[str]]:
    """Take the splits from paths such as train/1.jpg where the manifest itself says nothing."""
    if not rows or any(row.found.split for row in rows):
        return rows, warnings
    firsts = {file.split("/")[0] if "/" in file else "" for file in (row.found.file for row in rows)}
    splits = {name: split_named(name) for name in firsts}
    if not all(splits.values()) or "train" not in splits.values() or len(splits) < 2:
        return rows, warnings
    placed = [ManifestRow(replace(r.found, split=splits[r.found.file.split("/")[0]]), r.where) for r in rows]
    return placed, [*warnings, f"The splits are those of the paths: {some(sorted(splits))}."]


# ---------------------------------------------------------------- the listing


def _listing(
    root: Path,
    rows: list[ManifestRow],
    paths: list[Path],
    *,
    problems: list[Problem],
    warnings: list[str],
    names: tuple[str, ...],
) -> Listing:
    if not rows:
        raise DataError(f"'{paths[0]}' names no image{' with a label' if problems else ''}.")
    kept = _once(rows, problems)
    gone = {row.found.file: absent(root, row.found.file, row.where) for row in kept}
    labels_of = {row.found.file: row.found.label for row in kept}
    missing = [replace(problem, label=labels_of[file]) for file, problem in gone.items() if problem]
    found = [row.found for row in kept if gone[row.found.file] is None]
    if not found and missing:
        raise DataError(
            f"none of the {len(rows)} images in '{paths[0]}' can be used; paths are relative to its folder. "
            f"The first: {missing[0].file}: {missing[0].detail}."
        )
    every = (*problems, *missing)
    if names:
        return Listing(root, (), in_order(found), every, tuple(warnings), "attributes", names)
    labels, wrong = ordered(root, {row.found.label for row in rows}, f"'{paths[0]}'")
    lack = _lack(rows, paths) or wrong
    warnings = [*warnings, *nothing_warnings(labels)]
    return Listing(root, labels, in_order(found, labels), every, tuple(warnings), lack=lack)


def _lack(rows: list[ManifestRow], paths: list[Path]) -> str:
    """Say why no net can be trained: val or test have other labels than train, or there is only one; else empty."""
    by_split: dict[Split | None, set[str]] = defaultdict(set)
    for row in rows:
        by_split[row.found.split].add(row.found.label)
    train = by_split.pop("train", set()) | by_split.pop(None, set())
    if not train:
        return f"'{paths[0]}' has rows for {some(map(str, by_split))} but none for train."
    for split, others in by_split.items():
        if text := unknown(f"train of '{paths[0]}'", train, f"{split} of '{paths[-1]}'", others):
            return text
    return f"'{paths[0]}' has only one class, {quoted(train)}; a second class is needed." if len(train) == 1 else ""


def _once(rows: list[ManifestRow], problems: list[Problem]) -> list[ManifestRow]:
    """Keep one row of each file, and none where they contradict each other."""
    groups: dict[str, list[ManifestRow]] = defaultdict(list)
    for row in rows:
        groups[row.found.file].append(row)
    kept = []
    for file, group in groups.items():
        if len(group) == 1:
            kept.append(group[0])
            continue
        first, second = _contradiction(group) or group[:2]
        where = f"{first.where} and {second.where}"
        if _says(first) != _says(second):
            what = f"'{first.found.label}' and '{second.found.label}'" if first.found.label else "two answers"
            problems.append(Problem(file, "conflict", f"{what} in {where}", left_out=True))
            continue
        best = min(group, key=lambda row: PRECEDENCE.index(row.found.split))
        stays = "" if len({row.found.split for row in group}) == 1 else f"; it stays in {best.found.split}"
        problems.append(Problem(file, "listed twice", f"in {where}{stays}", left_out=False))
        kept.append(best)
    return kept


def _says(row: ManifestRow) -> tuple[str, tuple[int | None, ...]]:
    return row.found.label, row.found.attributes


def _contradiction(group: list[ManifestRow]) -> list[ManifestRow] | None:
    other = next((row for row in group if _says(row) != _says(group[0])), None)
    return None if other is None else [group[0], other]
