"""What a kernel's time depends on, as numbers of like size: logarithms of amounts, and how full blocks are."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from pocketvision.latency.kernels import Floats, Ints, Kernels

AMOUNTS = 4
"""What a kernel's plain time is a sum over: being started, multiply-adds, values moved, weights read."""
_MIDDLES = (1e5, 1e4, 1e4, 1e3, 50.0, 50.0, 10.0, 1e6, 1e5, 3.0, 2.0, 30.0)
"""Of each amount taken as a logarithm, in the order of `_amounts`."""
_SPREAD = 3.0


class Features(NamedTuple):
    """Kernels of many nets and resolutions in one list."""

    kinds: Ints
    """[kernels], places in KINDS."""
    fused: Ints
    """[kernels], places in FUSED."""
    counts: Floats
    """[kernels], how often each runs."""
    amounts: Floats
    """[kernels, AMOUNTS]: 1, and millions of multiply-adds, values moved and weights."""
    inputs: Floats
    """[kernels, columns], each about -2..2."""
    owners: Ints
    """[kernels], which net's, in rising order."""


def features(nets: Iterable[tuple[Kernels, Sequence[int] | Ints]]) -> Features:
    """Return the features of nets, each at several resolutions: owners count all resolutions of the first, then on."""
    parts: list[Features] = []
    first = 0
    for net, resolutions in nets:
        wanted = np.asarray(resolutions, np.int64)
        parts.append(_of(net, wanted, first))
        first += len(wanted)
    return Features._make(np.concatenate(column) for column in zip(*parts, strict=True))


def chosen(found: Features, nets: Ints) -> Features:
    """Return the features of some nets, which are then counted from 0."""
    places = np.full(int(found.owners[-1]) + 1, -1)
    places[nets] = np.arange(len(nets))
    owners = places[found.owners]
    kept = owners >= 0
    return Features._make([*(column[kept] for column in found[:-1]), owners[kept]])


def _of(net: Kernels, resolutions: Ints, first: int) -> Features:
    read_area, made_area, side = net.areas(resolutions)
    kind, _, _, read, inputs, outputs, groups, tall, wide, stride, weights, fused, joined = net.columns[:, :, None]
    one = np.ones_like(made_area)
    made = outputs * made_area
    moved = read * read_area + made * (1 + joined)
    macs = weights * made_area
    amounts = np.stack([one, macs / 1e6, moved / 1e6, weights * one / 1e6], axis=-1, dtype=np.float32)
    logarithms = (
        macs,
        moved,
        made,
        weights,
        inputs,
        outputs,
        side,
        net.weights,
        moved.max(axis=0),
        tall * wide,
        stride,
    )
    shares = (
        _filled(inputs, 16),
        _filled(outputs, 16),
        _filled(outputs, 8),
        outputs % 4 == 0,
        _filled(side, 6),
    )
    columns = [
        *(
            _logarithm(one * amount, middle)
            for amount, middle in zip((*logarithms, inputs // groups), _MIDDLES, strict=True)
        ),
        *(one * share for share in (*shares, _filled(made_area, 4), joined)),
    ]
    return Features(
        _in_turn(one * kind),
        _in_turn(one * fused),
        _in_turn(one * np.array(net.counts)[:, None]).astype(np.float32),
        amounts.transpose(1, 0, 2).reshape(-1, AMOUNTS),
        np.stack(columns, axis=-1, dtype=np.float32).transpose(1, 0, 2).reshape(-1, len(columns)),
        np.repeat(np.arange(first, first + one.shape[1]), one.shape[0]),
    )


def _in_turn(values: Ints) -> Ints:
    """Lay [kernels, resolutions] out as one list, the kernels of the first resolution first."""
    return values.T.reshape(-1)


def _logarithm(amount: Ints, middle: float) -> Floats:
    scaled: Floats = np.log(amount.astype(np.float32) / np.float32(middle) + np.float32(0.05))
    return scaled / np.float32(_SPREAD)


def _filled(count: Ints, block: int) -> Floats:
    """Return which share of the places in all blocks is used."""
    return (count / (-(-count // block) * block)).astype(np.float32)
