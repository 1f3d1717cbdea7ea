"""COCO: Microsoft COCO: Common Objects in Context.

T.-Y. Lin, M. Maire, S. Belongie, J. Hays, P. Perona, D. Ramanan, P. Dollar, C. L. Zitnick, 2014,
https://arxiv.org/abs/1405.0312; the format: https://cocodataset.org/#format-data.

`instances_<split>.json` in the folder or its `annotations`; Roboflow's `<split>/_annotations.coco.json`.
"""

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketvision.data.layouts.boxes import clip
from pocketvision.data.layouts.inside import absent, inside
from pocketvision.data.layouts.labels import must_agree
from pocketvision.data.layouts.listing import Found, Listing, in_order, normal, split_named
from pocketvision.data.layouts.table import read_text
from pocketvision.data.layouts.tree import folders
from pocketvision.errors import DataError
from pocketvision.values import Box, Problem, Split
from pocketvision.words import quoted

PATTERNS = ("instances_*.json", "annotations/instances_*.json", "_annotations.coco.json", "*/_annotations.coco.json")
MOST_AREA = 1e10
"""Square pixels; more is a mistake."""
PROBED = 20
"""Images looked for to find the folder they lie in."""


@dataclass(frozen=True)
class CocoParts:
    """One file's lists, each entry checked to be an object."""

    path: Path
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: dict[int, str]
    """Names by id, in the order of the ids."""


def coco_files(root: Path) -> list[Path]:
    """Return the COCO files of a folder."""
    return sorted(path for pattern in PATTERNS for path in root.glob(pattern) if path.is_file())


def coco_root(path: Path) -> Path:
    """Return the folder that images are looked for in: the file's, or the one above `annotations`."""
    return path.parent.parent if path.parent.name == "annotations" else path.parent


def read_coco(path: Path) -> Listing:
    """List what one file describes; its splits are not known."""
    return _listing(coco_root(path), {None: path})


def read_coco_folder(root: Path) -> Listing:
    """List what a folder's files describe; each is the split its name says."""
    paths = coco_files(root)
    if len(paths) == 1:
        return _listing(root, {None: paths[0]})
    splits: dict[Split | None, Path] = {}
    for path in paths:
        split = _split(path)
        if split is None:
            raise DataError(
                f"'{path}' does not say its split in its name; call it instances_train.json, or give it alone."
            )
        if split in splits:
            raise DataError(f"'{splits[split]}' and '{path}' are both for {split}; keep one, or give one alone.")
        splits[split] = path
    if "train" not in splits:
        raise DataError(f"'{root}' has {quoted(path.name for path in paths)} but none for train.")
    return _listing(root, splits)


def _listing(root: Path, paths: dict[Split | None, Path]) -> Listing:
    found: list[Found] = []
    problems: list[Problem] = []
    warnings: list[str] = []
    first: CocoParts | None = None
    for split, path in paths.items():
        parts = _parts(path)
        first = first or parts
        _same_categories(first, parts)
        found += _found(root, parts, split, problems=problems, warnings=warnings)
    assert first is not None
    _must_differ([item.file for item in found], root)
    if not found:
        raise DataError(f"none of the images of '{first.path}' can be used.{_first(problems)}")
    return Listing(root, tuple(first.categories.values()), in_order(found), tuple(problems), tuple(warnings), "boxes")


def _found(
    root: Path, parts: CocoParts, split: Split | None, *, problems: list[Problem], warnings: list[str]
) -> list[Found]:
    folder = _folder(root, parts)
    boxes = _boxes(parts)
    found = []
    for image in parts.images:
        where = f"the image {image['id']} of '{parts.path}'"
        file = folder + inside(image["file_name"], where)
        size = _size(image)
        clipped = clip(file, boxes.pop(image["id"], []), size)
        problems += clipped.problems
        gone = absent(root, file, where)
        if gone:
            problems.append(gone)
        else:
            found.append(Found(file, "", split, (), clipped.boxes, size))
    if boxes:
        number = sum(len(rest) for rest in boxes.values())
        warnings.append(f"{number} boxes of '{parts.path.name}' are of images it does not list; they are not used.")
    return found


# ---------------------------------------------------------------- the file


def _parts(path: Path) -> CocoParts:
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"'{path}' is no JSON: {error}.") from None
    if not isinstance(content, dict) or not {"images", "categories"} <= content.keys():
        raise DataError(f"'{path}' is no COCO file; it needs the lists images, annotations and categories.")
    images = _records(path, content, "images", {"id": int, "file_name": str})
    annotations = _records(path, content, "annotations", {"image_id": int, "category_id": int, "bbox": list})
    categories = _records(path, content, "categories", {"id": int, "name": str})
    for name, records in (("images", images), ("categories", categories)):
        if len({record["id"] for record in records}) < len(records):
            raise DataError(f"'{path}' gives one id to two of its {name}.")
    names = {record["id"]: normal(record["name"]) for record in sorted(categories, key=lambda record: record["id"])}
    if not names or len(set(names.values())) < len(names):
        raise DataError(f"'{path}' has {'two categories of one name' if names else 'no categories'}.")
    return CocoParts(path, images, annotations, names)


def _records(path: Path, content: dict[str, Any], name: str, fields: dict[str, type]) -> list[dict[str, Any]]:
    records = content.get(name, [])
    if not isinstance(records, list):
        raise DataError(f"'{name}' of '{path}' is no list.")
    for number, record in enumerate(records, 1):
        for field, kind in fields.items():
            if not isinstance(record, dict) or not isinstance(record.get(field), kind):
                raise DataError(f"entry {number} of '{name}' in '{path}' has no {field} of type {kind.__name__}.")
    return records


def _boxes(parts: CocoParts) -> dict[int, list[Box]]:
    labels = {number: index for index, number in enumerate(parts.categories)}
    boxes: dict[int, list[Box]] = defaultdict(list)
    for number, record in enumerate(parts.annotations, 1):
        bbox, category = record["bbox"], record["category_id"]
        if len(bbox) != 4 or not all(isinstance(value, int | float) for value in bbox):
            raise DataError(
                f"entry {number} of 'annotations' in '{parts.path}' has a bbox that is not x, y, width, height."
            )
        if category not in labels:
            raise DataError(
                f"entry {number} of 'annotations' in '{parts.path}' has the category {category}; "
                f"known are {quoted(map(str, labels))}."
            )
        try:
            x, y, width, height = map(float, bbox)
        except OverflowError:
            x, y, width, height = 0.0, 0.0, 0.0, 0.0  # named as a box without area
        crowd = bool(record.get("iscrowd"))
        box = Box(labels[category], x, y, x + width, y + height, crowd=crowd, area=_area(record))
        boxes[record["image_id"]].append(box)
    return boxes


def _area(record: dict[str, Any]) -> float | None:
    """Return the object's own area, less than its box's where it is known by its outline."""
    area = record.get("area")
    if not isinstance(area, int | float) or isinstance(area, bool) or not 0 < area < MOST_AREA:
        return None
    return float(area)


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        return width, height
    return None


# ---------------------------------------------------------------- where things lie


def _split(path: Path) -> Split | None:
    text = path.stem.removeprefix("instances_") if path.stem.startswith("instances_") else path.parent.name
    return split_named(re.sub(r"[\d_-]+$", "", text))


def _folder(root: Path, parts: CocoParts) -> str:
    """Return the folder below the root in which most of the first images lie, with a slash at its end."""
    names = [name for image in parts.images[:PROBED] if _plain(name := image["file_name"])]
    own = parts.path.parent.relative_to(root).as_posix()
    nested = folders(root / "images") if (root / "images").is_dir() else []
    places = ["", own, *folders(root), *(f"images/{name}" for name in nested)]
    stem = parts.path.stem.removeprefix("instances_")
    # Of folders that hold as many, the one with the file's own name comes first: 1.jpg may lie in train and in val.
    places.sort(key=lambda place: place.rpartition("/")[2] != stem and place != own)
    best = max(places, key=lambda place: sum((root / place / name).exists() for name in names))
    return f"{best}/" if best not in ("", ".") else ""


def _plain(name: str) -> bool:
    return "\0" not in name and ".." not in name


def _same_categories(first: CocoParts, other: CocoParts) -> None:
    must_agree(f"'{first.path}'", first.categories.values(), f"'{other.path}'", other.categories.values())
    if first.categories != other.categories:
        raise DataError(f"'{first.path}' and '{other.path}' give other ids to the same categories.")


def _must_differ(names: list[str], root: Path) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"'{name}' of '{root}' is listed twice, as two images or in two splits.")
        seen.add(name)


def _first(problems: list[Problem]) -> str:
    return f" The first: {problems[0].file}: {problems[0].detail}." if problems else ""
