"""What lies on the disk: folders and files in natural order, what is litter, and what claims to be an image."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pocketvision.data.layouts.listing import natural_key
from pocketvision.errors import DataError
from pocketvision.files import has_record, own_files, printable
from pocketvision.images.decode import looks_like_image
from pocketvision.runs import RunFolder

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif")
)
"""Names that promise an image. Not every computer can decode HEIC and AVIF; where it cannot, that is told."""

LITTER = frozenset(
    ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin", "lost+found")
)
"""What operating systems leave behind; these and hidden files are passed over in silence."""


def walk(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Yield every file below a folder, following links but never in a circle."""
    real = os.path.realpath(folder)
    if real in above:  # a link back to a folder it lies in
        return
    for name in files(folder):
        yield folder / name
    for name in folders(folder):
        yield from walk(folder / name, above | {real})


def folders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder."""
    return [entry.name for entry in _entries(folder) if entry.is_dir()]


def files(folder: Path) -> list[str]:
    """Return the names of all else in a folder."""
    return [entry.name for entry in _entries(folder) if not entry.is_dir()]


def is_image(path: Path) -> bool:
    """Tell whether a file claims to be an image: by its name, or else by its first bytes."""
    with suppress(OSError):
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe or a device would wait for ever
            return False
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        with path.open("rb") as stream:
            return looks_like_image(stream.read(12))
    except OSError:
        return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            kept = [entry for entry in entries if not _is_litter(entry.name) and not _is_own(entry)]
    except OSError as error:
        raise DataError(f"the folder '{printable(str(folder))}' cannot be read: {error.strerror}.") from None
    return sorted(kept, key=lambda entry: natural_key(entry.name))


def _is_own(entry: os.DirEntry[str]) -> bool:
    """Tell whether a folder is one of runs, or of what else the program writes, and holds no image of the user's."""
    if not entry.is_dir(follow_symlinks=False):
        return False
    folder = Path(entry)
    if not has_record(folder):
        with suppress(OSError), os.scandir(folder) as entries:
            inner = (each for each in entries if not _is_litter(each.name))
            first = next(inner, None)
            return first is not None and _is_own(first) and all(map(_is_own, inner))
        return False
    own = own_files(folder)
    return RunFolder(folder).settings.path in own or not any(
        is_image(path) for path in folder.rglob("*") if path not in own
    )


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in LITTER
