"""Finds families by their files, understands the names other projects use, and reads the published figures."""

import ast
import csv
import importlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from pocketvision.errors import UnknownName, UsageError
from pocketvision.values import ModelSpec

if TYPE_CHECKING:
    from pocketvision.models.blocks import Net

_NOT_FAMILIES = {"__init__", "blocks", "catalogue"}
RESOLUTIONS = (224, 192, 160, 128, 96, 64, 48, 32)
"""The papers' input sizes in pixels, and smaller ones for small pictures."""
SMALLEST_USEFUL = 48
"""These nets halve their maps five times: below this the last ones are a single pixel, and even tiny pictures are
told apart better enlarged (digits, 8 pixels: 97.1% at 32, 98.9% at 48 on validation; docs/training.md)."""


class Published(NamedTuple):
    """One printed figure; `params` and `macs` as printed, so that their digits are the tolerance."""

    name: str
    width: float
    resolution: int
    params: str
    macs: str
    top1: float
    top5: float | None
    rule: str
    source: str
    note: str


@dataclass(frozen=True)
class CatalogueLine:
    """One net at one width, as `models` lists it."""

    name: str
    width: float
    resolution: int
    params: str
    macs: str
    top1: float
    top5: float | None
    source: str


@cache
def _homes() -> dict[str, str]:
    """Map every net's name to the module that builds it, read from the files' NAMES without importing them."""
    homes: dict[str, str] = {}
    for entry in resources.files("pocketvision.models").iterdir():
        stem, dot, suffix = entry.name.partition(".")
        if dot and suffix == "py" and stem not in _NOT_FAMILIES:
            for name in _names_in(entry.read_text(encoding="utf-8")):
                homes[name] = stem
    return homes


def _names_in(source: str) -> tuple[str, ...]:
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") == "NAMES":
            names: tuple[str, ...] = ast.literal_eval(statement.value)
            return names
    return ()


def names() -> tuple[str, ...]:
    """Return the names of all nets, sorted; imports none of them."""
    return tuple(sorted(_homes()))


def parse_name(name: str) -> ModelSpec:
    """Understand a net's name in our, timm's (`mobilenetv2_050`), TensorFlow's (`mobilenet_v1_0.25_128`) and
    torchvision's (`squeezenet1_1`) spelling; width and resolution that it does not give are 1.0 and 224."""
    plain = name.lower().rpartition("/")[2].replace("-", "_")
    if plain in _homes():
        return ModelSpec(plain)
    match = re.fullmatch(r"(.+?)_(\d?\.\d+|\d)(?:_(\d{2,3}))?", plain)
    if match and _spelled(match[1]) in _homes():
        return ModelSpec(_spelled(match[1]), float(match[2]), int(match[3] or 224))
    match = re.fullmatch(r"(.+?)_(\d{3})", plain)
    if match and _spelled(match[1]) in _homes():
        return ModelSpec(_spelled(match[1]), int(match[2]) / 100)
    if _spelled(plain) in _homes():
        return ModelSpec(_spelled(plain))
    raise UnknownName("model", name, names())


def _spelled(name: str) -> str:
    return re.sub(r"^mobilenet_?v?([12])?$", lambda found: f"mobilenet_v{found[1] or 1}", name)


def build(
    name: str,
    *,
    width: float = 1.0,
    resolution: int = 224,
    num_classes: int = 1000,
    padding: str = "symmetric",
) -> "Net":
    """Build a net with fresh weights as a torch module: [N, 3, R, R] normalised -> logits [N, num_classes].

    `name` must be one of `names()`. Raises UnknownName for another, UsageError for a setting the net cannot take.
    """
    homes = _homes()
    if name not in homes:
        raise UnknownName("model", name, homes)
    family = importlib.import_module(f"pocketvision.models.{homes[name]}")
    if resolution < family.SMALLEST:
        raise UsageError(f"{name} needs pictures of at least {family.SMALLEST} pixels a side, not {resolution}")
    if num_classes < 1:
        raise UsageError(f"num_classes must be at least 1, not {num_classes}")
    net: Net = family.build(name, width=width, num_classes=num_classes, padding=padding)
    return net


def largest_useful_resolution(median_short_side: int) -> int:
    """Return the smallest usual resolution that loses no detail of pictures of this size in pixels."""
    wanted = max(median_short_side, SMALLEST_USEFUL)
    enough = [resolution for resolution in RESOLUTIONS if resolution >= wanted]
    return min(enough, default=max(RESOLUTIONS))


def has_norms(name: str) -> bool:
    """Tell whether a net has batch norms; without them it learns at lower rates only."""
    return bool(importlib.import_module(f"pocketvision.models.{_homes()[name]}").NORMS)


@cache
def published() -> tuple[Published, ...]:
    """Return every printed figure of models/published.csv."""
    text = resources.files("pocketvision.models").joinpath("published.csv").read_text(encoding="utf-8")
    return tuple(
        Published(
            name=row["name"],
            width=float(row["width"]),
            resolution=int(row["resolution"]),
            params=row["params"],
            macs=row["macs"],
            top1=float(row["top1"]),
            top5=float(row["top5"]) if row["top5"] else None,
            rule=row["rule"],
            source=row["source"],
            note=row["note"],
        )
        for row in csv.DictReader(text.splitlines())
    )


def models(name: str | None = None) -> list[CatalogueLine]:
    """List the catalogue: every net with its published figures, all widths and resolutions; `name` for one net only."""
    chosen = parse_name(name).name if name is not None else None
    return [
        CatalogueLine(line.name, line.width, line.resolution, line.params, line.macs, line.top1, line.top5, line.source)
        for line in published()
        if chosen in (None, line.name)
    ]
