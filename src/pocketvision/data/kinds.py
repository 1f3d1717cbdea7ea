"""What differs between classes, attributes and boxes: what is said of an image, counted, and can be trained on."""

from collections.abc import Iterable

from pocketvision.data.layouts.listing import Found, Listing
from pocketvision.errors import DataError
from pocketvision.tasks import name_for, of_kind
from pocketvision.values import Box, Dataset, Example, Split, Target

Counts = dict[str, dict[str, int]]


def must_be_learnable(listing: Listing) -> None:
    """Raise a `DataError` that says what the data is, unless there is a task that learns from it."""
    if name_for(listing.kind) is None:
        raise DataError(
            f"'{listing.root}' has {listing.kind} ({len(listing.labels)} classes), and no net here is trained on such "
            "data; `pocketvision check` reads it too."
        )


def says(found: Found) -> tuple[object, ...]:
    """Return all that is said of an image, to compare copies by."""
    return found.label, found.attributes, found.boxes


def told(found: Found) -> str:
    """Return what is said of an image, in a few words."""
    if found.label:
        return f"'{found.label}'"
    return f"with {len(found.boxes)} boxes" if not found.attributes else "with other attributes"


def target_of(found: Found, labels: dict[str, int]) -> Target:
    """Return what is said of an image; `labels` are the numbers of the classes."""
    if found.label:
        return labels[found.label]
    return found.attributes or found.boxes


def counts_of(dataset: Dataset) -> Counts:
    """Count per class and split the images; per attribute those that have it; per class of boxes the boxes."""
    counts = {name: {"train": 0, "val": 0, "test": 0} for name in dataset.labels}
    for example in dataset.examples:
        for index in _indices(example):
            counts[dataset.labels[index]][example.split] += 1
    return counts


def split_images_of(dataset: Dataset) -> dict[str, int]:
    """Count the images of each split, where those of the labels do not add up to them."""
    splits: tuple[Split, ...] = ("train", "val", "test")
    return {} if dataset.kind == "classes" else {split: len(dataset.of(split)) for split in splits}


def line_of(dataset: Dataset, example: Example) -> str:
    """Return what the digest of the data holds of one image."""
    return f"{of_kind(dataset.kind).write(example.target, dataset.labels)}\t{example.sha256}"


def _indices(example: Example) -> Iterable[int]:
    if isinstance(example.target, int):
        return (example.target,)
    return (cell.label if isinstance(cell, Box) else place for place, cell in enumerate(_cells(example)) if cell)


def _cells(example: Example) -> Iterable[Box | int | None]:
    return example.target if isinstance(example.target, tuple) else ()
