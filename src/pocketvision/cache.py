"""What can be had again: one root, files and folders that are whole or absent, and room for what was used last."""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pocketvision.files import make_folder, user_path

SPARE_BYTES = 2_000_000_000
"""Left free on the disk, for what matters more than a cache."""
_DAY_S = 86_400


def root() -> Path:
    """Return where the cache lies: the environment's POCKETVISION_CACHE, or ~/.cache/pocketvision.

    Without a home folder it is a place that cannot be written: who can do without goes on, others say so.
    """
    folder = user_path(os.environ.get("POCKETVISION_CACHE") or "~/.cache/pocketvision")
    return Path(os.devnull, "no home folder") if folder.parts[0] == "~" else folder


@contextmanager
def whole_file(path: Path, size_bytes: int = 0) -> Iterator[BinaryIO]:
    """Give a stream to write a file to, which gets its name when it is whole and on the disk.

    Raises OSError where it cannot be written, or would fill the disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if size_bytes and shutil.disk_usage(path.parent).free < SPARE_BYTES + size_bytes:
        raise OSError(errno.ENOSPC, f"less than {SPARE_BYTES / 1e9:g} GB would stay free on the disk")
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, complete: Callable[[Path], bool]) -> Iterator[Path]:
    """Give a folder to fill, which gets its name at the end; files in it need no flushing of their own.

    What lies at `path` and is not complete is damaged, and goes. Where another process was faster, its folder stays.
    """
    make_folder(path.parent)
    draft = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        new = draft / "new"
        new.mkdir()
        yield new
        if path.exists() and not complete(path):
            path.rename(draft / "damaged")
        if not path.exists():
            try:
                new.rename(path)
            except OSError:
                if not complete(path):
                    raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def mark_used(path: Path) -> None:
    """Let a file count as used now."""
    with suppress(OSError):
        os.utime(path)


def make_room(pattern: str, limit_bytes: int, *, keep: Path | None = None) -> None:
    """Delete the files used longest ago until all together keep a limit, and drafts that a kill left a day ago.

    `pattern` is below the root, such as `images/*/*.npy`, and so narrow that no file of the user's fits it. `keep`
    stays. What another process has mapped can be read until it ends.
    """
    found = sorted(_files(pattern), key=lambda item: item[1])
    total = sum(size for _, _, size in found)
    for path, _, size in found:
        if total <= limit_bytes:
            break
        if path != keep:
            with suppress(OSError):  # another process was faster, or still reads it where that forbids deleting
                path.unlink()
                total -= size
    folders, _, _ = pattern.rpartition("/")
    for path, used, _ in _files(f"{folders}/.*.*.part"):
        if used < time.time() - _DAY_S:
            with suppress(OSError):
                path.unlink()


def _files(pattern: str) -> Iterator[tuple[Path, float, int]]:
    for path in root().glob(pattern):
        with suppress(OSError):
            state = path.stat()
            yield path, state.st_mtime, state.st_size
