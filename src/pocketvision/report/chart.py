"""A still image of accuracy against cost, as SVG or PNG: points, curves and labels on a log axis."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal, Protocol

WIDTH, HEIGHT = 1200, 760
LEFT, RIGHT, TOP, BOTTOM = 90, 270, 60, 80
INK, MUTED, GRID = "#1d2733", "#5b6673", "#dfe4ea"
COLORS = (
    "#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f",
    "#b45309", "#4338ca", "#0f766e", "#9f1239", "#6b7280", "#1e40af", "#15803d", "#a21caf",
)  # fmt: skip
Point = tuple[float, float]
Shape = Literal["circle", "square", "triangle-up"]
"""As plotly calls them; they tell series of one color apart."""
_CORNERS: dict[Shape, tuple[Point, ...]] = {
    "circle": (),
    "square": ((-4, -4), (4, -4), (4, 4), (-4, 4)),
    "triangle-up": ((0, -5.5), (5, 4), (-5, 4)),
}


@dataclass(frozen=True)
class Series:
    """What has one color: its name, its points (cost, accuracy in percent), what each is, and curves through them."""

    name: str
    points: tuple[Point, ...]
    hover: tuple[str, ...]
    curves: tuple[tuple[Point, ...], ...]


class Canvas(Protocol):
    """What the chart is drawn on."""

    def line(self, points: Sequence[Point], color: str, width: float) -> None:
        """Draw a line through points in pixels."""

    def dot(self, center: Point, color: str, shape: Shape, title: str) -> None:
        """Draw a small filled mark."""

    def text(self, place: Point, words: str, *, color: str, size: int, anchor: str) -> None:
        """Write words whose middle height is at the place; the anchor is start, middle or end."""


class Svg:
    """Collects SVG elements."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def line(self, points: Sequence[Point], color: str, width: float) -> None:
        """Draw a line through points in pixels."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width:g}"/>')

    def dot(self, center: Point, color: str, shape: Shape, title: str) -> None:
        """Draw a small filled mark that says what it is under the pointer."""
        x, y = center
        corners = " ".join(f"{x + across:.1f},{y + down:.1f}" for across, down in _CORNERS[shape])
        mark = f'<polygon points="{corners}"' if corners else f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5"'
        name = "polygon" if corners else "circle"
        self.parts.append(f'{mark} fill="{color}"><title>{escape(title)}</title></{name}>')

    def text(self, place: Point, words: str, *, color: str, size: int, anchor: str) -> None:
        """Write words."""
        x, y = place
        self.parts.append(
            f'<text x="{x:.1f}" y="{y + size * 0.35:.1f}" fill="{color}" font-size="{size}" text-anchor="{anchor}">'
            f"{escape(words)}</text>"
        )

    def finish(self) -> bytes:
        """Return the file's content."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
            f'height="{HEIGHT}" font-family="system-ui, sans-serif"><rect width="100%" height="100%" fill="#fff"/>'
        )
        return "\n".join([head, *self.parts, "</svg>\n"]).encode()


class Png:
    """Draws at twice the size, for sharp screens."""

    def __init__(self) -> None:
        from PIL import Image, ImageDraw

        self.image = Image.new("RGB", (2 * WIDTH, 2 * HEIGHT), "white")
        self.pen = ImageDraw.Draw(self.image)

    def line(self, points: Sequence[Point], color: str, width: float) -> None:
        """Draw a line through points in pixels."""
        self.pen.line([(2 * x, 2 * y) for x, y in points], fill=color, width=max(1, round(2 * width)), joint="curve")

    def dot(self, center: Point, color: str, shape: Shape, title: str) -> None:  # noqa: ARG002  no titles in a PNG
        """Draw a small filled mark."""
        x, y = 2 * center[0], 2 * center[1]
        if corners := [(x + 2 * across, y + 2 * down) for across, down in _CORNERS[shape]]:
            self.pen.polygon(corners, fill=color)
        else:
            self.pen.ellipse((x - 9, y - 9, x + 9, y + 9), fill=color)

    def text(self, place: Point, words: str, *, color: str, size: int, anchor: str) -> None:
        """Write words in the font that Pillow brings along."""
        from PIL import ImageFont

        side = {"start": "lm", "middle": "mm", "end": "rm"}[anchor]
        font = ImageFont.load_default(2 * size)
        self.pen.text((2 * place[0], 2 * place[1]), words, fill=color, font=font, anchor=side)

    def finish(self) -> bytes:
        """Return the file's content."""
        buffer = io.BytesIO()
        self.image.save(buffer, "PNG")
        return buffer.getvalue()


@dataclass(frozen=True)
class _Frame:
    """Where values lie on the image."""

    low: float
    high: float
    """Powers of ten of the cost."""
    bottom: float
    top: float

    def place(self, point: Point) -> Point:
        across = (math.log10(point[0]) - self.low) / (self.high - self.low)
        up = (point[1] - self.bottom) / (self.top - self.bottom)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)


def look(number: int) -> tuple[str, Shape]:
    """Return the color and shape of a series by its place."""
    shapes: tuple[Shape, ...] = ("circle", "square", "triangle-up")
    return COLORS[number % len(COLORS)], shapes[number // len(COLORS) % len(shapes)]


def draw(canvas: Canvas, series: Sequence[Series], *, title: str, across: str, up: str) -> None:
    """Draw every series with axes, and a key to the right in the order of the series."""
    points = [point for one in series for point in one.points]
    low, high = math.log10(min(x for x, _ in points)), math.log10(max(x for x, _ in points))
    bottom, top = min(y for _, y in points), max(y for _, y in points)
    frame = _Frame(low - 0.1, high + 0.1, 5 * math.floor(bottom / 5), 5 * math.ceil((top + 0.5) / 5))
    canvas.text((LEFT, TOP / 2), title, color=INK, size=20, anchor="start")
    _axes(canvas, frame, across, up)
    for number, one in enumerate(series):
        color, shape = look(number)
        for curve in one.curves:
            canvas.line([frame.place(point) for point in curve], color, 1.5)
        for point, hover in zip(one.points, one.hover, strict=True):
            canvas.dot(frame.place(point), color, shape, hover)
        _key(canvas, number, len(series), one.name)


def _axes(canvas: Canvas, frame: _Frame, across: str, up: str) -> None:
    right, floor = WIDTH - RIGHT, HEIGHT - BOTTOM
    for power in range(math.floor(frame.low), math.ceil(frame.high) + 1):
        for factor in (1, 2, 5):
            value = factor * 10.0**power
            if frame.low <= math.log10(value) <= frame.high:
                x, _ = frame.place((value, frame.bottom))
                canvas.line([(x, TOP), (x, floor)], GRID, 1)
                canvas.text((x, floor + 20), _short(value), color=MUTED, size=13, anchor="middle")
    for percent in range(int(frame.bottom), int(frame.top) + 1, 5):
        _, y = frame.place((10**frame.low, percent))
        canvas.line([(LEFT, y), (right, y)], GRID, 1)
        canvas.text((LEFT - 10, y), f"{percent}%", color=MUTED, size=13, anchor="end")
    canvas.text(((LEFT + right) / 2, floor + 50), across, color=INK, size=15, anchor="middle")
    canvas.text((LEFT - 60, TOP - 14), up, color=INK, size=15, anchor="start")


def _key(canvas: Canvas, number: int, total: int, name: str) -> None:
    step = min(22.0, (HEIGHT - TOP - 20) / total)
    y = TOP + 8 + number * step
    canvas.dot((WIDTH - RIGHT + 24, y), *look(number), name)
    canvas.text((WIDTH - RIGHT + 36, y), name, color=INK, size=min(13, int(step * 0.8)), anchor="start")


def _short(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
