"""Time of a net as the sum of its kernels' times: plain sums over amounts, corrected by a small network.

Only whole nets are timed. A kernel's time is exp(network(kernel)) times a sum of what it costs to start it, to
multiply, to move values and to read weights, with prices for each kind. Prices and network are fitted together to the
logarithms of the nets' times, with Huber's loss, by Adam (Kingma and Ba 2015) on all nets at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.latency.features import KernelFeatures
from pocketvision.latency.kernels import FUSED, KINDS, Floats, Ints

_HIDDEN = 32
_RATE = 0.02
_WARM_UP = 20
_DECAY = 1e-3
_KINK = 0.05
"""Up to this relative error the loss is a square, beyond it a line: single nets were timed in noise."""
_FIRST_GUESS = 0.002, 0.02, 0.3, 0.2
"""Milliseconds of a start, a million multiply-adds, a million values, a million weights."""
_CHUNK = 1 << 15


@dataclass(frozen=True, eq=False)
class Model:
    """The prices, as logarithms [kinds, AMOUNTS], and a network of two hidden layers."""

    prices: Floats
    kinds: Floats
    """What a kind adds to the first layer, [KINDS, hidden]."""
    fused: Floats
    """What a fused activation adds, [FUSED, hidden]."""
    first: Floats
    first_bias: Floats
    second: Floats
    second_bias: Floats
    last: Floats

    def predict(self, found: KernelFeatures, nets: int) -> NDArray[np.float64]:
        """Return the milliseconds of each net."""
        times = [part.times for part in self._parts(found)]
        return np.bincount(found.owners, np.concatenate(times), nets).astype(np.float64)

    def _parts(self, found: KernelFeatures) -> "Iterator[_Pass]":
        """Run the kernels in parts that stay in the processor's cache."""
        for start in range(0, len(found.kinds), _CHUNK):
            yield _forward(self, KernelFeatures._make(column[start : start + _CHUNK] for column in found))


def fit(found: KernelFeatures, measured: NDArray[np.float64], *, steps: int = 600, seed: int = 0) -> Model:
    """Fit to the milliseconds of whole nets."""
    nets = len(measured)
    model = _scaled(_fresh(found.inputs.shape[1], np.random.default_rng(seed)), found, measured)
    means, squares = _zeros(model), _zeros(model)
    for step in range(steps):
        run = _forward(model, found)
        times = np.bincount(found.owners, run.times, nets)
        errors = np.clip(np.log(times / measured) / _KINK, -1, 1) / (nets * times)
        slopes = _backward(model, found, run, errors)
        rate = _RATE / 2 * (1 + np.cos(np.pi * step / steps)) * min(1.0, (step + 1) / _WARM_UP)
        model = _stepped(model, slopes, (means, squares), rate, step + 1)
    return model


@dataclass(frozen=True, eq=False)
class _Pass:
    parts: Floats
    """[kernels, AMOUNTS]"""
    first: Floats
    second: Floats
    times: Floats


def _fresh(columns: int, rng: np.random.Generator) -> Model:
    def drawn(inputs: int) -> Floats:
        return rng.standard_normal((inputs, _HIDDEN), np.float32) / np.float32(np.sqrt(inputs))

    zeros = np.zeros(_HIDDEN, np.float32)
    tables = 0.2 * drawn(len(KINDS)), 0.2 * drawn(len(FUSED))
    prices = np.tile(np.log(np.array(_FIRST_GUESS, np.float32)), (len(KINDS), 1))
    return Model(prices, *tables, drawn(columns), zeros, drawn(_HIDDEN), zeros, zeros)


def _scaled(model: Model, found: KernelFeatures, measured: NDArray[np.float64]) -> Model:
    """Bring all prices to the level of what was measured."""
    off = np.mean(np.log(measured) - np.log(model.predict(found, len(measured))))
    return replace(model, prices=model.prices + np.float32(off))


def _forward(model: Model, found: KernelFeatures) -> _Pass:
    parts = np.exp(model.prices)[found.kinds] * found.amounts
    tables = (model.kinds + model.first_bias)[found.kinds] + model.fused[found.fused]
    first = np.tanh(found.inputs @ model.first + tables)
    second = np.tanh(first @ model.second + model.second_bias)
    return _Pass(parts, first, second, found.counts * parts.sum(axis=1) * np.exp(second @ model.last))


def _backward(model: Model, found: KernelFeatures, run: _Pass, errors: NDArray[np.float64]) -> Model:
    """Return the slopes of the loss; `errors` are those by each net's time."""
    slopes = (errors[found.owners] * run.times).astype(np.float32)
    shares = run.parts * (slopes / run.parts.sum(axis=1))[:, None]
    second = slopes[:, None] * model.last * (1 - run.second**2)
    first = (second @ model.second.T) * (1 - run.first**2)
    found_slopes = (
        _sums(found.kinds, shares, len(KINDS)),
        *(_sums(found.kinds, first, len(KINDS)), _sums(found.fused, first, len(FUSED))),
        *(found.inputs.T @ first, first.sum(axis=0)),
        *(run.first.T @ second, second.sum(axis=0), run.second.T @ slopes),
    )
    return Model(*(slope.astype(np.float32) for slope in found_slopes))


def _sums(places: Ints, values: NDArray[Any], count: int) -> NDArray[np.float64]:
    """Sum rows by their place."""
    return np.stack([np.bincount(places, column, count) for column in values.T], axis=1)


def _zeros(model: Model) -> dict[str, Floats]:
    return {item.name: np.zeros_like(getattr(model, item.name)) for item in fields(model)}


def _stepped(
    model: Model, slopes: Model, moments: tuple[dict[str, Floats], dict[str, Floats]], rate: float, count: int
) -> Model:
    """Take one step of Adam; weights of the network also shrink (Loshchilov and Hutter 2019)."""
    means, squares = moments
    moved: dict[str, Floats] = {}
    for item in fields(model):
        name, slope, value = item.name, getattr(slopes, item.name), getattr(model, item.name)
        means[name] += 0.1 * (slope - means[name])
        squares[name] += 0.01 * (slope**2 - squares[name])
        step = means[name] / (1 - 0.9**count) / (np.sqrt(squares[name] / (1 - 0.99**count)) + 1e-8)
        if name in ("kinds", "fused", "first", "second", "last"):
            step = step + _DECAY / _RATE * value
        moved[name] = (value - np.float32(rate) * step).astype(np.float32)
    return Model(**moved)
