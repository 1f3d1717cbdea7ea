"""Packed copies beside the files of a folder, for servers that send them to browsers that take them."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pocketvision.files import write_bytes
from pocketvision.packing import CODINGS, copies_of

_SMALL = 1000
"""Bytes below which a file fits into the first packet anyway."""
_WORTH = 0.95
"""Of a file's bytes: a copy that keeps more is not worth its place."""


def write_copies(folder: Path, names: Iterable[str]) -> None:
    """Write copies of the files that packing makes smaller: `.gz`, and `.br` where brotli is installed."""
    files = [folder / name for name in names]
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(_write, (file for file in files if file.stat().st_size >= _SMALL)):
            pass


def _write(file: Path) -> None:
    content = file.read_bytes()
    for suffix, packed in copies_of(content).items():
        if len(packed) <= _WORTH * len(content):
            write_bytes(file.with_name(file.name + suffix), packed)


def accepted(header: str) -> tuple[str, ...]:
    """Return the codings that a request's Accept-Encoding allows, the smaller first."""
    allowed = {}
    for item in header.lower().replace(" ", "").split(","):
        name, _, weight = item.partition(";q=")
        allowed[name] = weight.strip("0.") != "" or not weight
    return tuple(name for name in CODINGS if allowed.get(name, allowed.get("*", False)))
