"""Boxes as shares of the upright image, whichever way their annotation saw it.

An image that is stored turned has two frames, the one that its file holds and the upright one. The size that the
annotation gives tells which of them the boxes speak of. Where it does not tell, as of squares and of images upside
down, or where there is none, what the layout's tools do counts: those of VOC, COCO and CSV look at what is stored,
those of YOLO and Create ML at what is seen.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pocketvision.data.decoded import DecodedCache
from pocketvision.data.inspect import InspectedImage, inspect
from pocketvision.data.kinds import target_of
from pocketvision.data.layouts.boxes import SHARES, clip
from pocketvision.data.layouts.listing import Found, Frame, Listing
from pocketvision.data.metadata import MetadataCache
from pocketvision.progress import Progress
from pocketvision.values import Box, Problem, Target
from pocketvision.words import plural

DIGITS, AREA_DIGITS = 6, 2
"""Decimals of shares and of areas, as splits.csv keeps them: what is read back is the same."""

TURNS = {
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}
"""EXIF 2.32, tag Orientation: whether x and y are exchanged, and then left and right, upper and lower edge."""


@dataclass(frozen=True)
class Placed:
    """An image's boxes in shares of the upright image, and how that was found."""

    boxes: tuple[Box, ...]
    problems: tuple[Problem, ...]
    frame: Frame
    """What the boxes spoke of."""
    certain: bool
    """Whether the size as given tells so."""


def upright_boxes(images: Sequence[InspectedImage]) -> tuple[list[InspectedImage], list[Problem], tuple[str, ...]]:
    """Put the boxes of inspected images into shares of the upright image; what is wrong; and what was assumed."""
    done, problems, frames = [], list[Problem](), Counter[tuple[Frame, bool]]()
    for image in images:
        if image.metadata is None:
            done.append(image)
            continue
        placed = place(image.found, image.size, image.metadata.orientation)
        if image.metadata.turned and placed.boxes:
            frames[placed.frame, placed.certain] += 1
        problems += placed.problems
        done.append(replace(image, found=replace(image.found, boxes=placed.boxes, size=image.size, shares=True)))
    return done, problems, _told(frames)


def said(listing: Listing, progress: Progress) -> list[tuple[str, Target]]:
    """Return what a listing says of each of its images, as examples hold it: boxes in shares of the upright image.

    Only for boxes images are decoded, those alone whose size is not known from an earlier time.
    """
    numbers = {label: number for number, label in enumerate(listing.labels)}
    if listing.kind != "boxes":
        return [(found.file, target_of(found, numbers)) for found in listing.found]
    decoded = DecodedCache(0, metadata=MetadataCache())
    try:
        images, _, _ = upright_boxes(inspect(listing, decoded, progress))
    finally:
        decoded.close()
    return [(image.file, target_of(image.found, numbers)) for image in images]


def place(found: Found, size: tuple[int, int], orientation: int) -> Placed:
    """Return an image's boxes in shares of the upright image, whose width and height in pixels are `size`."""
    frame, certain = _frame(found, size, orientation)
    stored = size[::-1] if orientation in (5, 6, 7, 8) else size
    seen = stored if frame == "stored" else size
    given, problems = _given(found, seen)
    scales = seen[0] / given[0], seen[1] / given[1]
    turn = TURNS[orientation] if frame == "stored" and orientation != 1 else (False, False, False)
    clipped = clip(found.file, (_turned(box, scales, turn, size) for box in found.boxes), size)
    boxes = (_shares(box, size) for box in clipped.boxes)
    kept = sorted((box for box in boxes if box.x1 < box.x2 and box.y1 < box.y2), key=_order)
    return Placed(tuple(kept), (*problems, *clipped.problems), frame, certain)


def _frame(found: Found, size: tuple[int, int], orientation: int) -> tuple[Frame, bool]:
    """Return which frame the boxes speak of, and whether the size tells."""
    if orientation not in (5, 6, 7, 8) or found.size is None or found.shares:
        return found.frame, False
    upright, stored = _alike(found.size, size), _alike(found.size, size[::-1])
    if upright == stored:
        return found.frame, False
    return ("upright" if upright else "stored"), True


def _given(found: Found, seen: tuple[int, int]) -> tuple[tuple[int, int], list[Problem]]:
    """Return the width and height that the boxes are measured by, and what is wrong with those that are given."""
    if found.shares:
        return SHARES, []
    if found.size is None or found.size == seen:
        return seen, []
    same = _alike(found.size, seen)
    what = "boxes are scaled to it" if same else "boxes are taken as pixels of the image as it is"
    detail = f"described as {_by(found.size)} pixels, but has {_by(seen)}; {what}"
    return (found.size if same else seen), [Problem(found.file, "box", detail, left_out=False)]


def _alike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Tell whether two sizes have the same ratio of sides, but for roundings."""
    return abs(one[0] * other[1] - one[1] * other[0]) <= max(*one, *other)


def _turned(box: Box, scales: tuple[float, float], turn: tuple[bool, bool, bool], size: tuple[int, int]) -> Box:
    """Return a box in pixels of the upright image."""
    (x1, x2), (y1, y2) = ((value * scales[0] for value in (box.x1, box.x2)), (v * scales[1] for v in (box.y1, box.y2)))
    exchanged, sideways, upside = turn
    if exchanged:
        x1, y1, x2, y2 = y1, x1, y2, x2
    if sideways:
        x1, x2 = size[0] - x2, size[0] - x1
    if upside:
        y1, y2 = size[1] - y2, size[1] - y1
    area = None if box.area is None else box.area * scales[0] * scales[1]
    return replace(box, x1=x1, y1=y1, x2=x2, y2=y2, area=area)


def _shares(box: Box, size: tuple[int, int]) -> Box:
    (x1, x2), (y1, y2) = ((value / size[0] for value in (box.x1, box.x2)), (v / size[1] for v in (box.y1, box.y2)))
    x1, y1, x2, y2 = (round(value, DIGITS) for value in (x1, y1, x2, y2))
    area = (box.x2 - box.x1) * (box.y2 - box.y1) if box.area is None else box.area
    return replace(box, x1=x1, y1=y1, x2=x2, y2=y2, area=round(area, AREA_DIGITS))


def _order(box: Box) -> tuple[float, ...]:
    return box.y1, box.x1, box.y2, box.x2, box.label, box.difficult, box.crowd, box.area or 0.0


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _told(frames: Counter[tuple[Frame, bool]]) -> tuple[str, ...]:
    """Say what the boxes of images that are stored turned were taken for."""
    if not frames:
        return ()
    names = {"stored": "as the files hold them", "upright": "as they are seen"}
    told = [
        f"of {count} {names[frame]} ({'their sizes tell' if certain else 'by custom, their sizes do not tell'})"
        for (frame, certain), count in sorted(frames.items())
    ]
    images = plural(sum(frames.values()), "image with boxes is", "images with boxes are")
    return (f"{images} stored turned; the boxes were read " + ", ".join(told) + ", and are put upright with them.",)
