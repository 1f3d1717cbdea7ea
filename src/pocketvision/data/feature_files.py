"""What frozen layers make of images, on disk: one .npy file, the images' contents and a checksum behind the array.

The file is an ordinary .npy file, mapped into memory when read. Behind the array stand a JSON record, its length in
eight bytes, and the SHA-256 of all before. A file that does not add up counts as absent.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision import cache
from pocketvision.files import make_folder

LIMIT_BYTES = 4_000_000_000
"""Of all features together; those used longest ago go first."""
_LENGTH, _DIGEST = 8, 32
_CHUNK = 1 << 22

Rows = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Stored:
    """The features, or feature maps, of a set of images."""

    contents: tuple[str, ...]
    """Content hashes of the images, sorted; row by row those of `rows`."""
    rows: Rows
    """[images, ...], mapped from the file where it lies in one; not to be written to."""
    image_ms: float
    """Median wall time of one image when they were computed."""


def feature_folder(key: str, kind: str = "features") -> Path:
    """Return where features of one net under one image rule lie: in the cache, under the digest of both."""
    return cache.root() / kind / key


def data_key(contents: Iterable[str]) -> str:
    """Name a set of images."""
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()[:24]


def read_features(path: Path) -> Stored | None:
    """Read a file and mark it as used; None where it is absent, cut short or changed."""
    try:
        with path.open("rb") as stream:
            record = _checked(stream, path.stat().st_size)
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
        stored = Stored(tuple(record["contents"]), rows, float(record["image_ms"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    if rows.dtype not in (np.float32, np.float16) or len(rows) != len(stored.contents):
        return None
    cache.mark_used(path)
    return stored


def _checked(stream: Any, size: int) -> dict[str, Any]:
    """Return the record behind the array; ValueError where the checksum differs."""
    digest, left = hashlib.sha256(), size - _DIGEST
    if left < _LENGTH:
        raise ValueError("cut short")
    while left:
        part = stream.read(min(_CHUNK, left))
        if not part:
            raise ValueError("cut short")
        digest.update(part)
        left -= len(part)
    if stream.read(_DIGEST) != digest.digest():
        raise ValueError("changed")
    stream.seek(size - _DIGEST - _LENGTH)
    length = int.from_bytes(stream.read(_LENGTH), "little")
    stream.seek(size - _DIGEST - _LENGTH - length)
    record: dict[str, Any] = json.loads(stream.read(length))
    return record


class FeatureWriter:
    """Writes rows in the order of the sorted contents; the file gets its name in `finish` and is whole or absent."""

    def __init__(self, path: Path, contents: tuple[str, ...]) -> None:
        make_folder(path.parent)
        self.path, self.contents = path, contents
        self._draft = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._stream = self._draft.open("wb")
        self._digest = hashlib.sha256()
        self._begun = False

    def add(self, rows: Rows) -> None:
        """Append rows [n, ...], of the type of the first ones."""
        if not self._begun:
            self._begun = True
            header = {
                "descr": rows.dtype.newbyteorder("<").str,
                "fortran_order": False,
                "shape": (len(self.contents), *rows.shape[1:]),
            }
            np.lib.format.write_array_header_1_0(_Tee(self), header)
        self.write(np.ascontiguousarray(rows, rows.dtype.newbyteorder("<")).tobytes())

    def write(self, content: bytes) -> None:
        """Write bytes and add them to the checksum."""
        self._stream.write(content)
        self._digest.update(content)

    def finish(self, image_ms: float) -> Stored:
        """Write the record and the checksum, give the file its name, and map it into memory."""
        record = json.dumps({"contents": self.contents, "image_ms": image_ms}).encode()
        self.write(record + len(record).to_bytes(_LENGTH, "little"))
        self._stream.write(self._digest.digest())
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self._draft.replace(self.path)
        rows = np.load(self.path, mmap_mode="r", allow_pickle=False)
        make_room(self.path)
        return Stored(self.contents, rows, image_ms)

    def discard(self) -> None:
        """Leave nothing behind, unless the file is finished."""
        self._stream.close()
        self._draft.unlink(missing_ok=True)


class _Tee:
    """What numpy writes a header to."""

    def __init__(self, writer: FeatureWriter) -> None:
        self.write = writer.write


_NAMES = "[0-9a-f]" * 24 + ".npy"
"""What `data_key` gives: a cache may lie where the user keeps arrays too."""


def make_room(newest: Path, limit_bytes: int = LIMIT_BYTES) -> None:
    """Delete the files of its kind used longest ago until all together keep the limit; never `newest`."""
    cache.make_room(f"{newest.parent.parent.name}/*/{_NAMES}", limit_bytes, keep=newest)
