"""Pascal VOC's annotations beside their images, as labelImg saves them, and Roboflow in a folder for each split."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pocketvision.data.layouts.boxes import clip
from pocketvision.data.layouts.labels import ordered
from pocketvision.data.layouts.listing import Found, Listing, in_order, split_named
from pocketvision.data.layouts.tree import files, folders, is_image
from pocketvision.data.layouts.voc import VocPage, boxes_on, read_page, shift_of
from pocketvision.errors import DataError
from pocketvision.values import Problem, Split

_MARK, _HEAD = b"<annotation", 400
"""What such a file begins with, within so many bytes."""


class _Pair(NamedTuple):
    file: str
    split: Split | None
    page: VocPage


def is_voc_beside(root: Path) -> bool:
    """Tell whether an annotation lies beside an image of its name, in a folder or in its split folders."""
    return any(_annotated(folder) for folder in _places(root))


def read_voc_beside(root: Path) -> Listing:
    """List the annotated images; images without an annotation are told of."""
    found: list[Found] = []
    problems: list[Problem] = []
    places = {folder: split for folder, split in _places(root).items() if _annotated(folder)}
    pairs = [pair for folder, split in places.items() for pair in _pairs(root, folder, split)]
    names = {thing.name for pair in pairs for thing in pair.page.things}
    if not names:
        raise DataError(f"there is no box in the .xml files of '{root}'.")
    labels, lack = ordered(root, names, f"the .xml files of '{root}'")
    shift = shift_of(pair.page for pair in pairs)
    for pair in pairs:
        clipped = clip(pair.file, boxes_on(pair.page, labels), pair.page.size, shift=shift)
        problems += clipped.problems
        found.append(Found(pair.file, "", pair.split, (), clipped.boxes, pair.page.size))
    bare = sum(len(_images(folder)) for folder in places) - len(pairs)
    warnings = (
        *(("No box begins at 0: they are taken to count pixels from 1, as VOC's do.",) * bool(shift)),
        *((f"{bare} images have no .xml beside them and were not used.",) * bool(bare)),
    )
    return Listing(root, labels, in_order(found), tuple(problems), warnings, "boxes", lack=lack)


def _places(root: Path) -> dict[Path, Split | None]:
    """Return the folder itself, or its split folders where nothing is annotated in it."""
    if _annotated(root):
        return {root: None}
    return {root / name: split for name in folders(root) if (split := split_named(name))}


def _images(folder: Path) -> dict[str, str]:
    return {Path(name).stem: name for name in files(folder) if is_image(folder / name)}


def _annotated(folder: Path) -> list[str]:
    """Return the stems of the annotations that have an image beside them."""
    stems = [name[: -len(".xml")] for name in files(folder) if name.lower().endswith(".xml")]
    if not stems:
        return []
    images = _images(folder)
    return [stem for stem in stems if stem in images and _is_annotation(folder, stem)]


def _is_annotation(folder: Path, stem: str) -> bool:
    try:
        with _xml(folder, stem).open("rb") as stream:
            return _MARK in stream.read(_HEAD)
    except OSError:
        return False


def _xml(folder: Path, stem: str) -> Path:
    return next(path for path in (folder / f"{stem}.xml", folder / f"{stem}.XML") if path.exists())


def _pairs(root: Path, folder: Path, split: Split | None) -> Iterator[_Pair]:
    images = _images(folder)
    for stem in _annotated(folder):
        file = (folder / images[stem]).relative_to(root).as_posix()
        yield _Pair(file, split, read_page(_xml(folder, stem)))
