"""Label lists that must agree: those of the splits, and labels.txt or classes.txt beside the data."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from pocketvision.data.layouts.listing import Listing, natural_key, normal
from pocketvision.errors import DataError
from pocketvision.files import is_unicode, lines_of
from pocketvision.words import quoted

LISTS = ("labels.txt", "classes.txt")
_NOTHING = ("nan", "null", "<na>", "n/a", "#n/a")
"""What other programs write where a table holds nothing."""
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]+")
"""What ends a line, or is no letter, for one program or another."""
LONGEST_LIST = 10_000_000
"""Bytes; a longer file is no list of class names."""


def ordered(root: Path, labels: Iterable[str], whence: str) -> tuple[tuple[str, ...], str]:
    """Return the labels in the order of the list beside the data, else in natural order, and what is wrong with them.

    A `DataError` shows the difference where the list has not the names of the data; where it has more, that is what is
    wrong. `whence` says where those of the data stand.
    """
    found = set(labels)
    lists = {path.name: read_list(path) for path in (root / name for name in LISTS) if path.is_file()}
    for name, listed in lists.items():
        if not found <= set(listed):
            must_agree(f"'{root / name}'", listed, whence, found)
    if len(set(lists.values())) > 1:
        raise DataError(f"{' and '.join(LISTS)} in '{root}' have different orders, or names; keep one of them.")
    name, listed = next(iter(lists.items()), ("", tuple(sorted(found, key=natural_key))))
    more = difference(f"'{root / name}'", listed, whence, found)
    return tuple(label for label in listed if label in found), disagreement(more) if more else ""


def read_list(path: Path) -> tuple[str, ...]:
    """Read one name a line; a name that stands there twice is a `DataError`."""
    try:
        if path.stat().st_size > LONGEST_LIST:
            raise DataError(f"'{path}' is too long for a list of class names; rename it if it is none.")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DataError(
            f"'{path}' is no UTF-8 text; save it as such, or rename it if it is no list of classes."
        ) from None
    lines: dict[str, int] = {}
    for number, line in enumerate(lines_of(text), 1):
        if not (name := normal(line.strip())):
            continue
        if name in lines:
            raise DataError(f"'{path}' has '{name}' in line {lines[name]} and again in line {number}.")
        lines[name] = number
    return tuple(lines)


def without_unused(listing: Listing) -> Listing:
    """Return a listing of boxes without the classes that have none, and a warning of those."""
    used = {box.label for found in listing.found for box in found.boxes}
    kept = [index for index in range(len(listing.labels)) if index in used]
    if listing.kind != "boxes" or not kept or len(kept) == len(listing.labels):
        return listing
    new = {index: place for place, index in enumerate(kept)}
    found = (
        replace(item, boxes=tuple(replace(box, label=new[box.label]) for box in item.boxes)) for item in listing.found
    )
    unused = quoted(label for index, label in enumerate(listing.labels) if index not in used)
    return replace(
        listing,
        labels=tuple(listing.labels[index] for index in kept),
        found=tuple(found),
        warnings=(*listing.warnings, f"Classes without a box, which are left away: {unused}."),
    )


def on_one_line(listing: Listing) -> Listing:
    """Return the listing with names that can stand on a line of a text, and a warning of those that were replaced.

    A `DataError` names two names that would become one, and a name of which nothing is left.
    """
    names = listing.labels or listing.attributes
    new = {name: one_line(name) for name in names}
    changed = {name: line for name, line in new.items() if line != name}
    if broken := [name for name in names if (name and not new[name]) or not is_unicode(name)]:
        raise DataError(f"{broken[0]!a} in '{listing.root}' is no name for a class; rename it.")
    for name, line in changed.items():
        if other := next((other for other in names if other != name and new[other] == line), None):
            raise DataError(
                f"{name!r} and {other!r} in '{listing.root}' are one name, {line!r}, where a name stands on a line of "
                "a text, without spaces around it; give them the same name, or rename one."
            )
    if not changed:
        return listing
    told = ", ".join(f"{name!r} is now {line!r}" for name, line in changed.items())
    return replace(
        listing,
        labels=tuple(new[label] for label in listing.labels),
        attributes=tuple(new[attribute] for attribute in listing.attributes),
        found=tuple(replace(item, label=new.get(item.label, item.label)) for item in listing.found),
        problems=tuple(replace(problem, label=new.get(problem.label, problem.label)) for problem in listing.problems),
        warnings=(*listing.warnings, f"Names must stand on one line, without spaces around them: {told}."),
    )


def one_line(name: str) -> str:
    """Return a name that can stand on a line of a text."""
    return _BREAKS.sub(" ", name).strip()


def must_agree(one: str, first: Iterable[str], other: str, second: Iterable[str]) -> None:
    """Raise a `DataError` that shows the difference unless both lists hold the same names."""
    if text := difference(one, first, other, second):
        raise DataError(disagreement(text))


def disagreement(text: str) -> str:
    """Say that two lists differ, given their difference."""
    return f"two lists of classes disagree: {text}. Make them the same."


def unknown(one: str, first: Iterable[str], other: str, second: Iterable[str]) -> str:
    """Show the difference where the second list has names that the first has not; empty where it has none."""
    known, asked = set(first), set(second)
    extra = sorted(asked - known, key=natural_key)
    if not extra:
        return ""
    return (
        f"{quoted(extra)} of {other} has no counterpart in {one}"
        f"{_meant(extra, known - asked)}: {difference(one, known, other, asked)}. "
        "Give them the same name, add images of the class to train, or remove it."
    )


def difference(one: str, first: Iterable[str], other: str, second: Iterable[str]) -> str:
    """Say which names only one of two lists has; empty where there is no such name."""
    ours, theirs = set(first), set(second)
    sides = ((one, ours - theirs), (other, theirs - ours))
    return "; ".join(f"only in {where}: {quoted(sorted(names, key=natural_key))}" for where, names in sides if names)


def alike(labels: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Return groups of names that differ only by capitals, spaces, hyphens or underscores."""
    groups: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        groups[re.sub(r"[\s_-]+", "", label.casefold())].append(label)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def alike_warnings(labels: Iterable[str]) -> tuple[str, ...]:
    """Say which classes may be one."""
    return tuple(
        f"{quoted(group)} differ only by capitals, spaces, hyphens or underscores: are they one class?"
        for group in alike(labels)
    )


def nothing_warnings(labels: Iterable[str]) -> tuple[str, ...]:
    """Say which classes may be images without a label."""
    odd = [label for label in labels if label.casefold() in _NOTHING]
    return (f"{quoted(odd)} is taken for a class; leave the label empty where an image has none.",) if odd else ()


def _meant(extra: Iterable[str], unmatched: Iterable[str]) -> str:
    names = list(unmatched)
    close = next((hit for name in extra for hit in get_close_matches(name, names, n=1)), None)
    return f"; did you mean '{close}'?" if close else ""
