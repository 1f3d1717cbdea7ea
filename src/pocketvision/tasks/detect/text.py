"""Boxes as a text on one line, as splits.csv holds them."""

import json
from collections.abc import Sequence

from pocketvision.values import Box, Target

_FLAGS = {"difficult": "difficult", "crowd": "crowd"}
_NUMBERS = 5


def read(text: str, labels: Sequence[str]) -> Target:
    """Return the boxes that `write` wrote."""
    try:
        rows = json.loads(f"[{text}]")
        return tuple(_box(row, labels) for row in rows)
    except (TypeError, KeyError, IndexError) as error:
        raise ValueError(f"'{text}' names no boxes ({error})") from error


def write(target: Target, labels: Sequence[str]) -> str:
    """Return lists of label, x1, y1, x2, y2 as shares of the image, area in pixels, and flags, with commas between."""
    boxes = [box for box in target if isinstance(box, Box)] if isinstance(target, tuple) else []
    return ", ".join(sorted(json.dumps(_row(box, labels), ensure_ascii=False) for box in boxes))


def _row(box: Box, labels: Sequence[str]) -> list[str | float]:
    sides = [round(side, 6) for side in (box.x1, box.y1, box.x2, box.y2)]
    flags = [name for name in _FLAGS if getattr(box, name)]
    return [labels[box.label], *sides, round(box.area or 0.0, 1), *flags]


def _box(row: list[object], labels: Sequence[str]) -> Box:
    label, *rest = row
    numbers, flags = rest[:_NUMBERS], rest[_NUMBERS:]
    if label not in labels or len(numbers) < _NUMBERS or not all(isinstance(one, int | float) for one in numbers):
        raise ValueError(f"{row} is no box of the classes {', '.join(labels)}")
    if unknown := [flag for flag in flags if flag not in _FLAGS]:
        raise ValueError(f"{unknown[0]!r} says nothing of a box")
    x1, y1, x2, y2, area = (float(number) for number in numbers)  # type: ignore[arg-type]  # checked above
    return Box(labels.index(str(label)), x1, y1, x2, y2, "difficult" in flags, "crowd" in flags, area or None)
