"""Copies of one image, by bytes and nearly by pixels: within a split, across splits, and under two labels."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pocketvision.data.inspect import InspectedImage
from pocketvision.data.kinds import says, told
from pocketvision.data.layout import natural_key
from pocketvision.data.near_duplicates import near_groups
from pocketvision.data.perceptual_hash import stacked
from pocketvision.values import Kind, Problem, Split

PRECEDENCE: dict[Split | None, int] = {"test": 0, "val": 1, "train": 2, None: 2}
"""Where copies lie on two sides of a split, the scarcer side keeps its image."""

Group = tuple[InspectedImage, ...]


def without_duplicates(images: Sequence[InspectedImage]) -> tuple[list[InspectedImage], list[Problem]]:
    """Keep one file of each content, none where its copies disagree about the label."""
    groups: dict[str, list[InspectedImage]] = defaultdict(list)
    for image in images:
        groups[image.sha256].append(image)
    dropped: dict[str, Problem] = {}
    for group in groups.values():
        if len(group) > 1:
            differ = len({says(image.found) for image in group}) > 1
            dropped |= {problem.file: problem for problem in (_conflicts(group) if differ else _duplicates(group))}
    return [image for image in images if image.file not in dropped], list(dropped.values())


def near_duplicates(images: Sequence[InspectedImage]) -> tuple[Group, ...]:
    """Return groups of two or more near duplicates among different contents.

    First in each is the one to keep if one must be kept: of the scarcer split, then the largest, then by name.
    """
    hashed = [(image, image.metadata) for image in images if image.metadata and image.metadata.signature]
    if len(hashed) < 2:
        return ()
    numbers = near_groups(stacked([metadata.signature for _, metadata in hashed]))
    groups: dict[int, list[InspectedImage]] = defaultdict(list)
    for (image, _), number in zip(hashed, numbers.tolist(), strict=True):
        groups[number].append(image)
    return tuple(tuple(sorted(group, key=_worth)) for group in groups.values() if len(group) > 1)


def near_problems(groups: Iterable[Group], kind: Kind) -> Iterable[Problem]:
    """Tell of near duplicates; all stay in the data, because they are not certainly copies."""
    for group in groups:
        # A copy of another size has its boxes elsewhere, so boxes cannot contradict each other.
        differ = kind != "boxes" and len({says(image.found) for image in group}) > 1
        yield from _near_conflicts(group) if differ else _near_duplicates(group)


def leaders(groups: Iterable[Group]) -> dict[str, str]:
    """Return for each content with near duplicates the one by which all of them are split.

    That is the smallest content hash of those whose split is not given: a new copy seldom changes it, and it favors no
    split.
    """
    found: dict[str, str] = {}
    for group in groups:
        free = [image.sha256 for image in group if image.found.split in (None, "train")]
        found |= dict.fromkeys(free, min(free, default=""))
    return found


def followers(groups: Iterable[Group]) -> dict[str, Split]:
    """Return the contents of no given split that nearly repeat one of a given val or test, with that split."""
    found: dict[str, Split] = {}
    for group in groups:
        first = group[0].found.split
        if first in ("val", "test"):
            found |= {image.sha256: first for image in group if image.found.split is None}
    return found


def ungrouped(groups: Iterable[Group], split_of: Mapping[str, Split]) -> list[Group]:
    """Return the groups of near duplicates that lie in several splits."""
    return [group for group in groups if len({split_of[image.sha256] for image in group}) > 1]


# ---------------------------------------------------------------- words


def _conflicts(group: Sequence[InspectedImage]) -> Iterable[Problem]:
    for image in group:
        other = next(o.found for o in group if says(o.found) != says(image.found))
        detail = f"the same image is labeled {told(other)} as {other.file}"
        yield Problem(image.file, "conflict", detail, left_out=True, other=other.file, label=image.found.label)


def _duplicates(group: Sequence[InspectedImage]) -> Iterable[Problem]:
    first, *copies = sorted(group, key=lambda image: (PRECEDENCE[image.found.split], natural_key(image.file)))
    for image in copies:
        detail = f"the same image as {first.file}"
        if _leaks(image, first):
            yield Problem(image.file, "leak", f"{detail}, in {first.found.split}", left_out=True, other=first.file)
        else:
            yield Problem(image.file, "duplicate", detail, left_out=True, other=first.file)


def _near_conflicts(group: Group) -> Iterable[Problem]:
    for image in group:
        other = next(o.found for o in group if says(o.found) != says(image.found))
        detail = f"nearly the same image is labeled {told(other)} as {other.file}"
        yield Problem(image.file, "near conflict", detail, left_out=False, other=other.file, label=image.found.label)


def _near_duplicates(group: Group) -> Iterable[Problem]:
    first, *copies = group
    for image in copies:
        detail = f"nearly the same image as {first.file}"
        if _leaks(image, first):
            yield Problem(image.file, "leak", f"{detail}, in {first.found.split}", left_out=False, other=first.file)
        else:
            yield Problem(image.file, "near duplicate", detail, left_out=False, other=first.file)


def _leaks(image: InspectedImage, first: InspectedImage) -> bool:
    ours, theirs = image.found.split, first.found.split
    return ours is not None and theirs is not None and ours != theirs


def _worth(image: InspectedImage) -> tuple[object, ...]:
    width, height = image.size
    return PRECEDENCE[image.found.split], -width * height, natural_key(image.file)
