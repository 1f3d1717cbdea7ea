"""Paths that a manifest names: below its folder, or refused."""

import os
import re
from pathlib import Path

from pocketvision.data.layouts.tree import IMAGE_SUFFIXES, is_image
from pocketvision.errors import DataError
from pocketvision.values import Problem

_UNSAFE = re.compile(r"(^|/)\.\.(/|$)|^/|^[A-Za-z]:|^[A-Za-z][\w+.-]*:/|[\x00-\x1f\x7f\ud800-\udfff]")


def inside(name: str, where: str) -> str:
    """Return a path below the manifest's folder, with single forward slashes.

    A `DataError` names `where` for absolute paths, URLs and paths that lead out of the folder.
    """
    path = name.strip().replace("\\", "/")
    if _UNSAFE.search(path):
        raise DataError(
            f"{where} names {name[:200]!r}; only paths below the manifest's folder are allowed, "
            "no URL, no absolute path, and no '..'."
        )
    clean = "/".join(part for part in path.split("/") if part not in ("", "."))
    if not clean:
        raise DataError(f"{where} names no file.")
    return clean


def absent(root: Path, file: str, where: str) -> Problem | None:
    """Return the problem of a file that does not exist or is no image; None for one that claims to be an image."""
    if file[file.rfind(".") :].lower() in IMAGE_SUFFIXES and os.path.isfile(f"{root}/{file}"):
        return None
    path = root / file
    if not path.exists():
        return Problem(file, "missing", f"there is no such file; named in {where}", left_out=True)
    if not is_image(path):
        return Problem(file, "not an image", f"no image by its name or its first bytes; {where}", left_out=True)
    return None
