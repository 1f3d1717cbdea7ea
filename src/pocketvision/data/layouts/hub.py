"""`hf://name[@revision][:config]`: a data set of the Hugging Face hub, put once into the cache as files and a manifest.

From then on nothing is fetched: remove the folder to fetch it anew.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketvision.cache import root, whole_folder
from pocketvision.data.layouts.listing import split_named
from pocketvision.data.layouts.manifest import LABEL_COLUMNS
from pocketvision.errors import DataError, MissingExtra, UsageError
from pocketvision.files import csv_text, write_text
from pocketvision.words import quoted

PREFIX = "hf://"
MANIFEST = "metadata.csv"
_NAME = re.compile(r"hf://([\w.-]+(?:/[\w.-]+)?)(?:@([\w./-]+))?(?::([\w.+-]+))?")

MAGIC = (
    (b"\xff\xd8", ".jpg"),
    (b"\x89PNG", ".png"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"II*", ".tif"),
    (b"MM", ".tif"),
)


@dataclass(frozen=True)
class Image:
    """One row of the hub's table; `label` is a class's name."""

    content: bytes
    label: str
    split: str


def fetch(name: str) -> Path:
    """Return the folder that holds the data set's images and `metadata.csv`, fetched on first use.

    Raises MissingExtra without the package `datasets`, UsageError for a name that cannot be read, and a `DataError`
    where the hub does not answer or the data has no images with one label each.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UsageError(f"'{name}' is no data set of the hub; write hf://name, hf://owner/name@revision:config.")
    folder = _place(match[1], name)
    if not _complete(folder):
        with whole_folder(folder, _complete) as new:
            _write(new, _images(name, *match.groups()))
    return folder


def _complete(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def _place(name: str, address: str) -> Path:
    return root() / "hub" / f"{name.replace('/', '--')}-{hashlib.sha256(address.encode()).hexdigest()[:8]}"


def _write(folder: Path, images: Iterator[Image]) -> None:
    rows = []
    for number, image in enumerate(images):
        # A thousand a folder: file systems and people are slow with a million in one.
        file = f"{image.split or 'all'}/{number // 1000:04}/{number:07}{_suffix(image.content)}"
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not by `files`, which would flush each to the disk: the whole folder gets its name at the end.
        path.write_bytes(image.content)
        rows.append((file, image.label, image.split))
    write_text(folder / MANIFEST, csv_text(("file_name", "label", "split"), rows))


def _suffix(content: bytes) -> str:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for magic, suffix in MAGIC if content.startswith(magic)), ".unknown")


# ---------------------------------------------------------------- the hub's tables


def _images(address: str, name: str, revision: str | None, config: str | None) -> Iterator[Image]:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("datasets", "hub") from error
    try:
        loaded = datasets.load_dataset(name, config, revision=revision)
    except Exception as error:  # whatever the hub, the network or the data's builder raise
        raise DataError(f"{address} cannot be loaded: {error}") from error
    tables = {split: loaded[split] for split in loaded if split_named(split)}
    # Where no split is one of ours, the data is taken as one and split by content.
    for split, table in (tables or dict(loaded)).items():
        yield from _rows(address, table, split_named(split) or "", datasets.Image(decode=False))


def _rows(address: str, table: Any, split: str, undecoded: Any) -> Iterator[Image]:
    image = _column(address, table, "Image", ())
    label = _column(address, table, "ClassLabel", LABEL_COLUMNS)
    names = getattr(table.features[label], "names", None)
    for row in table.cast_column(image, undecoded):
        value = row[label]
        if value is None or (names and value < 0):  # the hub's way to leave test images without a label
            continue
        content = row[image]["bytes"] or Path(row[image]["path"]).read_bytes()
        yield Image(content, names[value] if names else str(value), split)


def _column(address: str, table: Any, kind: str, known: tuple[str, ...]) -> str:
    """Return the one column of a kind, or else the one with a known name."""
    features = table.features
    hits = [name for name in features if type(features[name]).__name__ == kind]
    if len(hits) != 1:
        hits = [name for name in hits or features if name in known]
    if len(hits) != 1:
        what = "image" if kind == "Image" else "label"
        raise DataError(f"{address} has {len(hits)} columns for the {what}; it has {quoted(features, 20)}.")
    return str(hits[0])
