"""Sentences about a data set that break nothing but that its owner should know."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from pocketvision.data.duplicates import Group
from pocketvision.metrics.multilabel import ENOUGH
from pocketvision.values import Dataset, Problem
from pocketvision.words import quoted

IMBALANCE = 3.0
"""Ratio of the largest class to the smallest above which it is worth a word."""
FEW = 20
"""Images of a class below which its accuracy says little."""
TINY = 32
"""Short side in pixels."""
LONG = 1.5
"""Ratio of the sides above which a square distorts or loses much."""


def warnings_on(counts: Mapping[str, Mapping[str, int]], sizes: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """Return what to know of these counts (per label and split) and sizes (width, height).

    Of a class without any image nothing is said: that is a fault, not a note.
    """
    filled = {label: splits for label, splits in counts.items() if any(splits.values())}
    totals = {label: sum(splits.values()) for label, splits in filled.items()}
    return (*_imbalance(totals), *_few(totals), *_unjudged(filled), *_tiny(sizes), *_long(sizes))


def attribute_warnings(dataset: Dataset, sizes: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """Return what to know of 0/1 attributes: unknown cells, rare ones in validation, what mirroring spoils."""
    rows = [example.target for example in dataset.examples if isinstance(example.target, tuple)]
    unknown = sum(cell is None for row in rows for cell in row)
    found = []
    if unknown:
        share = unknown / (len(rows) * len(dataset.labels))
        found.append(f"{share:.0%} of all cells are unknown: they are neither learned from nor judged.")
    val = [example.target for example in dataset.of("val") if isinstance(example.target, tuple)]
    rare = [name for place, name in enumerate(dataset.labels) if sum(row[place] == 1 for row in val) < ENOUGH]
    if val and rare:
        found.append(
            f"Fewer than {ENOUGH} validation images have {quoted(rare)}: the threshold is partly a rule of thumb."
        )
    if not dataset.mirror_safe:
        found.append("An attribute speaks of left or right: images are not mirrored in training.")
    return (*found, *_tiny(sizes), *_long(sizes))


def box_warnings(
    dataset: Dataset, counts: Mapping[str, Mapping[str, int]], sizes: Sequence[tuple[int, int]]
) -> tuple[str, ...]:
    """Return what to know of boxes: rare classes, splits without a class, images without any box."""
    totals = {label: sum(splits.values()) for label, splits in counts.items() if any(splits.values())}
    found = [warning.replace(" images", " boxes") for warning in _imbalance(totals)] if totals else []
    few = [label for label, count in totals.items() if count < FEW]
    if few:
        found.append(f"Fewer than {FEW} boxes of {quoted(few)}: expect what is measured of it to be uncertain.")
    found += [warning.replace(" image in ", " box of ") for warning in _unjudged(counts)]
    empty = sum(not example.target for example in dataset.examples)
    if empty:
        found.append(f"{empty} of {len(dataset.examples)} images have no box: from them is learned where nothing is.")
    return (*found, *_tiny(sizes), *_long(sizes))


def leak_warnings(problems: Iterable[Problem]) -> tuple[str, ...]:
    """Say how many images of a given split lie in another one too."""
    leaks = Counter(problem.left_out for problem in problems if problem.kind == "leak")
    warnings = []
    if leaks[True]:
        warnings.append(f"Images that lie in two of your splits: {leaks[True]}. They are left out of the larger one.")
    if leaks[False]:
        warnings.append(
            f"Images that nearly repeat one in another of your splits: {leaks[False]}. The accuracy there says "
            "little of new images: remove one of each."
        )
    return tuple(warnings)


def group_warnings(torn: Sequence[Group]) -> tuple[str, ...]:
    """Say where near duplicates could not be kept in one split; `torn` are their groups."""
    if not torn:
        return ()
    labels = list(dict.fromkeys(group[0].found.label for group in torn))
    return (
        f"Near duplicates in {quoted(labels)} lie in several splits, because without them too few images are left to "
        "train, choose and judge by.",
    )


def _imbalance(totals: Mapping[str, int]) -> list[str]:
    smallest, largest = (pick(totals, key=lambda label: totals[label]) for pick in (min, max))
    if totals[largest] <= IMBALANCE * totals[smallest]:
        return []
    ratio = totals[largest] / totals[smallest]
    return [
        f"The classes are uneven: '{largest}' has {totals[largest]} images, {ratio:.1f} times as many as "
        f"'{smallest}' with {totals[smallest]}."
    ]


def _few(totals: Mapping[str, int]) -> list[str]:
    few = [label for label, count in totals.items() if count < FEW]
    if not few:
        return []
    return [f"Fewer than {FEW} images in {quoted(few)}: expect its accuracy to be uncertain."]


def _unjudged(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    warnings = []
    for split in ("val", "test"):
        lacking = [label for label, splits in counts.items() if not splits[split]]
        if lacking and len(lacking) < len(counts):
            warnings.append(f"No {split} image in {quoted(lacking)}.")
    return warnings


def _tiny(sizes: Sequence[tuple[int, int]]) -> list[str]:
    tiny = sum(min(size) < TINY for size in sizes)
    if not tiny:
        return []
    return [f"{tiny} of {len(sizes)} images are smaller than {TINY} pixels; they are enlarged."]


def _long(sizes: Sequence[tuple[int, int]]) -> list[str]:
    ratios = [max(size) / min(size) for size in sizes]
    long = sum(ratio > LONG for ratio in ratios)
    if long * 2 <= len(sizes):
        return []
    return [
        f"{long} of {len(sizes)} images are far from square (median ratio of the sides {median(ratios):.2f}); "
        "the net sees them as squares."
    ]
