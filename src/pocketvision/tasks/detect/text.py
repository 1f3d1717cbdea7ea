"""Boxes as a text on one line, as splits.csv holds them."""

import json
from collections.abc import Sequence
from typing import Any

from pocketvision.values import Box, Target

_FLAGS = {"": (False, False), "difficult": (True, False), "crowd": (False, True), "difficult crowd": (True, True)}


def read(text: str, labels: Sequence[str]) -> Target:
    """Return boxes from texts such as `[["cat",0.1,0.2,0.3,0.4,1200.0],["dog",0.5,0.5,0.9,0.9,null,"crowd"]]`."""
    try:
        rows = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        rows = None
    if not isinstance(rows, list):
        raise ValueError(f"'{text[:200]}' is no list of boxes")
    return tuple(_box(row, labels) for row in rows)


def write(target: Target, labels: Sequence[str]) -> str:
    """Return a JSON list of label, x1, y1, x2, y2 as shares, area in pixels, and `difficult` or `crowd` where it is."""
    return json.dumps([_row(box, labels) for box in boxes_of(target)], ensure_ascii=False, separators=(",", ":"))


def boxes_of(target: Target) -> tuple[Box, ...]:
    """Return the boxes of a target; none where it holds something else."""
    return tuple(box for box in target if isinstance(box, Box)) if isinstance(target, tuple) else ()


def _row(box: Box, labels: Sequence[str]) -> list[Any]:
    flags = " ".join(name for name, there in (("difficult", box.difficult), ("crowd", box.crowd)) if there)
    corners = (round(value, 6) for value in (box.x1, box.y1, box.x2, box.y2))
    area = None if box.area is None else round(box.area, 2)
    return [labels[box.label], *corners, area, *([flags] if flags else [])]


def _box(row: Any, labels: Sequence[str]) -> Box:
    match row:
        case [str(label), x1, y1, x2, y2, area, *rest] if label in labels and _are_numbers(x1, y1, x2, y2, area or 0):
            flags = rest or [""]
            if len(flags) == 1 and flags[0] in _FLAGS:
                difficult, crowd = _FLAGS[flags[0]]
                index = list(labels).index(label)
                return Box(index, float(x1), float(y1), float(x2), float(y2), difficult, crowd, area)
    raise ValueError(f"{row!r} is no box: label, x1, y1, x2, y2, area, and difficult or crowd where it is")


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12 for value in values)
