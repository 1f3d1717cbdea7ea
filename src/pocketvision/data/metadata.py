"""What decoding once told of an image's content, kept on disk, so that an image that was found whole stays so.

Each run that met new images leaves one small JSON file. Only images that could be decoded are in it: a damaged one
is looked at again each time.
"""

import base64
import json
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketvision import cache
from pocketvision.data.perceptual_hash import BYTES
from pocketvision.data.shards import decoders_key
from pocketvision.files import write_text

LIMIT_BYTES = 100_000_000
"""Of all such files together, about 180,000 images; the oldest go first."""
_MANY = 16
"""Files, above which they are made one."""


@dataclass(frozen=True)
class ImageMetadata:
    """What is known of an image's content beside its pixels."""

    format: str
    animated: bool
    width: int
    height: int
    """Upright, in pixels."""
    mode: str = "RGB"
    """Pillow's name of how the file holds colors."""
    orientation: int = 1
    """As EXIF numbers it: 1 where the image is stored upright."""
    transparent: bool = False
    grey: bool = False
    signature: bytes = b""
    """What near duplicates are found by; empty where the image is smaller than a signature."""

    @property
    def turned(self) -> bool:
        """Whether its orientation differs from how it is stored."""
        return self.orientation != 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height


_NAMES = "[0-9a-f]" * 16 + ".json"


class MetadataCache:
    """ImageMetadata by content hash; empty where nothing can be read."""

    def __init__(self) -> None:
        self._folder = cache.root() / "metadata" / decoders_key()
        self._found = tuple(sorted(self._folder.glob(_NAMES), key=_changed))
        self._metadata = {content: metadata for path in self._found for content, metadata in _read(path)}
        self._new: dict[str, ImageMetadata] = {}

    def __len__(self) -> int:
        return len(self._metadata)

    def get(self, content: str) -> ImageMetadata | None:
        """Return what is known of a content."""
        return self._metadata.get(content)

    def learn(self, content: str, metadata: ImageMetadata) -> None:
        """Take what was found out; from any thread."""
        self._new[content] = metadata

    def close(self) -> None:
        """Write what is new; where that cannot be, it is found out again next time."""
        if not self._new:
            return
        merged = self._metadata | self._new if len(self._found) >= _MANY else self._new
        with suppress(OSError):
            rows = {content: _row(metadata) for content, metadata in merged.items()}
            write_text(self._folder / f"{secrets.token_hex(8)}.json", json.dumps(rows))
            if merged is not self._new:
                _remove(self._found)
            cache.make_room(f"metadata/*/{_NAMES}", LIMIT_BYTES)


def _read(path: Path) -> Iterator[tuple[str, ImageMetadata]]:
    try:
        for content, row in json.loads(path.read_text(encoding="utf-8")).items():
            yield content, _metadata(*row)
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return  # damaged, or written before there were as much metadata


def _row(metadata: ImageMetadata) -> list[Any]:
    signature = base64.b64encode(metadata.signature).decode()
    size, colors = (
        (metadata.width, metadata.height),
        (metadata.mode, metadata.orientation, metadata.transparent, metadata.grey),
    )
    return [metadata.format, metadata.animated, *size, *colors, signature]


def _metadata(*row: Any) -> ImageMetadata:
    kind, animated, width, height, mode, orientation, transparent, grey, signature = row
    if isinstance(orientation, bool):  # as it was kept before the number was
        raise ValueError("no orientation")
    colors = (str(mode), int(orientation), bool(transparent), bool(grey))
    content = base64.b64decode(signature, validate=True)
    if len(content) not in (0, BYTES):
        raise ValueError("no signature")
    return ImageMetadata(str(kind), bool(animated), int(width), int(height), *colors, content)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _remove(paths: tuple[Path, ...]) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()
