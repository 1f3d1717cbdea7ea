"""Images to arrays: what training, calibration and verification iterate over."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.decoded import DecodedCache
from pocketvision.data.parallel import in_order
from pocketvision.data.shards import Mapped, Shelf, gathered, make_room
from pocketvision.errors import ImageError
from pocketvision.images.decode import content_of, decode, quiet
from pocketvision.images.prepare import prepare
from pocketvision.progress import Progress, Silent, track
from pocketvision.values import Dataset, Example, ImageSpec

IN_MEMORY_BYTES = 1_000_000_000
"""Prepared images above this stay on disk while they are read."""

Row = NDArray[np.uint8]


class Prepared(Protocol):
    """Prepared images [n, size, size, 3], in memory or on disk; a slice or an array of places gives an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return [n, size, size, 3]."""

    def __len__(self) -> int: ...

    def __getitem__(self, places: slice | NDArray[np.int64], /) -> Row: ...


def prepared(
    dataset: Dataset,
    examples: Sequence[Example],
    spec: ImageSpec,
    *,
    decoded: DecodedCache | None = None,
    keep: bool = True,
    progress: Progress = Silent(),
) -> NDArray[np.uint8]:
    """Return the examples' images as uint8 [n, resolution, resolution, 3], in the order given, in memory.

    Images that `decoded` or the cache on disk holds are not read again; with `keep`, new ones go into the cache. An
    `ImageError` names a file that can no longer be read.
    """
    (shelf,) = _filled(dataset, examples, (spec,), decoded=decoded, keep=keep, progress=progress)
    return gathered(shelf, [example.sha256 for example in examples])


def prepared_each(
    dataset: Dataset,
    examples: Sequence[Example],
    specs: Sequence[ImageSpec],
    *,
    decoded: DecodedCache | None = None,
    progress: Progress = Silent(),
) -> tuple[Prepared, ...]:
    """Return the examples' images prepared in each way, each file decoded at most once for all.

    What is larger than `IN_MEMORY_BYTES` is not loaded; its rows are read from the cache as they are asked for.
    """
    contents = tuple(example.sha256 for example in examples)
    shelves = _filled(dataset, examples, specs, decoded=decoded, keep=True, progress=progress)
    return tuple(_on_disk_or_not(shelf, contents) for shelf in shelves)


def _on_disk_or_not(shelf: Shelf, contents: tuple[str, ...]) -> Prepared:
    large = len(contents) * int(np.prod(shelf.row_shape)) > IN_MEMORY_BYTES
    return Mapped(shelf, contents) if large else gathered(shelf, contents)


def _filled(
    dataset: Dataset,
    examples: Sequence[Example],
    specs: Sequence[ImageSpec],
    *,
    decoded: DecodedCache | None,
    keep: bool,
    progress: Progress,
) -> tuple[Shelf, ...]:
    """Return shelves that hold every example."""
    shelves = {spec: Shelf(spec) for spec in specs}
    unique = {example.sha256: example for example in examples}
    lacking = {content: [s for s in shelves.values() if not s.whole(content)] for content in unique}
    missing = [(unique[content], lacks) for content, lacks in lacking.items() if lacks]

    def one(item: tuple[Example, list[Shelf]]) -> tuple[bool, list[Row]]:
        example, lacks = item
        pixels, true = _pixels(dataset.path(example), example, decoded)
        return true, [prepare(pixels, shelf.spec) for shelf in lacks]

    try:
        with quiet():
            found = track(in_order(one, missing), progress, "Preparing images", len(missing)) if missing else ()
            for (example, lacks), (true, rows) in zip(missing, found, strict=True):
                for shelf, row in zip(lacks, rows, strict=True):
                    shelf.add(example.sha256, row, keep=keep and true)
    finally:
        for shelf in shelves.values():
            shelf.flush()
    for shelf in shelves.values():
        shelf.mark()
        if shelf.refused:
            progress.say(f"prepared images cannot be kept in {shelf.folder}: {shelf.refused}")
    if missing and keep:
        make_room()
    return tuple(shelves[spec] for spec in specs)


def _pixels(path: Path, example: Example, decoded: DecodedCache | None) -> tuple[Row, bool]:
    """Return an image, and whether its file is still what it was when it got its content hash."""
    pixels = decoded.get(example) if decoded else None
    if pixels is not None:
        return pixels, True
    try:
        content = content_of(path)
        return decode(content), hashlib.sha256(content).hexdigest() == example.sha256
    except ImageError as error:
        raise ImageError(f"'{example.file}' could be read before, but no longer: {error}.") from None
