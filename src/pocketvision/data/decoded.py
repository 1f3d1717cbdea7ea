"""Decoded pictures kept in memory between checking and preparing, so that a small set is decoded once."""

import threading

import numpy as np
from numpy.typing import NDArray

from pocketvision.values import Example

CACHE_BYTES = 1_000_000_000


class DecodedCache:
    """Arrays by content, until they reach `limit_bytes` together; what comes later is not kept. Thread-safe."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.bytes_held = 0
        self._arrays: dict[str, NDArray[np.uint8]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._arrays)

    def put(self, sha256: str, pixels: NDArray[np.uint8]) -> None:
        """Keep uint8 RGB [height, width, 3] under its file's content hash, if there is room."""
        with self._lock:
            if sha256 not in self._arrays and self.bytes_held + pixels.nbytes <= self.limit_bytes:
                self._arrays[sha256] = pixels
                self.bytes_held += pixels.nbytes

    def get(self, example: Example) -> NDArray[np.uint8] | None:
        """Return the example's pixels, not to be written to, or None."""
        return self._arrays.get(example.sha256)
