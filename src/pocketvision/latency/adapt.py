"""A profile of a device from few figures: a profile that there is, with its kernels' times scaled kind by kind.

What a kernel's time depends on is taken over; how fast each kind is, and all of them together, is fitted. With figures
of few nets most kinds stay in their old proportion to one another, which the intervals tell.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import DataError
from pocketvision.latency.features import KernelFeatures, features
from pocketvision.latency.kernels import KINDS, Kernels
from pocketvision.latency.model import Model
from pocketvision.latency.profile import Profile, packed, unpacked
from pocketvision.values import ModelSpec

FEWEST = 5
_TRUST = 0.05
"""Relative error of a figure, and of the model beside it."""
_APART = 0.5
"""How far kinds go apart from one processor to another: a standard deviation, as a logarithm."""
_ROUNDS = 12

Array = NDArray[np.float64]


def adapted(
    base: Profile, nets: Sequence[tuple[ModelSpec, Kernels]], measured_ms: Sequence[float], *, machine: str
) -> Profile:
    """Return a profile of the machine that took these times; raises DataError for fewer than five.

    Its errors are those of nets that were left out in turn, widened by how few they are.
    """
    if len(nets) < FEWEST:
        raise DataError(
            f"{len(nets)} nets were measured, and a profile of a device needs {FEWEST}; measure more of them"
        )
    found, measured = features([(net, [spec.resolution]) for spec, net in nets]), np.asarray(measured_ms, np.float64)
    models = [unpacked(texts) for texts in base.models]
    times = np.mean([_by_kind(model, found, len(nets)) for model in models], axis=0) * base.scale
    errors = np.abs([_left_out(times, measured, place) for place in range(len(measured))])
    scale, offsets = _fit(times, measured)
    wide = 1 + 2 / np.sqrt(len(measured))  # a quantile of few values is itself uncertain
    return replace(
        base,
        machine=machine,
        nets=len(nets),
        models=tuple(
            packed(replace(model, prices=model.prices + offsets[:, None].astype(np.float32))) for model in models
        ),
        scale=base.scale * scale,
        spread=0.0,
        errors=tuple(round(float(error), 4) for error in np.sort(np.maximum(errors * wide, _TRUST))),
        range_ms=(float(measured.min() / base.scale / scale), float(measured.max() / base.scale / scale)),
        anchors=(),
        note=f"fitted to {len(nets)} nets, as a profile of {base.machine} with its kinds of kernels scaled",
    )


def _by_kind(model: Model, found: KernelFeatures, nets: int) -> Array:
    """Return the milliseconds of each kind of kernel in each net [nets, KINDS]."""
    places = found.owners * len(KINDS) + found.kinds
    times = model.predict(found._replace(owners=places), nets * len(KINDS))
    return times.reshape(nets, len(KINDS))


def _fit(times: Array, measured: Array) -> tuple[float, Array]:
    """Return one factor for all and a logarithm for each kind: the most probable ones, by Gauss and Newton."""
    scale = float(np.exp(np.median(np.log(measured / times.sum(axis=1)))))
    offsets = np.zeros(len(KINDS))
    for _ in range(_ROUNDS):
        parts = times * np.exp(offsets) * scale
        whole = parts.sum(axis=1)
        shares = parts / whole[:, None] / _TRUST
        missing = np.log(measured / whole) / _TRUST
        matrix = shares.T @ shares + np.eye(len(KINDS)) / _APART**2
        offsets = offsets + np.linalg.solve(matrix, shares.T @ missing - offsets / _APART**2)
    return scale, offsets


def _left_out(times: Array, measured: Array, place: int) -> float:
    kept = np.arange(len(measured)) != place
    scale, offsets = _fit(times[kept], measured[kept])
    return float(np.log((times[place] * np.exp(offsets)).sum() * scale / measured[place]))
