"""What more of one dial would be within the budget, at the cost of the others: why it was cut, and not another."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pocketvision.budget.space import Space
from pocketvision.values import Candidate

DIALS = ("width", "depth", "resolution")


def dials_of(space: Space) -> NDArray[np.float64]:
    """Return width, depth and resolution of every row, a column each; a whole net's depth is infinite."""
    widths = np.array([trunk.spec.width for trunk in space.trunks])
    depths = [[math.inf if depth is None else float(depth) for depth in trunk.depths] for trunk in space.trunks]
    depth = [depths[trunk][place] for trunk, place in zip(space.trunk, space.depth, strict=True)]
    return np.stack([widths[space.trunk], np.array(depth), space.resolution.astype(float)], axis=1)


def turned_up(
    space: Space, kept: NDArray[np.int64], utility: NDArray[np.float64], chosen: Iterable[Candidate]
) -> dict[int, str]:
    """Return, for each chosen one and each dial, the best of the same net within the budget that has more of it.

    `kept` are the rows that keep the budget; the result gives a row its reason to be on record.
    """
    dials, names = dials_of(space), np.array([trunk.spec.name for trunk in space.trunks])
    found: dict[int, str] = {}
    for one in chosen:
        spec = one.spec
        alike = kept[names[space.trunk[kept]] == spec.name]
        here = (spec.width, math.inf if spec.depth is None else spec.depth, spec.resolution)
        for place, name in enumerate(DIALS):
            higher = alike[dials[alike, place] > here[place]]
            if len(higher):
                best = int(higher[np.argmax(utility[higher])])
                found.setdefault(best, f"the best within the budget with more {name} than {spec}")
    return found
