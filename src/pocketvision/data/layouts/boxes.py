"""Boxes that lie in their image: clipped where they stick out, dropped where nothing of them is inside."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pocketvision.values import Box, Problem

SLACK = 1.5
"""Pixels that a box may stick out without a word: roundings, and formats that count from 0 or from 1."""


@dataclass(frozen=True)
class Clipped:
    """The boxes that remain, and what became of the others."""

    boxes: tuple[Box, ...]
    problems: tuple[Problem, ...]


def clip(file: str, boxes: Iterable[Box], size: tuple[int, int] | None) -> Clipped:
    """Clip boxes to an image of that width and height; without a size only to its left and upper edge."""
    width, height = size or (math.inf, math.inf)
    kept, problems = [], []
    for number, box in enumerate(boxes, 1):
        if not all(map(math.isfinite, (box.x1, box.y1, box.x2, box.y2))) or box.x1 >= box.x2 or box.y1 >= box.y2:
            problems.append(_problem(file, number, box, "has no area and is not used"))
            continue
        new = replace(box, x1=max(box.x1, 0.0), y1=max(box.y1, 0.0), x2=min(box.x2, width), y2=min(box.y2, height))
        if new.x1 >= new.x2 or new.y1 >= new.y2:
            problems.append(_problem(file, number, box, "lies outside the image and is not used"))
            continue
        if _moved(box, new) > SLACK:
            problems.append(_problem(file, number, box, "sticks out of the image and is clipped"))
        kept.append(new)
    return Clipped(tuple(kept), tuple(problems))


def _moved(old: Box, new: Box) -> float:
    return max(new.x1 - old.x1, new.y1 - old.y1, old.x2 - new.x2, old.y2 - new.y2)


def _problem(file: str, number: int, box: Box, what: str) -> Problem:
    corners = ", ".join(f"{value:g}" for value in (box.x1, box.y1, box.x2, box.y2))
    return Problem(file, "box", f"box {number} ({corners}) {what}", left_out=False)
