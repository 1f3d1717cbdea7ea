"""Copies of one image, by bytes and nearly by pixels: within a split, across splits, and under two labels."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pocketvision.data.kinds import says, told
from pocketvision.data.layout import natural_key
from pocketvision.data.looks import Look
from pocketvision.data.near import near_groups
from pocketvision.data.sketch import stacked
from pocketvision.values import Kind, Problem, Split

PRECEDENCE: dict[Split | None, int] = {"test": 0, "val": 1, "train": 2, None: 2}
"""Where copies lie on two sides of a split, the scarcer side keeps its image."""

Group = tuple[Look, ...]


def without_copies(looks: Sequence[Look]) -> tuple[list[Look], list[Problem]]:
    """Keep one file of each content, none where its copies disagree about the label."""
    groups: dict[str, list[Look]] = defaultdict(list)
    for look in looks:
        groups[look.sha256].append(look)
    dropped: dict[str, Problem] = {}
    for group in groups.values():
        if len(group) > 1:
            differ = len({says(look.found) for look in group}) > 1
            dropped |= {problem.file: problem for problem in (_conflicts(group) if differ else _duplicates(group))}
    return [look for look in looks if look.file not in dropped], list(dropped.values())


def near_copies(looks: Sequence[Look]) -> tuple[Group, ...]:
    """Return groups of two or more near copies among different contents.

    First in each is the one to keep if one must be kept: of the scarcer split, then the largest, then by name.
    """
    sketched = [(look, look.facts) for look in looks if look.facts and look.facts.sketch]
    if len(sketched) < 2:
        return ()
    numbers = near_groups(stacked([facts.sketch for _, facts in sketched]))
    groups: dict[int, list[Look]] = defaultdict(list)
    for (look, _), number in zip(sketched, numbers.tolist(), strict=True):
        groups[number].append(look)
    return tuple(tuple(sorted(group, key=_worth)) for group in groups.values() if len(group) > 1)


def near_problems(groups: Iterable[Group], kind: Kind) -> Iterable[Problem]:
    """Tell of near copies; all stay in the data, because they are not certainly copies."""
    for group in groups:
        # A copy of another size has its boxes elsewhere, so boxes cannot contradict each other.
        differ = kind != "boxes" and len({says(look.found) for look in group}) > 1
        yield from _near_conflicts(group) if differ else _near_duplicates(group)


def leaders(groups: Iterable[Group]) -> dict[str, str]:
    """Return for each content with near copies the one by which all of them are split.

    That is the smallest content hash of those whose split is not given: a new copy seldom changes it, and it favors no
    split.
    """
    found: dict[str, str] = {}
    for group in groups:
        free = [look.sha256 for look in group if look.found.split in (None, "train")]
        found |= dict.fromkeys(free, min(free, default=""))
    return found


def followers(groups: Iterable[Group]) -> dict[str, Split]:
    """Return the contents of no given split that nearly repeat one of a given val or test, with that split."""
    found: dict[str, Split] = {}
    for group in groups:
        first = group[0].found.split
        if first in ("val", "test"):
            found |= {look.sha256: first for look in group if look.found.split is None}
    return found


def ungrouped(groups: Iterable[Group], split_of: Mapping[str, Split]) -> list[Group]:
    """Return the groups of near copies that lie in several splits."""
    return [group for group in groups if len({split_of[look.sha256] for look in group}) > 1]


# ---------------------------------------------------------------- words


def _conflicts(group: Sequence[Look]) -> Iterable[Problem]:
    for look in group:
        other = next(o.found for o in group if says(o.found) != says(look.found))
        detail = f"the same image is labeled {told(other)} as {other.file}"
        yield Problem(look.file, "conflict", detail, left_out=True, other=other.file, label=look.found.label)


def _duplicates(group: Sequence[Look]) -> Iterable[Problem]:
    first, *copies = sorted(group, key=lambda look: (PRECEDENCE[look.found.split], natural_key(look.file)))
    for look in copies:
        detail = f"the same image as {first.file}"
        if _leaks(look, first):
            yield Problem(look.file, "leak", f"{detail}, in {first.found.split}", left_out=True, other=first.file)
        else:
            yield Problem(look.file, "duplicate", detail, left_out=True, other=first.file)


def _near_conflicts(group: Group) -> Iterable[Problem]:
    for look in group:
        other = next(o.found for o in group if says(o.found) != says(look.found))
        detail = f"nearly the same image is labeled {told(other)} as {other.file}"
        yield Problem(look.file, "near conflict", detail, left_out=False, other=other.file, label=look.found.label)


def _near_duplicates(group: Group) -> Iterable[Problem]:
    first, *copies = group
    for look in copies:
        detail = f"nearly the same image as {first.file}"
        if _leaks(look, first):
            yield Problem(look.file, "leak", f"{detail}, in {first.found.split}", left_out=False, other=first.file)
        else:
            yield Problem(look.file, "near duplicate", detail, left_out=False, other=first.file)


def _leaks(look: Look, first: Look) -> bool:
    ours, theirs = look.found.split, first.found.split
    return ours is not None and theirs is not None and ours != theirs


def _worth(look: Look) -> tuple[object, ...]:
    width, height = look.size
    return PRECEDENCE[look.found.split], -width * height, natural_key(look.file)
