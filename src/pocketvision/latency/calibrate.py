"""Makes a profile: nets in turns on the clock, the models, and their errors on nets that they were not fitted to."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import DataError
from pocketvision.graph.graph import Graph
from pocketvision.latency.features import KernelFeatures, chosen, features
from pocketvision.latency.kernels import Kernels
from pocketvision.latency.measure import QUIET, Call, Timed, machine, visit
from pocketvision.latency.model import Model, fit
from pocketvision.latency.profile import FORMAT, VERSION, Anchor, Profile, kinds_of, packed
from pocketvision.progress import Progress, Silent
from pocketvision.values import ModelSpec

Open = Callable[[Graph], Call]
"""Makes a call of a float graph with weights: written, quantized where that is wanted, and opened."""
FOLDS = 4
FEWEST = 40
"""Nets that a profile can be fitted to."""
_VISIT_MS = 40
_LEAST_ROUNDS = 4
_ENOUGH_CLEAN = 10
"""Clean calls of a net; those with fewer are visited again."""
_ANCHORS = 8
_QUANTILES = 101
"""Of the errors, that a profile holds."""


class Labels(NamedTuple):
    """What the clock said of some nets."""

    median_ms: NDArray[np.float64]
    """25th percentile of the clean calls."""
    clean_share: float
    canary_us: float


class RuntimeSetting(NamedTuple):
    """What a profile is of."""

    runtime: str
    runtime_name: str
    precision: str
    threads: int


def rounds_in(seconds: float, nets: int) -> int:
    """Return how often each of so many nets can be visited in so many seconds, at least four times."""
    return max(_LEAST_ROUNDS, int(seconds / (nets * _VISIT_MS * 1.2e-3)))


def time_nets(
    calls: Sequence[Call], *, rounds: int, seed: int = 0, progress: Progress | None = None
) -> list[list[Timed]]:
    """Visit every net once a round, in random order, and those that were disturbed again; return each one's calls."""
    rng = np.random.default_rng(seed)
    timed: list[list[Timed]] = [[] for _ in calls]
    places: Sequence[int] = range(len(calls))
    with (progress or Silent()).bar("time nets", rounds * len(calls)) as bar:
        for turn in range(rounds + rounds // 3):
            if turn >= rounds:
                usual = _usual(timed)
                places = [place for place in places if len(_clean(timed[place], usual)) < _ENOUGH_CLEAN]
            for place in rng.permutation(places):
                timed[place] += visit(calls[place], _VISIT_MS / 1000)
                bar.advance(turn < rounds)
    return timed


def labels(timed: Sequence[Sequence[Timed]]) -> Labels:
    """Return each net's 25th percentile of its clean calls."""
    usual = _usual(timed)
    clean = [_clean(found, usual) for found in timed]
    # A large net clears the cache, which slows the canary behind it: then all its calls count.
    kept = [
        quiet if len(quiet) >= min(_ENOUGH_CLEAN, len(found)) else [call.seconds for call in found]
        for quiet, found in zip(clean, timed, strict=True)
    ]
    medians = np.array([np.percentile(times, 25) * 1000 for times in kept])
    return Labels(medians, sum(map(len, clean)) / sum(map(len, timed)), usual * 1e6)


def _usual(timed: Sequence[Sequence[Timed]]) -> float:
    return float(np.percentile([call.canary for found in timed for call in found], 10))


def _clean(found: Sequence[Timed], usual: float) -> list[float]:
    return [call.seconds for call in found if call.canary <= usual * QUIET]


def make_profile(
    nets: Sequence[tuple[ModelSpec, Kernels]], labels: Labels, setting: RuntimeSetting, *, reference_ms: float
) -> Profile:
    """Fit a profile to measured nets; raises DataError for too few."""
    if len(nets) < FEWEST:
        raise DataError(f"{len(nets)} nets were measured, and a profile needs {FEWEST}; give more time with --time")
    found = features([(net, [spec.resolution]) for spec, net in nets])
    models, errors = _cross_fitted(found, labels.median_ms)
    return Profile(
        FORMAT,
        VERSION,
        machine=machine(),
        runtime=setting.runtime,
        runtime_name=setting.runtime_name,
        precision=setting.precision,
        threads=setting.threads,
        created=datetime.now(UTC).date().isoformat(),
        nets=len(nets),
        clean_share=round(labels.clean_share, 3),
        canary_us=round(labels.canary_us, 2),
        reference_ms=round(reference_ms, 5),
        kinds=kinds_of(net for _, net in nets),
        largest_weights=max(net.weights for _, net in nets),
        range_ms=(float(labels.median_ms.min()), float(labels.median_ms.max())),
        errors=tuple(round(float(error), 4) for error in np.quantile(errors, np.linspace(0, 1, _QUANTILES))),
        models=tuple(packed(model) for model in models),
        anchors=_anchors([spec for spec, _ in nets], labels.median_ms, errors),
    )


def _cross_fitted(found: KernelFeatures, measured: NDArray[np.float64]) -> tuple[list[Model], NDArray[np.float64]]:
    """Fit a model to all nets but a part of them, for each part, and return each part's errors with them.

    The mean of the models errs less than each alone, so that these errors promise a little too little.
    """
    part = np.random.default_rng(0).permutation(len(measured)) % FOLDS
    models, errors = [], np.empty(len(measured))
    for fold in range(FOLDS):
        inside, outside = np.flatnonzero(part != fold), np.flatnonzero(part == fold)
        model = fit(chosen(found, inside), measured[inside], seed=fold)
        predicted = model.predict(chosen(found, outside), len(outside))
        errors[outside] = np.abs(np.log(predicted / measured[outside]))
        models.append(model)
    return models, errors


def _anchors(
    specs: Sequence[ModelSpec], measured: NDArray[np.float64], errors: NDArray[np.float64]
) -> tuple[Anchor, ...]:
    """Take well predicted nets, spread evenly from fast to slow."""
    order = np.argsort(measured)
    groups = np.array_split(order[len(order) // 10 : -len(order) // 10], _ANCHORS)
    best = [int(group[np.argmin(errors[group])]) for group in groups]
    return tuple(Anchor(specs[place], round(float(measured[place]), 5)) for place in best)
