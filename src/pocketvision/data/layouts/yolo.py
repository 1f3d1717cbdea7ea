"""YOLO: a text for each image, a line a box: class number, center x, center y, width, height, in shares of the image.

Source: https://docs.ultralytics.com/datasets/detect/, and darknet before it. `data.yaml` names the classes and where
the images of each split lie: a folder, a text that lists images, or several of them. `images/a/1.jpg` has its boxes in
`labels/a/1.txt`; without a folder `images`, beside the image. An image without such a text, or with an empty one,
shows nothing of the classes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from pocketvision.data.layouts.boxes import SHARES, SLACK_OF_SHARES, clip
from pocketvision.data.layouts.inside import absent
from pocketvision.data.layouts.labels import LISTS, read_list
from pocketvision.data.layouts.listing import Found, Listing, in_order, normal, split_named
from pocketvision.data.layouts.table import read_text
from pocketvision.data.layouts.tree import files, is_image, walk
from pocketvision.errors import DataError
from pocketvision.files import lines_of
from pocketvision.values import Box, Problem, Split
from pocketvision.words import quoted, some

SUFFIXES = (".yaml", ".yml")
IMAGES, LABELS = "images", "labels"
LONGEST_YAML = 1_000_000
"""Bytes; the names of a thousand classes take a fiftieth of it."""
_PLAIN, _POLYGON = 5, 7
"""Numbers on the line of a box, and the fewest on that of an outline, with the class."""


@dataclass(frozen=True)
class YoloPages:
    """What the text files of a data set are read by."""

    root: Path
    numbers: dict[str, int]
    """Place among the names by the number in the files."""
    source: str
    """What names the classes."""


@dataclass
class _Read:
    """What was met on the way."""

    problems: list[Problem]
    outlines: int = 0
    texts: int = 0


def yolo_file(root: Path) -> Path | None:
    """Return the YAML file of a folder that names classes and splits; None where there is none."""
    for name in files(root):
        path = root / name
        if path.suffix.lower() in SUFFIXES and path.stat().st_size <= LONGEST_YAML:
            try:
                content = _content(path)
            except DataError:
                continue
            if "names" in content and any(split_named(key) for key in content):
                return path
    return None


def is_yolo(root: Path) -> bool:
    """Tell whether a folder has the images and texts of the layout, whatever names its classes."""
    texts = walk(root / LABELS) if (root / IMAGES).is_dir() and (root / LABELS).is_dir() else iter(())
    return next(texts, Path()).suffix == ".txt"


def read_yolo(path: Path) -> Listing:
    """List what a YAML file describes, relative to its folder."""
    root, content = path.parent, _content(path)
    names = _names(path, content)
    splits: dict[str, Split] = {}
    warnings: list[str] = []
    base = _base(root, content.get("path"))
    for key, places in content.items():
        split = split_named(key)
        if split is not None and places:
            new = list(_images(path, base, places, warnings=warnings))
            if new and all(file in splits for file in new):
                warnings.append(f"'{key}' of '{path.name}' has no image of its own and is not used.")
                continue
            for file in new:
                if splits.setdefault(file, split) != split:
                    raise DataError(f"'{file}' is in {splits[file]} and in {split} of '{path}'; give it to one.")
    if not splits:
        raise DataError(f"'{path}' names no images: it needs train, and val or test, each a folder or a list.")
    if "train" not in splits.values():
        raise DataError(f"'{path}' has {quoted(sorted(set(splits.values())))} but none for train.")
    return _listing(root, names, f"'{path.name}'", dict(splits), warnings=warnings)


def read_yolo_folder(root: Path) -> Listing:
    """List a folder of `images` and `labels`, whose splits are those of folders such as images/train, if any."""
    name = next((name for name in LISTS if (root / name).is_file()), None)
    if name is None:
        raise DataError(
            f"'{root}' has boxes as YOLO writes them, but nothing names their classes: add {LISTS[1]} with a name a "
            "line, in the order of their numbers, or a data.yaml with names and train."
        )
    names = dict(enumerate(read_list(root / name)))
    found = [path.relative_to(root).as_posix() for path in walk(root / IMAGES) if is_image(path)]
    given: dict[str, Split | None] = {file: split_named(file.split("/")[1]) for file in found}
    if not all(given.values()) or "train" not in given.values():
        given = dict.fromkeys(found)
    return _listing(root, {f"{number}": name for number, name in names.items()}, f"'{name}'", given, warnings=[])


def _listing(
    root: Path, names: dict[str, str], source: str, splits: dict[str, Split | None], *, warnings: list[str]
) -> Listing:
    pages = YoloPages(root, {number: place for place, number in enumerate(names)}, source)
    read, found = _Read([]), []
    for file, split in splits.items():
        gone = absent(root, file, source)
        if gone:
            read.problems.append(gone)
            continue
        boxes = tuple(_boxes(pages, file, read))
        clipped = clip(file, boxes, SHARES, slack=SLACK_OF_SHARES)
        read.problems += clipped.problems
        found.append(Found(file, "", split, (), clipped.boxes, None, "upright", True))
    if not read.texts:
        raise DataError(
            f"no image of {source} in '{root}' has a text with boxes: {IMAGES}/1.jpg has them in {LABELS}/1.txt."
        )
    if read.outlines:
        warnings.append(f"{read.outlines} lines hold an outline; the box around it is used.")
    return Listing(root, tuple(names.values()), in_order(found), tuple(read.problems), tuple(warnings), "boxes")


# ---------------------------------------------------------------- the YAML file


def _content(path: Path) -> dict[str, object]:
    """Read a YAML file with every value as text: `no` is a name, and nothing of it is run."""
    if path.stat().st_size > LONGEST_YAML:
        raise DataError(f"'{path}' is too long for a file that names classes and splits.")
    try:
        content = yaml.load(read_text(path), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise DataError(f"'{path}' is no YAML: {' '.join(str(error).split())[:200]}.") from None
    if not isinstance(content, dict):
        raise DataError(f"'{path}' needs the keys names and train.")
    return {key: value for key, value in content.items() if isinstance(key, str)}


def _names(path: Path, content: dict[str, object]) -> dict[str, str]:
    """Return the names by the numbers in the text files, in their order."""
    names = content.get("names")
    if isinstance(names, list):
        names = {f"{number}": name for number, name in enumerate(names)}
    if not isinstance(names, dict) or not names:
        raise DataError(f"'{path}' needs names, a list of the classes.")
    if wrong := [number for number in names if not (isinstance(number, str) and number.isdecimal())]:
        raise DataError(f"names of '{path}' has {wrong[0]!r}, which is no number of a class.")
    if wrong := [name for name in names.values() if not (isinstance(name, str) and name.strip())]:
        raise DataError(f"names of '{path}' has {wrong[0]!r}, which is no name of a class.")
    found = {f"{int(number)}": normal(names[number].strip()) for number in sorted(names, key=int)}
    if len(set(found.values())) < len(names):
        raise DataError(f"names of '{path}' has one name or number twice.")
    count = content.get("nc")
    if isinstance(count, str) and count.isdecimal() and int(count) != len(found):
        raise DataError(f"'{path}' says nc: {count}, but has {len(found)} names; correct one of them.")
    return found


def _base(root: Path, place: object) -> str:
    """Return the folder that the others are relative to: the longest end of `path` that lies below the root."""
    text = place.replace("\\", "/") if isinstance(place, str) else ""
    parts = [part for part in text.split("/") if part not in ("", ".", "..")]
    ends = ("/".join(parts[first:]) for first in range(len(parts)))
    return next((end for end in ends if "\0" not in end and (root / end).is_dir()), "")


def _images(path: Path, base: str, places: object, *, warnings: list[str]) -> Iterator[str]:
    """Yield the images of one split, as paths below the root."""
    root = path.parent
    for place in places if isinstance(places, list) else [places]:
        if not isinstance(place, str):
            raise DataError(f"'{path}' names {place!r} where a folder or a list of images belongs.")
        below = _below(root, place, path, warnings, base)
        if (root / below).is_dir():
            yield from (file.relative_to(root).as_posix() for file in walk(root / below) if is_image(file))
        else:
            own = below.rpartition("/")[0]
            for line in lines_of(read_text(root / below)):
                if line.strip():
                    yield _below(root, line.strip(), root / below, warnings, own if line.startswith("./") else base)


def _below(root: Path, place: str, where: Path, warnings: list[str], base: str = "") -> str:
    """Return a path below the root that exists; of one that leads elsewhere, the longest end that lies below.

    Files made on another computer name folders of that one, and some tools write `../train/images` for what lies
    beside the YAML file.
    """
    parts = [part for part in place.replace("\\", "/").split("/") if part not in ("", ".")]
    plain = [part for part in parts if part != ".." and not part.endswith(":")]
    foreign = plain != parts or place.startswith("/")
    ends = [plain] if not foreign else [plain[first:] for first in range(len(plain))]
    for start in dict.fromkeys((base, "")):
        for end in ends:
            found = "/".join((*([start] if start else []), *end))
            if "\0" not in found and (root / found).exists():
                text = f"Paths of '{where.name}' lead out of the folder; their ends, which lie in it, are used."
                if foreign and text not in warnings:
                    warnings.append(text)
                return found
    if where.suffix.lower() not in SUFFIXES:
        return "/".join(plain)  # an image of a list: told as missing
    raise DataError(f"'{where}' names {place!r}, and there is no such folder or list in '{root}'.")


# ---------------------------------------------------------------- the texts


def _text_of(root: Path, file: str) -> Path | None:
    """Return the text with an image's boxes."""
    stem = file[: file.rfind(".")] if "." in file.rpartition("/")[2] else file
    head, found, tail = f"/{stem}".rpartition(f"/{IMAGES}/")
    places = [f"{head}/{LABELS}/{tail}.txt"[1:] if head else f"{LABELS}/{tail}.txt"] if found else []
    return next((path for place in (*places, f"{stem}.txt") if (path := root / place).is_file()), None)


def _boxes(pages: YoloPages, file: str, read: _Read) -> Iterator[Box]:
    path = _text_of(pages.root, file)
    if path is None:
        return
    read.texts += 1
    for number, line in enumerate(lines_of(read_text(path)), 1):
        if not (cells := line.split()):
            continue
        where = f"line {number} of '{path}'"
        label, *values = _numbers(cells, where)
        if label != int(label) or f"{int(label)}" not in pages.numbers:
            raise DataError(f"{where} has the class {cells[0]}; {pages.source} knows {some(pages.numbers)}.")
        box = _box(values, where)
        read.outlines += len(values) + 1 != _PLAIN
        yield Box(pages.numbers[f"{int(label)}"], *box)


def _numbers(cells: list[str], where: str) -> list[float]:
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        raise DataError(f"{where} is no box: a class number and x, y, width, height, with spaces between.") from None
    if not math.isfinite(numbers[0]):
        raise DataError(f"{where} has no class number.")
    return numbers


def _box(values: list[float], where: str) -> tuple[float, float, float, float]:
    """Return the corners of a box, or of the box around an outline x1 y1 x2 y2 x3 y3 and so on."""
    if len(values) == _PLAIN - 1:
        x, y, width, height = values
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if len(values) < _POLYGON - 1 or len(values) % 2:
        raise DataError(
            f"{where} has {len(values) + 1} numbers; a box has {_PLAIN}, and an outline a class and pairs of x and y."
        )
    if not all(map(math.isfinite, values)):
        return math.nan, math.nan, math.nan, math.nan  # named as a box without area
    return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
