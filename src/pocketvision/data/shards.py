"""Prepared images on disk, so that each is decoded once: shards of uint8 rows, mapped into memory when read.

A row is known by the hash of its file's content, a folder of shards by everything else that decides the pixels: size,
crop rule, and the versions of the decoders. A shard is an ordinary .npy file [rows, size, size, 3]; behind the array
stand the rows' content hashes and checksums. It gets its name when it is whole, and a file that does not add up counts
as absent; so a kill or a second process costs no more than an image decoded twice.
"""

import hashlib
import json
import secrets
import struct
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache as computed_once
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import features

from pocketvision import cache
from pocketvision.values import ImageSpec, to_json

Pixels = NDArray[np.uint8]

LIMIT_BYTES = 20_000_000_000
"""Of all shards together; those used longest ago go first. What is mapped stays readable until its reader ends."""
SHARD_BYTES = 64_000_000
_VERSION = 2
"""Of the way images are decoded and prepared here; a change of it makes every kept row absent."""
_END = struct.Struct("<QI8s")  # rows, checksum of the table of rows, mark
_MARK = b"pvshard1"
_ENTRY = struct.Struct("<32sI")  # content hash, checksum of the pixels
_HEX_LENGTH = 64


_NAMES = "[0-9a-f]" * 16 + ".npy"
"""What shards are called: a cache may lie where the user keeps arrays too."""


def images_folder() -> Path:
    """Return where shards lie."""
    return cache.root() / "images"


def key_of(spec: ImageSpec) -> str:
    """Name what decides the pixels of an image; the normalization does not."""
    said = [decoders_key(), to_json(replace(spec, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:24]


@computed_once
def decoders_key() -> str:
    """Name the decoders and their versions."""
    libraries = ("libjpeg_turbo", "jpg", "webp", "libtiff", "zlib")
    said = [_VERSION, PIL.__version__, *(str(features.version(name)) for name in libraries)]
    with suppress(PackageNotFoundError):
        said.append(version("pi-heif"))
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class ShardEntry:
    """Where a row lies."""

    shard: int
    row: int
    checksum: int


@dataclass(eq=False)
class Shelf:
    """The rows prepared one way: those on disk, and new ones, which `flush` writes. For one thread.

    What cannot be written, because the disk is full or the folder not ours, stays in memory; `refused` says why.
    """

    spec: ImageSpec
    folder: Path = field(init=False)
    refused: str = ""
    _entries: dict[str, ShardEntry] = field(default_factory=dict)
    _paths: list[Path] = field(default_factory=list)
    _rows: dict[int, Pixels] = field(default_factory=dict)
    _new: list[tuple[str, Pixels]] = field(default_factory=list)
    _loose: dict[str, Pixels] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = images_folder() / key_of(self.spec)
        for path in sorted(self.folder.glob("*.npy")):
            self._learn(path)

    @property
    def row_shape(self) -> tuple[int, int, int]:
        """Return [size, size, 3]."""
        return (self.spec.resolution, self.spec.resolution, 3)

    def whole(self, content: str) -> bool:
        """Tell whether a row is there and as it was written; a damaged one is forgotten."""
        entry = self._entries.get(content)
        if entry is None:
            return content in self._loose
        rows = self._open(entry.shard)
        if rows is not None and zlib.crc32(rows[entry.row].data) == entry.checksum:
            return True
        del self._entries[content]
        return False

    def row(self, content: str) -> Pixels:
        """Return a row that is there, not to be written to."""
        entry = self._entries.get(content)
        if entry is None:
            return self._loose[content]
        rows = self._open(entry.shard)
        assert rows is not None, "asked for before it was found whole"
        found: Pixels = rows[entry.row]
        return found

    def add(self, content: str, pixels: Pixels, *, keep: bool) -> None:
        """Take a new row; without `keep` it stays in memory."""
        pixels = np.ascontiguousarray(pixels)
        self._loose[content] = pixels
        if keep and len(content) == _HEX_LENGTH:
            self._new.append((content, pixels))
            if len(self._new) * pixels.nbytes >= SHARD_BYTES:
                self.flush()

    def flush(self) -> None:
        """Write the new rows as one shard and give their memory back."""
        new, self._new = self._new, []
        if not new:
            return
        try:
            path = write_shard(self.folder, new)
        except OSError as error:
            self.refused = error.strerror or str(error)
            return
        shard = self._learn(path)
        # Mapped at once: from now on it can be read even where another process makes room.
        if self._open(shard) is not None:
            for content, _ in new:
                del self._loose[content]

    def mark(self) -> None:
        """Mark the shards that rows were read from as used now."""
        for shard in self._rows:
            cache.mark_used(self._paths[shard])

    def _learn(self, path: Path) -> int:
        shard = len(self._paths)
        self._paths.append(path)
        for row, (content, checksum) in enumerate(_table(path)):
            self._entries.setdefault(content, ShardEntry(shard, row, checksum))
        return shard

    def _open(self, shard: int) -> Pixels | None:
        if shard not in self._rows:
            try:
                rows = np.load(self._paths[shard], mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError):
                return None
            if rows.dtype != np.uint8 or rows.shape[1:] != self.row_shape:
                return None
            # A plain view: slicing a memmap makes a new object of its class each time, which is slow.
            self._rows[shard] = rows.view(np.ndarray)
        return self._rows[shard]


class Mapped:
    """Images that stay on disk: rows are read when they are asked for, by a slice or an array of places."""

    def __init__(self, shelf: Shelf, contents: tuple[str, ...]) -> None:
        self._shelf, self._contents = shelf, contents

    def __len__(self) -> int:
        return len(self._contents)

    @property
    def shape(self) -> tuple[int, ...]:
        """Return [n, size, size, 3]."""
        return (len(self), *self._shelf.row_shape)

    def __getitem__(self, places: slice | NDArray[np.int64]) -> Pixels:
        chosen = range(len(self))[places] if isinstance(places, slice) else np.asarray(places).tolist()
        return gathered(self._shelf, [self._contents[place] for place in chosen])


def gathered(shelf: Shelf, contents: Iterable[str]) -> Pixels:
    """Copy rows that are there into memory: [n, size, size, 3]."""
    wanted = list(contents)
    found = np.empty((len(wanted), *shelf.row_shape), np.uint8)
    for place, content in enumerate(wanted):
        found[place] = shelf.row(content)
    return found


def write_shard(folder: Path, rows: list[tuple[str, Pixels]]) -> Path:
    """Write rows under a new name; the file is whole or absent. OSError where it cannot be, or fills the disk."""
    path = folder / f"{secrets.token_hex(8)}.npy"
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), *rows[0][1].shape)}
    table = b"".join(_ENTRY.pack(bytes.fromhex(content), zlib.crc32(pixels.data)) for content, pixels in rows)
    with cache.whole_file(path, len(rows) * rows[0][1].nbytes) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for _, pixels in rows:
            stream.write(pixels.data)
        stream.write(table + _END.pack(len(rows), zlib.crc32(table), _MARK))
    return path


def make_room(limit_bytes: int | None = None) -> None:
    """Delete the shards used longest ago until all together keep the limit."""
    cache.make_room(f"images/*/{_NAMES}", LIMIT_BYTES if limit_bytes is None else limit_bytes)


def _table(path: Path) -> tuple[tuple[str, int], ...]:
    try:
        return _read_table(path, path.stat().st_size)
    except OSError:
        return ()


@lru_cache(4096)
def _read_table(path: Path, size: int) -> tuple[tuple[str, int], ...]:
    """Return content hash and checksum of each row; nothing where the file is cut short or no shard."""
    with path.open("rb") as stream:
        if size < _END.size:
            return ()
        stream.seek(size - _END.size)
        rows, checksum, mark = _END.unpack(stream.read(_END.size))
        start = size - _END.size - rows * _ENTRY.size
        if mark != _MARK or start < 0:
            return ()
        stream.seek(start)
        table = stream.read(rows * _ENTRY.size)
    if zlib.crc32(table) != checksum:
        return ()
    return tuple((content.hex(), found) for content, found in _ENTRY.iter_unpack(table))
