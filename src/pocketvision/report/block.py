"""Draws a net's block with characters: layers from top to bottom, parallel branches side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

from pocketvision.models.figures import Anatomy

_GAP = 3


@dataclass(frozen=True)
class _Box:
    """Lines of equal length; `axis` is the column where the connection enters and leaves."""

    lines: tuple[str, ...]
    axis: int

    @property
    def width(self) -> int:
        return len(self.lines[0])


def draw_block(anatomy: Anatomy) -> str:
    """Return the drawing, line by line, from the block's input to its output."""
    boxes = [_word("input " + " x ".join(map(str, anatomy.block_input))), *_Flow(anatomy).between(-1, None)]
    return "\n".join(line.rstrip() for line in _below(boxes).lines)


class _Flow:
    """The block's steps as a flow from -1, its input, to its last step."""

    def __init__(self, anatomy: Anatomy) -> None:
        self.labels = [step.label for step in anatomy.block]
        self.next: dict[int, list[int]] = {place: [] for place in range(-1, len(anatomy.block))}
        for place, step in enumerate(anatomy.block):
            for source in step.inputs:
                self.next[source].append(place)
        self.after: dict[int, set[int]] = {}
        for place in sorted(self.next, reverse=True):
            passed = [self.after[item] for item in self.next[place]]
            self.after[place] = {place} | (set.intersection(*passed) if passed else set())

    def between(self, start: int, stop: int | None) -> list[_Box]:
        """Return what lies below `start` and above `stop`."""
        boxes: list[_Box] = []
        while following := self.next[start]:
            if len(following) == 1:
                start = following[0]
            else:
                join = min(set.intersection(*(self.after[item] for item in following)))
                boxes.append(_beside([self._branch(item, join) for item in following]))
                start = join
            if start == stop:
                break
            boxes.append(_word(self.labels[start]))
        return boxes

    def _branch(self, first: int, join: int) -> _Box:
        if first == join:
            return _word("│")
        return _below([_word(self.labels[first]), *self.between(first, join)])


def _word(text: str) -> _Box:
    return _Box((text,), len(text) // 2)


def _below(boxes: Sequence[_Box]) -> _Box:
    axis = max(box.axis for box in boxes)
    width = axis + max(box.width - box.axis for box in boxes)
    lines: list[str] = []
    for place, box in enumerate(boxes):
        connected = place and not lines[-1].strip().startswith("└") and "┌" not in box.lines[0]
        if connected:
            lines.append(" " * axis + "│" + " " * (width - axis - 1))
        lines += [(" " * (axis - box.axis) + line).ljust(width) for line in box.lines]
    return _Box(tuple(lines), axis)


def _beside(branches: Sequence[_Box]) -> _Box:
    height = max(len(box.lines) for box in branches)
    columns = [_tall(box, height) for box in branches]
    rows = [(" " * _GAP).join(box.lines[row] for box in columns) for row in range(height)]
    axes, offset = [], 0
    for box in columns:
        axes.append(offset + box.axis)
        offset += box.width + _GAP
    axis = (axes[0] + axes[-1]) // 2
    fork, join = (_bar(axes, axis, len(rows[0]), ends) for ends in ("┌┬┐┴┼", "└┴┘┬┼"))
    return _Box((fork, *rows, join), axis)


def _tall(box: _Box, height: int) -> _Box:
    rest = (" " * box.axis + "│").ljust(box.width)
    return _Box(box.lines + (rest,) * (height - len(box.lines)), box.axis)


def _bar(axes: Sequence[int], axis: int, width: int, ends: str) -> str:
    """Draw the line that parts or joins branches; `ends` are its left, inner and right branch, its stem and both."""
    bar = [" "] * width
    bar[axes[0] : axes[-1] + 1] = "─" * (axes[-1] - axes[0] + 1)
    for place, column in enumerate(axes):
        bar[column] = ends[0] if place == 0 else ends[2] if place == len(axes) - 1 else ends[1]
    bar[axis] = ends[4] if bar[axis] in ends[:3] else ends[3]
    return "".join(bar)
