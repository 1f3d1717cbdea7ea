"""A cleaned table of the images, and why each other one is not in it. The images themselves are not touched.

- Classes whose names differ only by capitals and spaces become one, under the name of which there are most.
- Of copies and near duplicates one stays, as in `duplicates`; none, where they contradict each other.
- What cannot be used, and classes with fewer than three images left, are left out.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.data.check import Examined, split, untrained
from pocketvision.data.duplicates import near_duplicates, near_problems, without_duplicates
from pocketvision.data.inspect import InspectedImage
from pocketvision.data.layout import Listing, natural_key
from pocketvision.data.layouts.inside import inside
from pocketvision.data.layouts.labels import LISTS, read_list
from pocketvision.data.splits import FEWEST, SplitRule
from pocketvision.errors import DataError, UsageError
from pocketvision.files import csv_text, user_path, write_text
from pocketvision.values import Split

COLUMNS = ("filename", "label", "split")
REASON_COLUMNS = ("filename", "action", "label", "reason")
REASONS = "reasons"
"""`clean.csv` has its reasons in `clean.reasons.csv`."""


@dataclass(frozen=True)
class FixRow:
    """An image that stays."""

    file: str
    label: str
    split: Split


@dataclass(frozen=True)
class Reason:
    """What was done about an image, and why."""

    file: str
    action: str
    """`left out` or `relabeled`."""
    label: str
    """The class it has, or had where it is left out; empty where none is known."""
    reason: str


@dataclass(frozen=True)
class Cleaned:
    """The table and its reasons, both in natural order."""

    rows: tuple[FixRow, ...]
    reasons: tuple[Reason, ...]


def table_for(path: str | Path, listing: Listing) -> Path:
    """Return where the table of a listing goes; a `UsageError` where it cannot, and what to do."""
    table = user_path(path).absolute()
    root = listing.root.absolute()
    if listing.kind != "classes":
        raise UsageError(
            f"--fix writes a table of one class for each image, but '{root}' has {listing.kind}; leave --fix away, "
            "and see with --output what to correct."
        )
    if table.suffix.lower() != ".csv":
        raise UsageError(f"--fix writes CSV: name the file '{table.stem}.csv', not '{table.name}'.")
    if not root.is_relative_to(table.parent):
        raise UsageError(
            f"--fix cannot write '{table}': paths in the table are relative to its folder and must not lead out of it. "
            f"Put it into the data's folder or one above, such as {root / table.name}"
        )
    for existing in (table, reasons_of(table)):
        if existing.exists():
            raise UsageError(f"'{existing}' exists already; give --fix another name, or remove the file.")
    return table


def write_fix(table: Path, examined: Examined, rule: SplitRule) -> Cleaned:
    """Write the cleaned table, which `fit` and `train` read, to where `table_for` says, and its reasons beside it.

    A `DataError` says that nothing to learn from is left.
    """
    below = examined.listing.root.absolute().relative_to(table.parent)
    cleaned = clean(examined, rule)
    _must_keep_lists(table.parent, {row.label for row in cleaned.rows})
    rows = [((below / row.file).as_posix(), row.label, row.split) for row in cleaned.rows]
    reasons = [((below / r.file).as_posix(), r.action, r.label, r.reason) for r in cleaned.reasons]
    write_text(table, csv_text(COLUMNS, rows))
    write_text(reasons_of(table), csv_text(REASON_COLUMNS, reasons))
    return cleaned


def reasons_of(table: Path) -> Path:
    """Return where the reasons of a table lie."""
    return table.with_name(f"{table.stem}.{REASONS}.csv")


def clean(examined: Examined, rule: SplitRule) -> Cleaned:
    """Return what stays of the data and what does not."""
    old = {image.file: image.found.label for image in examined.images}
    names = merged(old.values())
    images = [replace(image, found=replace(image.found, label=names[image.found.label])) for image in examined.images]
    kept, dropped = _kept(images)
    left = {image.found.label for image in kept}
    if len(left) < 2:
        raise DataError(
            f"--fix would leave fewer than two classes with {FEWEST} usable images of '{examined.listing.root}': "
            "add some."
        )
    labels = tuple(label for label in examined.listing.labels if label in left)
    listing = replace(examined.listing, labels=labels)
    splits = split(listing, kept, (), rule)
    if faults := untrained(listing, kept, splits, {}):
        raise DataError(faults[0])
    reasons = [
        *(Reason(p.file, "left out", "", p.detail) for p in listing.problems if p.left_out),
        *(Reason(image.file, "left out", image.found.label, why) for image, why in dropped),
        *(
            Reason(
                image.file, "relabeled", image.found.label, f"'{old[image.file]}' differs only by capitals or spaces"
            )
            for image in kept
            if old[image.file] != image.found.label
        ),
    ]
    rows = tuple(FixRow(image.file, image.found.label, splits[image.sha256]) for image in kept)
    return Cleaned(rows, tuple(sorted(reasons, key=lambda reason: natural_key(reason.file))))


def merged(labels: Iterable[str]) -> dict[str, str]:
    """Return for each label the commonest of all that differ from it only by capitals and spaces.

    `labels` are those of all images, each as often as it occurs.
    """
    counts = Counter(labels)
    groups: dict[str, list[str]] = defaultdict(list)
    for label in counts:
        groups[re.sub(r"\s+", "", label.casefold())].append(label)
    first = {key: min(group, key=lambda label: (-counts[label], label)) for key, group in groups.items()}
    return {label: first[key] for key, group in groups.items() for label in group}


# ---------------------------------------------------------------- what stays


Dropped = list[tuple[InspectedImage, str]]


def _kept(images: Sequence[InspectedImage]) -> tuple[list[InspectedImage], Dropped]:
    named = [image for image in images if image.usable and _can_be_listed(image.file)]
    kept, copies = _distinct(named)
    counts = Counter(image.found.label for image in kept)
    few = {label: f"its class has only {count} usable images; it needs {FEWEST}" for label, count in counts.items()}
    dropped = [
        *((image, image.problems[0].detail) for image in images if not image.usable),
        *(
            (image, "its name cannot stand in a table; rename it")
            for image in images
            if image.usable and not _can_be_listed(image.file)
        ),
        *copies,
        *((image, few[image.found.label]) for image in kept if counts[image.found.label] < FEWEST),
    ]
    return [image for image in kept if counts[image.found.label] >= FEWEST], dropped


def _distinct(images: Sequence[InspectedImage]) -> tuple[list[InspectedImage], Dropped]:
    """Keep one of each group of copies and near duplicates; none of those that contradict each other."""
    different, problems = without_duplicates(images)
    told = (*problems, *near_problems(near_duplicates(different), "classes"))
    details = {problem.file: problem.detail for problem in told}
    kept = [image for image in images if image.file not in details]
    return kept, [(image, details[image.file]) for image in images if image.file in details]


def _can_be_listed(file: str) -> bool:
    try:
        return inside(file, "") == file
    except DataError:
        return False


# ---------------------------------------------------------------- writing


def _must_keep_lists(folder: Path, labels: set[str]) -> None:
    """Raise a `UsageError` where a list of classes beside the table names others than it: it could not be read."""
    for path in (folder / name for name in LISTS):
        if path.is_file() and set(read_list(path)) != labels:
            raise UsageError(
                f"'{path}' lists other classes than the cleaned table would have, {', '.join(sorted(labels))}; "
                "put the table into a folder above, or correct the list first."
            )
