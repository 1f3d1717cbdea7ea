"""Decoded images kept in memory between checking and preparing, so that a small set is decoded once."""

import threading

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.facts import FactBook, Facts
from pocketvision.values import Example

CACHE_BYTES = 1_000_000_000


class DecodedCache:
    """Arrays by content, until they reach `limit_bytes` together; what comes later is not kept. Thread-safe.

    With `facts`, images that are known from an earlier run are not decoded to be checked.
    """

    def __init__(self, limit_bytes: int = CACHE_BYTES, facts: FactBook | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.facts = facts
        self.bytes_held = 0
        self._arrays: dict[str, NDArray[np.uint8]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._arrays)

    def known(self, sha256: str) -> Facts | None:
        """Return what an earlier run found out about a content."""
        return None if self.facts is None else self.facts.get(sha256)

    def learn(self, sha256: str, facts: Facts) -> None:
        """Remember facts for later runs, where they are wanted."""
        if self.facts is not None:
            self.facts.learn(sha256, facts)

    def close(self) -> None:
        """Write the facts that are new."""
        if self.facts is not None:
            self.facts.close()

    def put(self, sha256: str, pixels: NDArray[np.uint8]) -> None:
        """Keep uint8 RGB [height, width, 3] under its file's content hash, if there is room."""
        with self._lock:
            if sha256 not in self._arrays and self.bytes_held + pixels.nbytes <= self.limit_bytes:
                self._arrays[sha256] = pixels
                self.bytes_held += pixels.nbytes

    def get(self, example: Example) -> NDArray[np.uint8] | None:
        """Return the example's pixels, not to be written to, or None."""
        return self._arrays.get(example.sha256)
