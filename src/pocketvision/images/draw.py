"""Boxes drawn on an image: a frame in the color of its label, and a tag with label and score."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from pocketvision.values import FoundBox

COLORS = ("#ffb000", "#21a5ff", "#ff4f6d", "#3ddc84", "#c77dff", "#ff7a1a", "#00d5d5", "#f2f24a")
"""Of the labels in turn; each is told from dark and light photos, and the tag says the label too."""
_INK = "#10151b"
_LEAST_LINE, _LEAST_TEXT = 2, 11


def draw_boxes(image: Image.Image, boxes: Sequence[FoundBox]) -> Image.Image:
    """Return an RGB image with boxes drawn, corners in its pixels; the best lie on top."""
    drawn = image.copy()
    pen, side = ImageDraw.Draw(drawn), min(image.size)
    line = max(_LEAST_LINE, round(side / 220))
    font = ImageFont.load_default(max(_LEAST_TEXT, side / 36))
    for box in reversed(boxes):
        pen.rectangle(_ordered(box), outline=_color(box), width=line)
    for box in reversed(boxes):
        text = f"{_plain(box.label)} {box.score:.2f}"
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
        width, height = right - left + 2 * line, bottom - top + 2 * line
        # Above the box, or inside where there is no room.
        x = min(box.x1, max(0, image.width - width))
        y = box.y1 - height if box.y1 >= height else box.y1
        pen.rectangle((x, y, x + width, y + height), fill=_color(box))
        pen.text((x + line - left, y + line - top), text, fill=_INK, font=font)
    return drawn


def _color(box: FoundBox) -> str:
    return COLORS[box.index % len(COLORS)]


def _ordered(box: FoundBox) -> tuple[float, float, float, float]:
    """Return the corners, the second never before the first, which Pillow refuses."""
    return box.x1, box.y1, max(box.x1, box.x2), max(box.y1, box.y2)


def _plain(label: str) -> str:
    """Return a label on one line, not too long for a tag."""
    text = " ".join(label.split())
    return text if len(text) <= 24 else f"{text[:23]}…"
