"""What every layout is read into: files with a label, attributes or boxes, and the names of what is told apart."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pocketvision.values import Box, Kind, Problem, Split

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "validate": "val",
    "dev": "val",
    "eval": "val",
    "evaluation": "val",
    "test": "test",
    "testing": "test",
    "holdout": "test",
}
"""Names of folders and values of a split column that mean a split: see `split_named`."""

Frame = Literal["stored", "upright"]
"""An image as its file holds it, and as its orientation says it is to be seen."""

_OF_IT = re.compile(r"(set|split|data|dataset|images)$")


@dataclass(frozen=True)
class Found:
    """One file that claims to be an image."""

    file: str
    """Path below the root, with forward slashes."""
    label: str
    """The class; empty where there are attributes or boxes."""
    split: Split | None
    """None where the data does not say."""
    attributes: tuple[int | None, ...] = ()
    boxes: tuple[Box, ...] = ()
    size: tuple[int, int] | None = None
    """Width and height as the annotations give them, which need not be true."""
    frame: Frame = "stored"
    """Where an image is stored turned, the one that its boxes speak of, unless its size as given tells."""
    shares: bool = False
    """Whether the boxes are in shares of the image, 0..1, and not in pixels."""


@dataclass(frozen=True)
class Listing:
    """What lies below a root; `found` by label, then by file, both in natural order."""

    root: Path
    labels: tuple[str, ...]
    """The classes of the files or of their boxes; empty where there are attributes."""
    found: tuple[Found, ...]
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    kind: Kind = "classes"
    attributes: tuple[str, ...] = ()
    lack: str = ""
    """Why no net can be trained on it, such as a single class; one that is trained can be judged by it all the same."""


def split_named(name: str) -> Split | None:
    """Return the split that a name means, whatever its capitals and hyphens, also as in `train_set`; None for none."""
    plain = re.sub(r"[\s_-]+", "", name.casefold())
    return SPLIT_NAMES.get(plain) or SPLIT_NAMES.get(_OF_IT.sub("", plain))


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Return what to sort by so that numbers inside names count as numbers and capitals do not matter."""
    parts = re.split(r"([0-9]+)", text.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], text


def in_order(found: Iterable[Found], labels: Iterable[str] = ()) -> tuple[Found, ...]:
    """Sort by the order of the labels, then by file in natural order."""
    order = {label: index for index, label in enumerate(labels)}
    return tuple(sorted(found, key=lambda item: (order.get(item.label, -1), natural_key(item.file))))


def normal(label: str) -> str:
    """Return a label in one Unicode form: macOS writes accents as separate characters."""
    return unicodedata.normalize("NFC", label)
