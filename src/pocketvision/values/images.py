"""The data: images, labels, splits, and what is wrong with them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pocketvision.values.records import UNSAID

Split = Literal["train", "val", "test"]
Kind = Literal["classes", "attributes", "boxes"]
"""What is known of each image: its one class, several 0/1 attributes, or boxes with a class each."""


@dataclass(frozen=True)
class Box:
    """A thing in an image: where, from the upper left corner, and what.

    In a listing the numbers are the annotation's own; in an `Example` they are shares of the upright image, 0..1.
    """

    label: int
    """Place of its class among the labels, from 0."""
    x1: float
    """Its left side."""
    y1: float
    """Its upper side."""
    x2: float
    """Where it ends: its width is x2 - x1."""
    y2: float
    """Where it ends: its height is y2 - y1."""
    difficult: bool = False
    """Hard to see: neither asked for nor wrong where it is found."""
    crowd: bool = False
    """Many things in one box."""
    area: float | None = None
    """Of the thing, in square pixels of the image, which may be less than its box; None where it is not known."""


@dataclass(frozen=True)
class FoundBox:
    """A thing that a file found in an image; the record that holds it says what its corners are measured in."""

    label: str
    """What it is."""
    index: int
    """Place of the label among those of the file, from 0."""
    score: float
    """How sure the file is, 0..1."""
    x1: float
    """Its left side, from the left side of the upright image."""
    y1: float
    """Its upper side, from the upper side of the upright image."""
    x2: float
    """Its right side."""
    y2: float
    """Its lower side."""


Target = int | tuple[int | None, ...] | tuple[Box, ...] | None
"""A class as index into the labels; per attribute 0, 1, or None where unknown; boxes; None where nothing is said."""


@dataclass(frozen=True)
class Example:
    """One readable image of the data set."""

    file: str
    """Path below the data set's root, with forward slashes."""
    target: Target
    """What is said of it, by the data set's kind, in the order of its labels."""
    split: Split
    sha256: str  # of the file's bytes, in hex


@dataclass(frozen=True)
class Dataset:
    """Images with labels and splits; `labels` in the order of the net's outputs."""

    root: str
    labels: tuple[str, ...]
    """The classes of the images or of the boxes, or the attributes."""
    examples: tuple[Example, ...]
    mirror_safe: bool = True
    """False where a mirrored image means something else, as with digits."""
    kind: Kind = "classes"

    def of(self, split: Split) -> tuple[Example, ...]:
        """Return the examples of one split."""
        return tuple(example for example in self.examples if example.split == split)

    def path(self, example: Example) -> Path:
        """Return where the example's file lies."""
        return Path(self.root, example.file)


ProblemKind = Literal[
    "unreadable",
    "conflict",
    "duplicate",
    "suffix",
    "not an image",
    "animated",
    "empty file",
    "missing",
    "listed twice",
    "unlabeled",
    "box",
    "leak",
    "near duplicate",
    "near conflict",
]
"""`missing` to `box` come from manifests and annotation files."""


@dataclass(frozen=True)
class Problem:
    """One thing `check` found; `left_out` tells whether the file is kept out of training."""

    file: str
    """Path of the file."""
    kind: ProblemKind
    """What is wrong with it."""
    detail: str
    """The same in words."""
    left_out: bool
    """Whether it is kept out of training."""
    other: str = ""
    """The file that this one repeats or contradicts, where there is one."""
    label: str = ""
    """Its class, where the labels are what is wrong, or where the file is left out before it is looked at."""


StatisticKind = Literal[
    "tiny", "huge", "far from square", "grey", "one tone", "turned", "transparent", "palette", "CMYK", "16 bits"
]


@dataclass(frozen=True)
class Statistic:
    """What some usable images have in common; nothing need be wrong with it."""

    kind: StatisticKind
    """What they have in common."""
    detail: str
    """The same in words."""
    count: int
    """Number of images."""
    files: tuple[str, ...]
    """The most extreme first, a dozen at most."""


@dataclass(frozen=True)
class BoxReach:
    """How large the boxes of one class are for a net of 320 pixels, and how many of them anchors reach.

    An anchor reaches a box that it overlaps by half (intersection over union .5); difficult boxes and crowds are left
    out.
    """

    name: str
    """Of the class."""
    boxes: int
    """In all splits."""
    median_width: float
    """In pixels of the image made 320 by 320."""
    median_height: float
    """In pixels of that image."""
    paper: float | None
    """Share that the papers' anchors reach, 0..1; None without boxes."""
    fitted: float | None
    """Share that anchors fitted to the training boxes reach."""


@dataclass(frozen=True)
class Health:
    """What `check` found in a data set."""

    root: str
    """Path of the data."""
    labels: tuple[str, ...]
    """Class names, in the order of the net's outputs."""
    counts: dict[str, dict[str, int]]
    """Per label the number of images in train, val and test; per attribute of those that have it; per class of boxes
    the number of boxes."""
    problems: tuple[Problem, ...]
    """What is wrong with single files."""
    median_short_side: int
    """In pixels."""
    smallest_short_side: int
    """In pixels."""
    largest_long_side: int
    """In pixels."""
    digest: str
    """SHA-256 over the sorted (label, content hash) pairs: names the training data."""
    warnings: tuple[str, ...] = ()
    """Sentences for the reader: imbalance, few images, and so on."""
    kind: Kind = "classes"
    """What the labels are."""
    statistics: tuple[Statistic, ...] = ()
    """What some images have in common."""
    faults: tuple[str, ...] = ()
    """What keeps a net from being trained on this data, and what to do about it."""
    images: int = 0
    """How many are usable."""
    split_images: dict[str, int] = field(default_factory=dict, metadata=UNSAID)
    """How many are in train, val and test, where `counts` does not add up to that: for attributes and boxes."""
    reach: tuple[BoxReach, ...] = field(default=(), metadata=UNSAID)
    """Per class of boxes their sizes, and how many of them anchors reach."""

    def images_in(self, split: Split) -> int:
        """Return the usable images of a split."""
        return self.split_images.get(split, sum(row.get(split, 0) for row in self.counts.values()))
