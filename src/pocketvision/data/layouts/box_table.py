"""Boxes in a table, a row a box: filename,width,height,class,xmin,ymin,xmax,ymax[,split], in pixels.

As TensorFlow's object detection tutorials and Roboflow write it. A row with a file and neither class nor corners says
that nothing is in the image; of an image without a row nothing is known, and it is not used.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pocketvision.data.layouts.boxes import clip
from pocketvision.data.layouts.inside import absent, inside
from pocketvision.data.layouts.labels import nothing_warnings, ordered
from pocketvision.data.layouts.listing import SPLIT_NAMES, Found, Listing, in_order, normal, split_named
from pocketvision.data.layouts.table import CSV_SUFFIXES, NESTED, DataTable, read_table
from pocketvision.data.layouts.tree import files, folders, is_image
from pocketvision.errors import DataError
from pocketvision.values import Box, Problem, Split
from pocketvision.words import plural, quoted, some

FILE_COLUMNS = ("filename", "file_name", "file", "image", "path", "image_path", "filepath")
LABEL_COLUMNS = ("class", "label", "class_name", "category")
CORNERS = (("xmin", "x_min", "x1"), ("ymin", "y_min", "y1"), ("xmax", "x_max", "x2"), ("ymax", "y_max", "y2"))
SPLIT_COLUMNS = ("split", "subset")
NAME = "_annotations.csv"
PROBED = 20
"""Images looked for to find the folder they lie in."""


@dataclass(frozen=True)
class BoxRow:
    """One line; no label and no corners where nothing is in the image."""

    file: str
    label: str
    corners: tuple[float, ...]
    size: tuple[int, int] | None
    split: Split | None
    where: str


@dataclass(frozen=True)
class BoxColumns:
    """Where the values of a row stand; None where the table has no such column."""

    file: int
    label: int
    corners: tuple[int, ...]
    width: int | None
    height: int | None
    split: int | None


def columns_of(table: DataTable) -> BoxColumns | None:
    """Find the columns by name; None where the table is not of boxes."""
    names = [name.casefold().replace(" ", "_") for name in table.columns]

    def one(known: Iterable[str]) -> int | None:
        return next((names.index(name) for name in known if name in names), None)

    file, label, corners = one(FILE_COLUMNS), one(LABEL_COLUMNS), [one(known) for known in CORNERS]
    if file is None or label is None or None in corners:
        return None
    known = tuple(corner for corner in corners if corner is not None)
    return BoxColumns(file, label, known, one(("width",)), one(("height",)), one(SPLIT_COLUMNS))


def box_tables(root: Path) -> dict[Split | None, Path]:
    """Return the tables of boxes in a folder or its split folders, by split; None stands for all."""
    inner: dict[Split | None, Path] = {
        split: root / name / NAME for name in folders(root) if (split := split_named(name))
    }
    if found := {split: path for split, path in inner.items() if path.is_file() and is_box_table(path)}:
        return found
    paths = [root / name for name in files(root) if Path(name).suffix.lower() in CSV_SUFFIXES]
    paths = [path for path in paths if is_box_table(path)]
    if len(paths) <= 1:
        return dict.fromkeys([None], paths[0]) if paths else {}
    splits: dict[Split | None, Path] = {}
    for path in paths:
        split = split_named(re.sub(r"[\s_-]*(labels?|annotations?|boxes)$", "", path.stem, flags=re.IGNORECASE))
        if split is None or split in splits:
            raise DataError(
                f"'{root}' has {plural(len(paths), 'table')} of boxes; name them train.csv, val.csv and test.csv, or "
                f"give one alone: {path}"
            )
        splits[split] = path
    return splits


def is_box_table(path: Path) -> bool:
    """Tell whether a file is a table with the columns of boxes, by its first line."""
    try:
        with path.open("rb") as stream:
            first = stream.read(4000).replace(b"\0", b"").decode("latin-1").casefold()
    except OSError:
        return False
    line = first.lstrip("\xef\xbb\xbf\xff\xfe \r\n").partition("\n")[0]
    names = {name.strip(' \r"').replace(" ", "_") for name in re.split("[,;\t]", line)}
    return all(names & set(known) for known in (*CORNERS, FILE_COLUMNS, LABEL_COLUMNS))


def read_boxes(root: Path, paths: dict[Split | None, Path]) -> Listing:
    """List what tables in a folder or below it name."""
    return list_boxes(root, {split: read_table(path) for split, path in paths.items()})


def list_boxes(root: Path, tables: dict[Split | None, DataTable]) -> Listing:
    """List the boxes of tables that have the columns of boxes."""
    problems: list[Problem] = []
    rows: list[BoxRow] = []
    for split, table in tables.items():
        rows += _rows(root, table, split)
    first = next(iter(tables.values())).path
    names = {row.label for row in rows if row.label}
    if not names:
        raise DataError(f"there is no box in '{first}'.")
    labels, lack = ordered(root, names, f"'{first}'")
    groups: dict[str, list[BoxRow]] = defaultdict(list)
    for row in rows:
        groups[row.file].append(row)
    found = [item for group in groups.values() if (item := _found(root, group, labels, problems))]
    if not found:
        raise DataError(
            f"none of the images in '{first}' can be used; paths are relative to its folder. The first: "
            f"{problems[0].file}: {problems[0].detail}."
        )
    _must_have_train(first, found)
    warnings = (*_unlisted(root, first, set(groups)), *nothing_warnings(labels))
    return Listing(root, labels, in_order(found), tuple(problems), warnings, "boxes", lack=lack)


def _found(root: Path, rows: list[BoxRow], labels: tuple[str, ...], problems: list[Problem]) -> Found | None:
    """Return one image with the boxes of its rows; None where it is not there."""
    first = rows[0]
    splits = {row.split for row in rows}
    if len(splits) > 1:
        raise DataError(
            f"'{first.file}' is in two splits: {', '.join(sorted(map(str, splits)))}; see {rows[-1].where}."
        )
    if len({row.size for row in rows}) > 1:
        detail = f"rows give it different widths and heights; those in {first.where} are used"
        problems.append(Problem(first.file, "box", detail, left_out=False))
    gone = absent(root, first.file, first.where)
    if gone:
        problems.append(gone)
        return None
    boxes = (_box(labels.index(row.label), *row.corners) for row in rows if row.label)
    clipped = clip(first.file, boxes, first.size)
    problems += clipped.problems
    return Found(first.file, "", first.split, (), clipped.boxes, first.size)


def _box(label: int, x1: float, y1: float, x2: float, y2: float) -> Box:
    return Box(label, x1, y1, x2, y2)


def _must_have_train(path: Path, found: list[Found]) -> None:
    splits = {item.split for item in found}
    if not splits & {None, "train"}:
        raise DataError(f"'{path}' has rows for {some(map(str, splits))} but none for train.")


# ---------------------------------------------------------------- rows


def _rows(root: Path, table: DataTable, split: Split | None) -> Iterable[BoxRow]:
    columns = columns_of(table)
    if columns is None:
        raise DataError(f"'{table.path}' has no columns for boxes; name them filename, class, xmin, ymin, xmax, ymax.")
    names = [inside(row[columns.file], table.where(place)) for place, row in enumerate(table.rows)]
    below = _folder(root, table.path.parent, names)
    for place, row in enumerate(table.rows):
        where = table.where(place)
        label = row[columns.label]
        if label == NESTED:
            raise DataError(f"{where} has a list or an object as its class; a box has one.")
        label = normal(label.strip())
        cells = [row[corner].strip() for corner in columns.corners]
        if not label and any(cells):
            raise DataError(f"{where} has a box without a class.")
        corners = tuple(_number(cell, where, table.columns[corner]) for cell, corner in _cells(cells, columns, label))
        size = _size(row, columns)
        yield BoxRow(
            f"{below}{names[place]}", label, corners, size, _split(row, columns, split=split, where=where), where
        )


def _cells(cells: list[str], columns: BoxColumns, label: str) -> list[tuple[str, int]]:
    return list(zip(cells, columns.corners, strict=True)) if label else []


def _number(text: str, where: str, column: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{where} has {text!r} as {column}, which is no number.") from None


def _size(row: tuple[str, ...], columns: BoxColumns) -> tuple[int, int] | None:
    if columns.width is None or columns.height is None:
        return None
    try:
        width, height = (round(float(row[place])) for place in (columns.width, columns.height))
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _split(row: tuple[str, ...], columns: BoxColumns, *, split: Split | None, where: str) -> Split | None:
    if columns.split is None or not row[columns.split].strip():
        return split
    named = split_named(row[columns.split])
    if named is None:
        raise DataError(f"{where} has the split '{row[columns.split]}'; known are {', '.join(SPLIT_NAMES)}.")
    if split is not None and named != split:
        raise DataError(f"{where} says '{row[columns.split]}', but its table is that of {split}.")
    return named


def _folder(root: Path, own: Path, names: list[str]) -> str:
    """Return the folder below the root in which most of the first images lie, with a slash at its end."""
    below = own.relative_to(root).as_posix()
    start = "" if below == "." else f"{below}/"
    places = [start, *(f"{start}{name}/" for name in folders(own))]
    probed = [name for name in dict.fromkeys(names)][:PROBED]
    return max(places, key=lambda place: sum((root / f"{place}{name}").exists() for name in probed))


def _unlisted(root: Path, path: Path, names: set[str]) -> tuple[str, ...]:
    """Say which images lie where those of the table lie, and are not in it."""
    beside = []
    for folder in sorted({name.rpartition("/")[0] for name in names}):
        if (root / folder).is_dir():
            lying = (f"{folder}/{name}".lstrip("/") for name in files(root / folder))
            beside += [file for file in lying if file not in names and is_image(root / file)]
    if not beside:
        return ()
    return (
        f"'{path.name}' has no row for {plural(len(beside), 'image')}, which are not used: {quoted(beside)}. Where "
        "nothing is in an image, give it a row with an empty class.",
    )
