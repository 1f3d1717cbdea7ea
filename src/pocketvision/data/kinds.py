"""What differs between classes, attributes and boxes: what is said of an image, counted, and can be trained on."""

from collections.abc import Iterable

from pocketvision.data.layouts.listing import Found, Listing
from pocketvision.errors import DataError
from pocketvision.values import NO_LABEL, Dataset, Example

Counts = dict[str, dict[str, int]]


def must_be_classes(listing: Listing) -> None:
    """Raise a `DataError` that says what the data is, unless every image has one class."""
    what = {
        "attributes": f"0/1 attributes ({len(listing.attributes)} an image)",
        "boxes": f"boxes ({len(listing.labels)} classes)",
    }.get(listing.kind)
    if what:
        raise DataError(
            f"'{listing.root}' has {what}; nets here are trained on one class for each image: give a folder of class "
            "folders, or a table of filename,label. `pocketvision check` reads this data too."
        )


def says(found: Found) -> tuple[object, ...]:
    """Return all that is said of an image, to compare copies by."""
    return found.label, found.attributes, found.boxes


def told(found: Found) -> str:
    """Return what is said of an image, in a few words."""
    if found.label:
        return f"'{found.label}'"
    return f"with {len(found.boxes)} boxes" if not found.attributes else "with other attributes"


def label_index(found: Found, labels: dict[str, int]) -> int:
    """Return the number of an image's class; `NO_LABEL` where it has attributes or boxes."""
    return labels[found.label] if found.label else NO_LABEL


def counts_of(dataset: Dataset) -> Counts:
    """Count per class and split the images; per attribute those that have it; per class of boxes the boxes."""
    names = dataset.attributes if dataset.kind == "attributes" else dataset.labels
    counts = {name: {"train": 0, "val": 0, "test": 0} for name in names}
    for example in dataset.examples:
        for index in _indices(example):
            counts[names[index]][example.split] += 1
    return counts


def line_of(dataset: Dataset, example: Example) -> str:
    """Return what the digest of the data holds of one image."""
    if dataset.kind == "classes":
        said = dataset.labels[example.label]
    elif dataset.kind == "attributes":
        said = ",".join("" if value is None else str(value) for value in example.attributes)
    else:
        boxes = ((dataset.labels[b.label], b.x1, b.y1, b.x2, b.y2, b.difficult, b.crowd) for b in example.boxes)
        said = repr(sorted(boxes))
    return f"{said}\t{example.sha256}"


def _indices(example: Example) -> Iterable[int]:
    if example.label != NO_LABEL:
        return (example.label,)
    if example.attributes:
        return (index for index, value in enumerate(example.attributes) if value)
    return (box.label for box in example.boxes)
