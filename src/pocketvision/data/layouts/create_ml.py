"""Create ML: a JSON list of images, each with annotations of a label and a box by its center, in pixels.

Source: https://developer.apple.com/documentation/createml/building-an-object-detector-data-source.
`annotations.json` in the folder; Roboflow's `<split>/_annotations.createml.json`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pocketvision.data.layouts.boxes import clip
from pocketvision.data.layouts.inside import absent, inside
from pocketvision.data.layouts.labels import ordered
from pocketvision.data.layouts.listing import Found, Listing, in_order, normal, split_named
from pocketvision.data.layouts.table import read_text
from pocketvision.data.layouts.tree import files, folders, is_image
from pocketvision.errors import DataError
from pocketvision.values import Box, Problem, Split
from pocketvision.words import plural, quoted, some

NAMES = ("_annotations.createml.json", "annotations.json")
FILE_KEYS = ("image", "imagefilename", "filename")
COORDINATES = ("x", "y", "width", "height")

Entry = tuple[str, list[tuple[str, tuple[float, ...]]]]
"""A file and, per box, its label with its coordinates."""


def is_create_ml(path: Path) -> bool:
    """Tell whether a JSON file holds a list, as Create ML's do, and not COCO's object."""
    try:
        with path.open("rb") as stream:
            return stream.read(1000).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    except OSError:
        return False


def create_ml_files(root: Path) -> dict[Split | None, Path]:
    """Return the files of a folder by split; None stands for all."""
    for name in NAMES:
        if (root / name).is_file() and is_create_ml(root / name):
            return {None: root / name}
        splits: dict[Split | None, Path] = {
            split: root / folder / name for folder in folders(root) if (split := split_named(folder))
        }
        if found := {split: path for split, path in splits.items() if path.is_file() and is_create_ml(path)}:
            return found
    return {}


def read_create_ml(path: Path) -> Listing:
    """List what one file describes, relative to its folder."""
    return read_create_ml_files(path.parent, {None: path})


def read_create_ml_files(root: Path, paths: dict[Split | None, Path]) -> Listing:
    """List what a file for each split describes."""
    if None not in paths and "train" not in paths:
        raise DataError(f"'{root}' has {quoted(path.parent.name for path in paths.values())} but none for train.")
    entries = {path: list(_entries(path)) for path in paths.values()}
    names = {label for found in entries.values() for _, boxes in found for label, _ in boxes}
    first = next(iter(entries))
    if not names:
        raise DataError(f"there is no box in '{first}'.")
    labels, lack = ordered(root, names, f"'{first}'")
    found: list[Found] = []
    problems: list[Problem] = []
    warnings: list[str] = []
    for split, path in paths.items():
        new = _found(root, path, labels=labels, entries=entries[path], split=split, problems=problems)
        found += new
        warnings += _unlisted(root, path, {name for name, _ in entries[path]})
    if not found:
        raise DataError(f"none of the images of '{first}' can be used. The first: {problems[0].detail}.")
    _must_differ([item.file for item in found], root)
    return Listing(root, labels, in_order(found), tuple(problems), tuple(warnings), "boxes", lack=lack)


def _found(
    root: Path,
    path: Path,
    *,
    labels: tuple[str, ...],
    entries: list[Entry],
    split: Split | None,
    problems: list[Problem],
) -> list[Found]:
    folder = path.parent.relative_to(root).as_posix()
    below = "" if folder == "." else f"{folder}/"
    found = []
    for name, boxes in entries:
        file = f"{below}{name}"
        clipped = clip(file, (_box(labels.index(label), *values) for label, values in boxes), None)
        problems += clipped.problems
        gone = absent(root, file, f"'{path}'")
        if gone:
            problems.append(gone)
        else:
            found.append(Found(file, "", split, (), clipped.boxes, None, "upright"))
    return found


def _box(label: int, x: float, y: float, width: float, height: float) -> Box:
    return Box(label, x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _unlisted(root: Path, path: Path, names: set[str]) -> tuple[str, ...]:
    beside = [name for name in files(path.parent) if is_image(path.parent / name) and name not in names]
    if not beside:
        return ()
    where = path.relative_to(root).as_posix()
    return (
        f"'{where}' does not list {plural(len(beside), 'image')} beside it, which are not used: {some(beside)}. Where "
        "nothing is in an image, list it with an empty list of annotations.",
    )


def _must_differ(names: list[str], root: Path) -> None:
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice:
        raise DataError(f"'{twice}' of '{root}' is listed twice.")


# ---------------------------------------------------------------- the file


def _entries(path: Path) -> Iterator[Entry]:
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"'{path}' is no JSON: {error}.") from None
    if not isinstance(content, list):
        raise DataError(f"'{path}' is no Create ML file; it needs a list of images.")
    for number, record in enumerate(content, 1):
        where = f"entry {number} of '{path}'"
        if not isinstance(record, dict):
            raise DataError(f"{where} is no object with image and annotations.")
        name = next((record[key] for key in FILE_KEYS if isinstance(record.get(key), str)), None)
        annotations = record.get("annotations", record.get("annotation"))
        if name is None or not isinstance(annotations, list):
            raise DataError(f"{where} needs image, the name of a file, and annotations, a list.")
        yield inside(name, where), [_annotation(one, where) for one in annotations]


def _annotation(record: Any, where: str) -> tuple[str, tuple[float, ...]]:
    label = record.get("label") if isinstance(record, dict) else None
    if not isinstance(label, str) or not label.strip():
        raise DataError(f"{where} has a box without a label.")
    place = record.get("coordinates")
    values: list[Any] = [place.get(name) for name in COORDINATES] if isinstance(place, dict) else []
    if not values or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise DataError(f"{where} has a box whose coordinates are not {', '.join(COORDINATES)} in pixels.")
    try:
        return normal(label.strip()), tuple(map(float, values))
    except OverflowError:
        return normal(label.strip()), (0.0, 0.0, 0.0, 0.0)  # named as a box without area
