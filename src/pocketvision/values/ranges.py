"""What every numeric option takes: its range, in the one place where it is defined, for functions and commands."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from pocketvision.errors import UsageError

_NUMBER = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*", re.ASCII)


@dataclass(frozen=True)
class Range:
    """The numbers that an option takes, in the unit that its words name."""

    least: float
    most: float
    what: str = ""
    """What is counted, as it stands behind 'a number'."""
    whole: bool = False
    above: bool = False
    """Whether the least itself is left out."""
    below: bool = False
    """Whether the most itself is left out."""
    words: tuple[str, ...] = ()
    """What may be given instead of a number."""
    written: str = ""
    """How amounts with units are written; the function that knows the units reads them and asks
    `in_range`."""

    def __str__(self) -> str:
        start = f"above {self.least:g}" if self.above else f"from {_plain(self.least)}"
        end = f"to below {self.most:g}" if self.below else f"to {_plain(self.most)}"
        if self.above:
            end = f"and at most {_plain(self.most)}"
        words = ["a whole number" if self.whole else "a number", self.what, start, end]
        return " or ".join([*([] if self.written else self.words), " ".join(word for word in words if word)])

    def holds(self, number: float) -> bool:
        """Tell whether a number is in the range; NaN and infinity are in none."""
        if not math.isfinite(number) or (self.whole and not isinstance(number, int)):
            return False
        low = number > self.least if self.above else number >= self.least
        return low and (number < self.most if self.below else number <= self.most)


_MANY, _BYTES = 10**15, "500KB, 2MB, 1.5MiB or a number of bytes"

RANGES: Mapping[str, Range] = {
    # The net and its images.
    "width": Range(0.01, 16),
    "depth": Range(1, 1024, "of layers", whole=True),
    "resolution": Range(8, 4096, "of pixels a side", whole=True),
    "num_classes": Range(1, 1_000_000, whole=True),
    "in_channels": Range(1, 1024, whole=True),
    "groups": Range(1, 1024, whole=True),
    "dropout": Range(0, 1, below=True),
    # Training. A rate that ruins a net is told by the training itself: no number is too large for every net.
    "epochs": Range(1, 100_000, whole=True),
    "batch_size": Range(2, 65_536, "of images", whole=True, words=("auto",)),
    "lr": Range(0, 1e38, above=True),
    "patience": Range(1, 100_000, "of epochs", whole=True),
    "seed": Range(0, 2**63 - 1, whole=True),
    "val": Range(0, 1, below=True),
    "test": Range(0, 1, below=True),
    "temperature": Range(0, 1000, above=True),
    "alpha": Range(0, 1),
    "features": Range(0, 1000),
    "views": Range(1, 100, "of views of each image", whole=True),
    "time_limit": Range(0, 1e9, "of seconds", above=True, written="90s, 10m or 1.5h"),
    # Limits.
    "max_size": Range(1, _MANY, "of bytes", written=_BYTES),
    "max_download": Range(1, _MANY, "of bytes", written=_BYTES),
    "to": Range(1, _MANY, "of bytes", written=_BYTES),
    "max_memory": Range(1, _MANY, "of bytes", written="4MB, 512KiB or a number of bytes"),
    "max_macs": Range(1, _MANY, "of multiply-adds", written="50M, 0.3G or a plain number"),
    "max_params": Range(1, _MANY, "of parameters", written="1M, 250k or a plain number"),
    "max_latency": Range(
        0, 1e9, "of milliseconds", above=True, written="10ms, 0.5s, 10ms@PROFILE or a number of milliseconds"
    ),
    "min_accuracy": Range(0, 1, above=True, written="0.9 or 90%"),
    "max_drop": Range(0, 100, "of points"),
    "abstain": Range(0, 1, words=("auto", "off"), written="off, auto, or a probability such as 0.6 or 60%"),
    # Judging and showing.
    "threads": Range(1, 1024, whole=True),
    "batch": Range(1, 1024, "of images", whole=True),
    "top": Range(1, 1_000_000, "of labels", whole=True),
    "port": Range(0, 65_535, whole=True),
}


def check_ranges(given: Mapping[str, Any]) -> None:
    """Raise UsageError for the first option that is no number, or out of its range; None and lists are understood.

    `given` are arguments by name, such as `locals()` on the first line of a verb; names without a range are passed
    over, and so are amounts with units, which the functions that read them check.
    """
    for name, value in given.items():
        if name in RANGES and not RANGES[name].written and value is not None:
            for one in value if isinstance(value, list | tuple) else (value,):
                number(name, one)


def number(name: str, value: Any) -> float | None:
    """Return the number that an option is given as, None for a word such as auto, beside which it may be written out.

    Raises UsageError.
    """
    words = RANGES[name].words
    if isinstance(value, str) and value.strip().lower() in words:
        return None
    return in_range(name, read(value) if words or not isinstance(value, str) else None, value)


def share(name: str, value: Any) -> float:
    """Return the share of 1 that an option is given as, such as 0.9 or '90%'; raises UsageError."""
    text = value.strip() if isinstance(value, str) else ""
    found = read(text.removesuffix("%") if text else value)
    return in_range(name, found / 100 if text.endswith("%") and found is not None else found, value)


def in_range(name: str, found: float | None, value: Any) -> float:
    """Return what was found in the value of an option, in the option's unit; raises UsageError where it is no number
    or out of range."""
    taken = RANGES[name]
    if found is None or not taken.holds(found):
        told = f"; write {taken.written}" if taken.written else ""
        raise UsageError(f"--{name.replace('_', '-')} takes {taken}, not '{value}'{told}")
    return found


def read(value: Any) -> float | None:
    """Return a number as a Python number, whole ones exactly; None for all else, truth values too."""
    if isinstance(value, str):
        found = _NUMBER.fullmatch(value)
        return None if found is None else _of_digits(found[1])
    if isinstance(value, bool):
        return None
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else None


def _of_digits(text: str) -> float:
    # A whole number of a thousand digits is none that Python reads; as a float it is infinite, and refused as such.
    return int(text) if len(text) <= 30 and "." not in text else float(text)


def _plain(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
