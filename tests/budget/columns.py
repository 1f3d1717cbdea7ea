"""Counts of made-up settings, for tests that need no nets."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pocketvision.budget.space import COLUMNS


def columns(count: int, **known: ArrayLike) -> NDArray[np.int64]:
    """Return [count, columns] of ones, but for those that are named."""
    found = np.ones((count, len(COLUMNS)), np.int64)
    for name, values in known.items():
        found[:, COLUMNS.index(name)] = np.asarray(values, np.float64).astype(np.int64)
    return found
