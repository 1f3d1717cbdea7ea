"""The latency of every setting that is considered, predicted from profiles of the runtime at both precisions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.budget.choose import REACH, Considered, PredictedTimes
from pocketvision.budget.limits import LIMITS
from pocketvision.budget.space import PRECISIONS, Space, cut
from pocketvision.cost.graphs import traced, without_shapes
from pocketvision.fit.profiles import default_profile
from pocketvision.graph.order import best_order
from pocketvision.latency.profile import Profile, read_profile
from pocketvision.progress import Progress, track
from pocketvision.values import Budget, Precision


def predicted_times(found: Considered, *, progress: Progress) -> PredictedTimes | None:
    """Predict the time of every row that is within reach of the other limits, on the budget's device or this machine.

    None where no latency is limited. Rows far beyond another limit are left out with an infinite time.
    """
    if "max_latency" not in found.budget.limits:
        return None
    profiles = _profiles(found.budget, progress)
    wider = {name: allowed * (REACH if LIMITS[name].at_most else 1) for name, allowed in found.budget.limits.items()}
    space, kept = found.space, replace(found, budget=replace(found.budget, limits=wider)).keeping()
    times = np.full((3, len(space)), np.inf)
    places = sorted({int(place) for place in space.trunk[kept]})
    for place in track(places, progress, "predicting latency", len(places)):
        mine = kept & (space.trunk == place)
        for precision, profile in profiles.items():
            rows = np.flatnonzero(mine & (space.precision == PRECISIONS.index(precision)))
            times[:, rows] = _times(space, rows, profile)
    return PredictedTimes(*times)


def _profiles(budget: Budget, progress: Progress) -> dict[Precision, Profile]:
    if budget.profile is not None:
        return dict.fromkeys(PRECISIONS, read_profile(Path(budget.profile)))
    return {precision: default_profile(precision, progress=progress) for precision in PRECISIONS}


def _times(space: Space, rows: NDArray[np.int64], profile: Profile) -> NDArray[np.float64]:
    """Return [3, rows]: middle, low and high."""
    if not len(rows):
        return np.zeros((3, 0))
    trunk = space.trunks[int(space.trunk[rows[0]])]
    graph = best_order(traced(without_shapes(trunk.spec)))
    nets, order = [], []
    for depth in sorted({int(depth) for depth in space.depth[rows]}):
        own = rows[space.depth[rows] == depth]
        nets.append((profile.kernels(cut(graph, trunk, depth)), space.resolution[own]))
        order.append(own)
    found = profile.predict_at(nets)
    back = np.argsort(np.concatenate(order))
    return np.stack([found.median_ms, found.low_ms, found.high_ms])[:, back]
