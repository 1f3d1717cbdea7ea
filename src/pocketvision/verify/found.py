"""Boxes that a file found, for people and other programs: in pixels, drawn on the images, as CSV and in COCO's form."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from pocketvision.data.parallel import in_order
from pocketvision.errors import UsageError
from pocketvision.files import claim, printable, write_bytes
from pocketvision.images.decode import decode
from pocketvision.images.draw import draw_boxes
from pocketvision.images.prepare import center_box
from pocketvision.progress import Progress, track
from pocketvision.values import FoundBox, ImageSpec

if TYPE_CHECKING:
    from pocketvision.verify.predict import Prediction

QUALITY = 92
"""Of the JPEG files with boxes drawn."""
DIGITS = 2
"""Of a corner in pixels."""
HEADER = ("file", "label", "score", "x1", "y1", "x2", "y2")


def in_pixels(found: Sequence[FoundBox], size: tuple[int, int], spec: ImageSpec) -> tuple[FoundBox, ...]:
    """Return boxes given in shares of what the net saw in pixels of the upright image, none outside of it.

    `size` is the image's width and height.
    """
    left, top, right, bottom = center_box(*size, spec)

    def at(start: float, end: float, share: float, side: int) -> float:
        return round(min(max(start + share * (end - start), 0.0), float(side)), DIGITS)

    return tuple(
        replace(
            box,
            x1=at(left, right, box.x1, size[0]),
            y1=at(top, bottom, box.y1, size[1]),
            x2=at(left, right, box.x2, size[0]),
            y2=at(top, bottom, box.y2, size[1]),
        )
        for box in found
    )


# ---------------------------------------------------------------- files


def as_csv(answers: Iterable["Prediction"]) -> str:
    """Return one line for each box; for other files than a detector's, one for each image with its best label."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    answered = [answer for answer in answers if answer.error is None]
    placed = any(answer.boxes is not None for answer in answered)
    writer.writerow(HEADER if placed else ("file", "label", "probability"))
    for answer in answered:
        if not placed:
            writer.writerow((answer.file, answer.label, f"{answer.probability:.6g}"))
        for box in answer.boxes or ():
            writer.writerow((answer.file, box.label, f"{box.score:.6g}", box.x1, box.y1, box.x2, box.y2))
    return stream.getvalue()


def as_coco(answers: Sequence["Prediction"]) -> str:
    """Return COCO's results: a list of boxes with image_id, category_id, bbox as x, y, width, height, and score.

    `category_id` is the label's place, from 1. `image_id` is the number that the file is named by where all are, as
    COCO's own are, and else the image's place among those given, from 1; `file_name` says it in any case. Raises
    UsageError for answers without boxes.
    """
    if any(answer.error is None and answer.boxes is None for answer in answers):
        raise UsageError("the file finds no boxes, which is what COCO's results are; leave out --format coco")
    names = [Path(answer.file).stem for answer in answers]
    numbered = all(name.isascii() and name.isdecimal() for name in names) and len(set(map(int, names))) == len(names)
    ids = [int(name) for name in names] if numbered else range(1, len(names) + 1)
    rows = [
        _coco_row(box, number, answer.file)
        for number, answer in zip(ids, answers, strict=True)
        for box in answer.boxes or ()
    ]
    return json.dumps(rows, ensure_ascii=False)


def _coco_row(box: FoundBox, image: int, file: str) -> dict[str, Any]:
    sides = [box.x1, box.y1, round(box.x2 - box.x1, DIGITS), round(box.y2 - box.y1, DIGITS)]
    return {"image_id": image, "category_id": box.index + 1, "bbox": sides, "score": box.score, "file_name": file}


# ---------------------------------------------------------------- pictures


def claim_pictures(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Return where the image of each path is drawn; raises RunExists where a file of the user's stands there."""
    taken: set[str] = set()
    places = [folder / _free(path, taken) for path in paths]
    claim(folder, *(place.name for place in places), option="--draw")
    return places


def _free(path: Path, taken: set[str]) -> str:
    """Return a name for the picture of an image that no other has, however case is told apart where it is stored."""
    stem = printable(path.stem)
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.casefold())
    return f"{name}.jpg"


def draw(paths: Sequence[Path], answers: Sequence["Prediction"], places: Sequence[Path], *, progress: Progress) -> None:
    """Write each answered image with its boxes drawn, as a JPEG file."""
    wanted = [
        (path, answer.boxes, place)
        for path, answer, place in zip(paths, answers, places, strict=True)
        if answer.boxes is not None
    ]
    drawn: Iterator[bytes] = in_order(lambda row: _drawn(row[0], row[1]), wanted)
    tracked = track(drawn, progress, "drawing", len(wanted))
    for (_, _, place), content in zip(wanted, tracked, strict=True):
        write_bytes(place, content)


def _drawn(path: Path, boxes: Sequence[FoundBox]) -> bytes:
    stream = io.BytesIO()
    draw_boxes(Image.fromarray(decode(path)), boxes).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()
