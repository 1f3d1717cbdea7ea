"""Pascal VOC: The PASCAL Visual Object Classes (VOC) Challenge.

M. Everingham, L. Van Gool, C. K. I. Williams, J. Winn, A. Zisserman, 2010,
https://link.springer.com/article/10.1007/s11263-009-0275-4.

`Annotations/*.xml`, `JPEGImages/`, and the splits as names without suffix in `ImageSets/Main/{train,val,test}.txt`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from pocketvision.data.layouts.boxes import clip
from pocketvision.data.layouts.labels import ordered
from pocketvision.data.layouts.listing import Found, Listing, in_order, normal
from pocketvision.data.layouts.table import read_text
from pocketvision.data.layouts.tree import files, is_image
from pocketvision.errors import DataError
from pocketvision.files import lines_of
from pocketvision.values import Box, Problem, Split
from pocketvision.words import some

ANNOTATIONS, IMAGES, SETS = "Annotations", "JPEGImages", "ImageSets/Main"
SET_FILES: dict[str, Split | None] = {"train": "train", "val": "val", "test": "test", "trainval": None}
LARGEST_XML = 4_000_000
"""Bytes; the annotation of one image has a few thousand."""


@dataclass(frozen=True)
class Thing:
    """One box with its class's name; `corners` as written."""

    name: str
    corners: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class VocPage:
    """What one XML file says."""

    stem: str
    filename: str
    size: tuple[int, int] | None
    things: tuple[Thing, ...]


def is_voc(root: Path) -> bool:
    """Tell whether a folder has the layout."""
    return (root / ANNOTATIONS).is_dir() and (root / IMAGES).is_dir()


def read_voc(root: Path) -> Listing:
    """List the annotated images; those without an annotation or in no set are told of."""
    stems = [name.removesuffix(".xml") for name in files(root / ANNOTATIONS) if name.endswith(".xml")]
    splits, unlisted = _splits(root, stems)
    pages = [read_page(root / ANNOTATIONS / f"{stem}.xml") for stem in stems if stem in splits]
    names = {thing.name for page in pages for thing in page.things}
    if not names:
        raise DataError(f"there is no box in '{root / ANNOTATIONS}'{' of the sets' if pages else ''}.")
    labels, lack = ordered(root, names, f"'{root / ANNOTATIONS}'")
    shift = shift_of(pages)
    warnings = (
        *unlisted,
        *(("No box begins at 0: they are taken to count pixels from 1, as VOC's do.",) * bool(shift)),
    )
    images = {Path(name).stem: name for name in files(root / IMAGES) if is_image(root / IMAGES / name)}
    found, problems = [], []
    for page in pages:
        name = images.pop(page.stem, None) or images.pop(Path(page.filename).stem, None)
        if name is None:
            detail = f"there is no image of this name in {IMAGES}; named in {ANNOTATIONS}/{page.stem}.xml"
            problems.append(Problem(f"{IMAGES}/{page.stem}", "missing", detail, left_out=True))
            continue
        clipped = clip(f"{IMAGES}/{name}", boxes_on(page, labels), page.size, shift=shift)
        problems += clipped.problems
        found.append(Found(f"{IMAGES}/{name}", "", splits[page.stem], (), clipped.boxes, page.size))
    if images and not unlisted:
        warnings = (
            *warnings,
            f"{len(images)} images of '{IMAGES}' have no annotation and were not used.",
        )
    if not found:
        raise DataError(f"no image of '{root / IMAGES}' has an annotation in '{root / ANNOTATIONS}'.")
    return Listing(root, labels, in_order(found), tuple(problems), warnings, "boxes", lack=lack)


def shift_of(pages: Iterable[VocPage]) -> float:
    """Return what to take off x1 and y1: VOC's pixels count from 1, many tools write the same files from 0.

    VOC's box includes its last pixel: x1 - 1 to x2 are its edges.
    """
    corners = (corner for page in pages for thing in page.things for corner in thing.corners)
    return 0.0 if any(corner < 1 for corner in corners) else 1.0


def boxes_on(page: VocPage, labels: tuple[str, ...]) -> list[Box]:
    """Return a page's boxes, corners as written."""
    boxes = []
    for thing in page.things:
        x1, y1, x2, y2 = thing.corners
        boxes.append(Box(labels.index(thing.name), x1, y1, x2, y2, difficult=thing.difficult))
    return boxes


# ---------------------------------------------------------------- the sets


def _splits(root: Path, stems: list[str]) -> tuple[dict[str, Split | None], tuple[str, ...]]:
    """Return the split of each image that is in a set; of all, None, where there are no sets."""
    sets = {name: _set(root / SETS / f"{name}.txt") for name in SET_FILES if (root / SETS / f"{name}.txt").is_file()}
    if not sets:
        return dict.fromkeys(stems), ()
    splits: dict[str, Split | None] = {}
    for name, members in sets.items():
        for stem in members:
            if name == "trainval":
                splits.setdefault(stem, None)
            elif splits.setdefault(stem, SET_FILES[name]) != SET_FILES[name]:
                raise DataError(f"'{stem}' of '{root / SETS}' is in {splits[stem]}.txt and in {name}.txt.")
    known = set(stems)
    unlisted = sum(stem not in splits for stem in stems)
    warnings = [f"{unlisted} annotations are in no set of '{SETS}' and were not used."] if unlisted else []
    if bare := [stem for stem in splits if stem not in known]:
        warnings.append(f"{len(bare)} names of '{SETS}' have no annotation and were not used: {some(bare)}.")
    return splits, tuple(warnings)


def _set(path: Path) -> list[str]:
    return [line.split()[0] for line in lines_of(read_text(path)) if line.strip()]


# ---------------------------------------------------------------- one XML file


def read_page(path: Path) -> VocPage:
    """Read one annotation; raises DataError for what is none."""
    root = _tree(path)
    width, height = (_number(root, f"size/{side}", path, 0.0) for side in ("width", "height"))
    size = (int(width), int(height)) if 0 < width < 1e6 and 0 < height < 1e6 else None
    filename = (root.findtext("filename") or "").replace("\\", "/").rpartition("/")[2]
    return VocPage(path.stem, filename, size, tuple(_thing(item, path) for item in root.findall("object")))


def _thing(item: Element, path: Path) -> Thing:
    name = normal((item.findtext("name") or "").strip())
    if not name:
        raise DataError(f"'{path}' has an object without a name.")
    x1, y1, x2, y2 = (_number(item, f"bndbox/{corner}", path) for corner in ("xmin", "ymin", "xmax", "ymax"))
    return Thing(name, (x1, y1, x2, y2), difficult=(item.findtext("difficult") or "").strip() == "1")


def _number(item: Element, place: str, path: Path, absent: float | None = None) -> float:
    text = item.findtext(place)
    if text is None and absent is not None:
        return absent
    try:
        return float(text or "")
    except ValueError:
        raise DataError(f"'{path}' has {text!r} as {place}, which is no number.") from None


def _tree(path: Path) -> Element:
    """Parse XML that declares no document type, and so can neither define entities nor reach other files."""
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse
    try:
        if path.stat().st_size > LARGEST_XML:
            raise DataError(f"'{path}' has more than {LARGEST_XML} bytes: that is no annotation of one image.")
        parser.Parse(path.read_bytes(), True)
        return builder.close()
    except _DoctypeError:
        raise DataError(f"'{path}' declares a document type, which annotations need not and could abuse.") from None
    except expat.ExpatError as error:
        raise DataError(f"'{path}' is no XML: {error}.") from None
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror}.") from None


class _DoctypeError(Exception):
    """The file has a DOCTYPE."""


def _refuse(*_: object) -> None:
    raise _DoctypeError
