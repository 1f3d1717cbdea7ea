"""The health of a folder of images: every file is hashed, every content really decoded, and what is wrong is named.

What becomes of odd files:

- unreadable and empty files, and files that are no images, are left out;
- of exact copies within a class the first by name stays, one in test before one in val before one in train;
- an image that lies under two labels is left out of both;
- near duplicates stay, in one split where the data does not say which;
- a suffix that lies and an animation are told of and used.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.data.box_sizes import reach_of, reach_warnings
from pocketvision.data.decoded import DecodedCache
from pocketvision.data.digits import mirror_safe, resolve
from pocketvision.data.duplicates import (
    Group,
    followers,
    leaders,
    near_duplicates,
    near_problems,
    ungrouped,
    without_duplicates,
)
from pocketvision.data.inspect import InspectedImage, inspect
from pocketvision.data.kinds import Counts, counts_of, line_of, must_be_learnable, split_images_of, target_of
from pocketvision.data.layout import Found, Listing, natural_key, scan
from pocketvision.data.metadata import MetadataCache
from pocketvision.data.splits import FEWEST, SplitRule, assign, assign_boxes
from pocketvision.data.statistics import statistics_of
from pocketvision.data.upright_boxes import upright_boxes
from pocketvision.data.warnings import attribute_warnings, box_warnings, group_warnings, leak_warnings, warnings_on
from pocketvision.errors import DataError
from pocketvision.progress import Progress, Silent
from pocketvision.values import Dataset, Example, Health, Problem, ProblemKind, Split
from pocketvision.words import quoted, some

MEANT: dict[ProblemKind, str] = {
    "conflict": "under two labels",
    "duplicate": "repeated",
    "leak": "in another split too",
    "not an image": "no image",
    "empty file": "empty",
}
"""What a sentence calls the problems whose names would not read well in it."""

Reasons = Mapping[str, Sequence[Problem]]
"""Per class the problems that keep files out of it."""


@dataclass(frozen=True)
class Examined:
    """A listing, what each of its files turned out to be, and what follows from that."""

    listing: Listing
    images: tuple[InspectedImage, ...]
    health: Health


def examine(listing: Listing, *, rule: SplitRule, progress: Progress = Silent()) -> Examined:
    """Look at every image of a listing; nothing is written or kept.

    What keeps a net from being trained is told in the health's `faults`. A `DataError` is raised where there is no
    usable image at all.
    """
    images = inspect(listing, DecodedCache(0), progress)
    _, health = _judged(listing, images, rule)
    return Examined(listing, tuple(images), health)


def load_dataset(
    data: str | Path, *, val: float = 0.15, test: float = 0.15, seed: int = 42, progress: Progress = Silent()
) -> tuple[Dataset, Health, DecodedCache]:
    """Examine the data, and return the usable images with labels and splits, and those kept decoded.

    A `DataError` says what to add where the folder cannot be learnt from: fewer than two classes, a class with fewer
    than three different images, or an attribute that as few have, or have not.
    """
    rule = SplitRule(seed, val, test)
    listing = scan(resolve(data, progress))
    must_be_learnable(listing)
    decoded = DecodedCache(metadata=MetadataCache())
    try:
        dataset, health = _judged(listing, inspect(listing, decoded, progress), rule)
    finally:
        decoded.close()
    if health.faults:
        raise DataError(health.faults[0])
    return dataset, health, decoded


def split_again(listing: Listing, *, rule: SplitRule, progress: Progress = Silent()) -> tuple[Dataset, ...]:
    """Split a listing by a rule, also where a net could not be trained on it.

    Where the data says the splits itself, a second data set follows that is split by the rule alone.
    """
    decoded = DecodedCache(metadata=MetadataCache())  # signatures of images decoded in full, as those of the run
    try:
        images = inspect(listing, decoded, progress)
    finally:
        decoded.close()
    said = [_judged(listing, images, rule)[0]]
    if any(image.found.split for image in images):
        freed = [replace(image, found=replace(image.found, split=None)) for image in images]
        said.append(_judged(listing, freed, rule)[0])
    return tuple(said)


def _judged(listing: Listing, images: Sequence[InspectedImage], rule: SplitRule) -> tuple[Dataset, Health]:
    images, odd, assumed = upright_boxes(images) if listing.kind == "boxes" else (images, [], ())
    kept, copies = without_duplicates([image for image in images if image.usable])
    reasons = _reasons(listing, images, copies)
    faults = too_few(listing, kept, reasons)
    if not kept:
        raise DataError(faults[0])
    groups = near_duplicates(kept)
    splits = split(listing, kept, groups, rule)
    dataset = _dataset(listing, kept, splits)
    problems = (
        *listing.problems,
        *(problem for image in images for problem in image.problems),
        *odd,
        *copies,
        *near_problems(groups, listing.kind),
    )
    health = _health(
        dataset, listing, kept=kept, problems=problems, faults=faults or untrained(listing, kept, splits, reasons)
    )
    torn = ungrouped(_free(groups), splits)
    return dataset, replace(
        health, warnings=(*assumed, *health.warnings, *leak_warnings(problems), *group_warnings(torn))
    )


# ---------------------------------------------------------------- what keeps a net from being trained


def too_few(listing: Listing, kept: Sequence[InspectedImage], reasons: Reasons) -> tuple[str, ...]:
    """Say which classes have too few usable images, and why, in one sentence if any."""
    if listing.kind == "attributes":
        return _one_sided(listing, [image.found for image in kept], FEWEST, "usable")
    if listing.kind == "boxes" and (fault := _nowhere(listing, kept, "usable", reasons)):
        return (fault,)
    counts = Counter(image.found.label for image in kept)
    groups = listing.labels if listing.kind == "classes" else ("",)
    short = [label for label in groups if counts[label] < FEWEST]
    if not short:
        return ()
    wanted = "; ".join(
        f"{repr(label) if label else 'the data'} has {counts[label]}, add {FEWEST - counts[label]}"
        + _because(reasons.get(label, ()))
        for label in short
    )
    conflict = any(problem.kind == "conflict" for label in short for problem in reasons.get(label, ()))
    return (
        f"a class needs {FEWEST} different usable images at least: {wanted}; in '{listing.root}'."
        + (" Keep each image under one label, and take away a folder that is no class." if conflict else ""),
    )


def untrained(
    listing: Listing, kept: Sequence[InspectedImage], splits: Mapping[str, Split], reasons: Reasons
) -> tuple[str, ...]:
    """Say which class has no image to train on, and why, in one sentence if any."""
    if listing.kind == "attributes":
        return _one_sided(listing, [image.found for image in kept if splits[image.sha256] == "train"], 1, "training")
    if listing.kind == "boxes":
        fault = _nowhere(listing, [image for image in kept if splits[image.sha256] == "train"], "training", reasons)
        return (fault,) if fault else ()
    trained = {image.found.label for image in kept if splits[image.sha256] == "train"}
    lacking = next((label for label in listing.labels if label not in trained), None)
    if lacking is None:
        return ()
    why = _because(reasons.get(lacking, ()))
    return (f"no usable image to train on in the class '{lacking}' of '{listing.root}'{why}: add some.",)


def _nowhere(listing: Listing, images: Sequence[InspectedImage], what: str, reasons: Reasons) -> str:
    """Say which classes have no box that can be learned from; empty where all have."""
    there = {box.label for image in images for box in image.found.boxes if not (box.difficult or box.crowd)}
    lacking = [label for index, label in enumerate(listing.labels) if index not in there]
    if not lacking or not images:
        return ""
    hard = {listing.labels[box.label] for image in images for box in image.found.boxes} & set(lacking)
    return (
        f"no {what} image of '{listing.root}' has a box of {quoted(lacking)}"
        f"{' that is neither difficult nor a crowd' if hard else ''}{_because(reasons.get('', ()))}: add some, or "
        "remove the class."
    )


def _one_sided(listing: Listing, found: Sequence[Found], fewest: int, what: str) -> tuple[str, ...]:
    """Say which attributes too few images have, or have not, in one sentence if any."""
    short = [
        f"'{name}' {has} by {count}"
        for place, name in enumerate(listing.attributes)
        for value, has in ((1, "is had"), (0, "is lacked"))
        if (count := sum(one.attributes[place] == value for one in found)) < fewest
    ]
    if not short:
        return ()
    return (
        f"an attribute needs {fewest} {what} images at least that have it, and as many that are known not to: "
        f"{some(short)}; in '{listing.root}'. Leave the column away, or add images.",
    )


def _reasons(listing: Listing, images: Sequence[InspectedImage], copies: Sequence[Problem]) -> Reasons:
    """Return per class the problems that keep files out of it."""
    label_of = {image.file: image.found.label for image in images}
    told = (*(problem for image in images for problem in image.problems), *copies)
    reasons: dict[str, list[Problem]] = defaultdict(list)
    for problem in listing.problems:
        if problem.left_out:
            reasons[problem.label].append(problem)
    for problem in told:
        if problem.left_out:
            reasons[label_of[problem.file]].append(problem)
    return reasons


def _because(problems: Sequence[Problem]) -> str:
    kinds = Counter(problem.kind for problem in problems)
    if not kinds:
        return ""
    first = {problem.kind: problem for problem in reversed(problems)}
    told = (
        f"{count} {MEANT.get(kind, kind)}, such as {first[kind].file}: {first[kind].detail}"
        for kind, count in kinds.most_common()
    )
    return f" ({'; '.join(told)})"


# ---------------------------------------------------------------- what is left


def split(
    listing: Listing, kept: Sequence[InspectedImage], groups: Sequence[Group], rule: SplitRule
) -> dict[str, Split]:
    """Return the split of each content: the data's own, else by content, near duplicates together."""
    own: dict[str, Split] = {image.sha256: image.found.split for image in kept if image.found.split}
    given = set(own.values())
    follow, lead = followers(groups), leaders(groups)
    splits = dict(own)
    if listing.kind == "boxes":
        held = {image.sha256: _classes(image) for image in kept if image.found.split in (None, "train")}
        val, test = 0 if "val" in given else rule.val, 0 if "test" in given else rule.test
        return splits | assign_boxes(held, seed=rule.seed, val=val, test=test, leaders=lead) | follow
    for label in listing.labels if listing.kind == "classes" else ("",):
        # The person's own val and test folders stand; only what is missing is cut from train.
        free = [image.sha256 for image in kept if image.found.label == label and image.found.split in (None, "train")]
        val, test = 0 if "val" in given else rule.val, 0 if "test" in given else rule.test
        splits |= assign(free, seed=rule.seed, val=val, test=test, leaders=lead)
    return splits | follow


def _classes(image: InspectedImage) -> frozenset[int]:
    return frozenset(box.label for box in image.found.boxes if not (box.difficult or box.crowd))


def _free(groups: Sequence[Group]) -> list[Group]:
    """Return the groups of which no image lies in a given val or test."""
    return [group for group in groups if group[0].found.split in (None, "train")]


def _dataset(listing: Listing, kept: Sequence[InspectedImage], splits: Mapping[str, Split]) -> Dataset:
    labels = {label: index for index, label in enumerate(listing.labels)}
    return Dataset(
        str(listing.root),
        listing.labels or listing.attributes,
        tuple(
            Example(image.file, target_of(image.found, labels), splits[image.sha256], image.sha256) for image in kept
        ),
        mirror_safe=mirror_safe(listing.root, listing.attributes),
        kind=listing.kind,
    )


def _health(
    dataset: Dataset,
    listing: Listing,
    *,
    kept: list[InspectedImage],
    problems: Sequence[Problem],
    faults: tuple[str, ...],
) -> Health:
    counts = counts_of(dataset)
    reach = reach_of(dataset) if dataset.kind == "boxes" else ()
    sizes = [image.size for image in kept]
    short = sorted(min(size) for size in sizes)
    return Health(
        root=dataset.root,
        labels=dataset.labels,
        counts=counts,
        problems=tuple(sorted(problems, key=lambda problem: (natural_key(problem.file), problem.kind))),
        median_short_side=short[len(short) // 2],
        smallest_short_side=short[0],
        largest_long_side=max(max(size) for size in sizes),
        digest=digest(dataset),
        warnings=(*listing.warnings, *_warnings(dataset, counts, sizes), *reach_warnings(dataset, reach)),
        kind=dataset.kind,
        statistics=statistics_of(kept),
        faults=faults,
        images=len(kept),
        split_images=split_images_of(dataset),
        reach=reach,
    )


def _warnings(dataset: Dataset, counts: Counts, sizes: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    if dataset.kind == "boxes":
        return box_warnings(dataset, counts, sizes)
    return warnings_on(counts, sizes) if dataset.kind == "classes" else attribute_warnings(dataset, sizes)


def digest(dataset: Dataset) -> str:
    """Return the SHA-256 over the sorted lines of label, tab, content hash: it names the images, not their files."""
    lines: Sequence[str] = sorted(line_of(dataset, example) for example in dataset.examples)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
