"""Decoded images kept in memory between checking and preparing, so that a small set is decoded once."""

import threading

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.metadata import ImageMetadata, MetadataCache
from pocketvision.values import Example

CACHE_BYTES = 1_000_000_000


class DecodedCache:
    """Arrays by content, until they reach `limit_bytes` together; what comes later is not kept. Thread-safe.

    With `metadata`, images that are known from an earlier run are not decoded to be checked.
    """

    def __init__(self, limit_bytes: int = CACHE_BYTES, metadata: MetadataCache | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.metadata = metadata
        self.bytes_held = 0
        self._arrays: dict[str, NDArray[np.uint8]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._arrays)

    def known(self, sha256: str) -> ImageMetadata | None:
        """Return what an earlier run found out about a content."""
        return None if self.metadata is None else self.metadata.get(sha256)

    def learn(self, sha256: str, metadata: ImageMetadata) -> None:
        """Remember metadata for later runs, where they are wanted."""
        if self.metadata is not None:
            self.metadata.learn(sha256, metadata)

    def close(self) -> None:
        """Write the metadata that is new."""
        if self.metadata is not None:
            self.metadata.close()

    def put(self, sha256: str, pixels: NDArray[np.uint8]) -> None:
        """Keep uint8 RGB [height, width, 3] under its file's content hash, if there is room."""
        with self._lock:
            if sha256 not in self._arrays and self.bytes_held + pixels.nbytes <= self.limit_bytes:
                self._arrays[sha256] = pixels
                self.bytes_held += pixels.nbytes

    def get(self, example: Example) -> NDArray[np.uint8] | None:
        """Return the example's pixels, not to be written to, or None."""
        return self._arrays.get(example.sha256)
