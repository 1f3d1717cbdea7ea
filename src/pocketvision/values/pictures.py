"""The data: pictures, labels, splits, and what is wrong with them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Example:
    """One readable picture of the data set."""

    file: str
    """Path below the data set's root, with forward slashes."""
    label: int
    split: Split
    sha256: str  # of the file's bytes, in hex


@dataclass(frozen=True)
class Dataset:
    """Pictures with labels and splits; `labels` in the order of the net's outputs."""

    root: str
    labels: tuple[str, ...]
    examples: tuple[Example, ...]
    mirror_safe: bool = True
    """False where a mirrored picture means something else, as with digits."""

    def of(self, split: Split) -> tuple[Example, ...]:
        """Return the examples of one split."""
        return tuple(example for example in self.examples if example.split == split)

    def path(self, example: Example) -> Path:
        """Return where the example's file lies."""
        return Path(self.root, example.file)


@dataclass(frozen=True)
class Problem:
    """One thing `check` found; `left_out` tells whether the file is kept out of training."""

    file: str
    kind: Literal["unreadable", "conflict", "duplicate", "suffix", "not an image", "animated", "empty file"]
    detail: str
    left_out: bool


@dataclass(frozen=True)
class Health:
    """What `check` found in a data set."""

    root: str
    labels: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    """Per label, the number of pictures in train, val and test."""
    problems: tuple[Problem, ...]
    median_short_side: int
    smallest_short_side: int
    largest_long_side: int
    digest: str
    """SHA-256 over the sorted (label, content hash) pairs: names the training data."""
    notes: tuple[str, ...] = ()
    """Sentences for the reader: imbalance, few images, and so on."""
