"""Boxes that lie in their image: clipped where they stick out, dropped where nothing of them is inside."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pocketvision.values import Box, Problem

SLACK = 1.5
"""Pixels that a box may stick out without a word: roundings, and formats that count from 0 or from 1."""
SLACK_OF_SHARES = 0.01
"""The same where numbers are shares of the image."""
SHARES = (1, 1)
"""What such an image is wide and high."""


@dataclass(frozen=True)
class Clipped:
    """The boxes that remain, and what became of the others."""

    boxes: tuple[Box, ...]
    problems: tuple[Problem, ...]


def clip(
    file: str, boxes: Iterable[Box], size: tuple[int, int] | None, *, shift: float = 0.0, slack: float = SLACK
) -> Clipped:
    """Clip boxes to an image of that width and height; without a size only to its left and upper edge.

    Corners that are the wrong way round are exchanged. `shift` is what is then taken off x1 and y1.
    """
    width, height = size or (math.inf, math.inf)
    kept, problems = [], []
    for number, box in enumerate(boxes, 1):
        if not all(map(math.isfinite, (box.x1, box.y1, box.x2, box.y2))) or box.x1 == box.x2 or box.y1 == box.y2:
            problems.append(_problem(file, number, box, "has no area and is not used"))
            continue
        right = _right_way(box)
        if right is not box:
            problems.append(_problem(file, number, box, "is the wrong way round; its corners are exchanged"))
        right = replace(right, x1=right.x1 - shift, y1=right.y1 - shift)
        new = replace(
            right, x1=max(right.x1, 0.0), y1=max(right.y1, 0.0), x2=min(right.x2, width), y2=min(right.y2, height)
        )
        if new.x1 >= new.x2 or new.y1 >= new.y2:
            problems.append(_problem(file, number, box, "lies outside the image and is not used"))
            continue
        if _moved(right, new) > slack:
            problems.append(_problem(file, number, box, "sticks out of the image and is clipped"))
        kept.append(new)
    return Clipped(tuple(kept), tuple(problems))


def _right_way(box: Box) -> Box:
    if box.x1 <= box.x2 and box.y1 <= box.y2:
        return box
    (x1, x2), (y1, y2) = sorted((box.x1, box.x2)), sorted((box.y1, box.y2))
    return replace(box, x1=x1, y1=y1, x2=x2, y2=y2)


def _moved(old: Box, new: Box) -> float:
    return max(new.x1 - old.x1, new.y1 - old.y1, old.x2 - new.x2, old.y2 - new.y2)


def _problem(file: str, number: int, box: Box, what: str) -> Problem:
    corners = ", ".join(f"{value:g}" for value in (box.x1, box.y1, box.x2, box.y2))
    return Problem(file, "box", f"box {number} ({corners}) {what}", left_out=False)
