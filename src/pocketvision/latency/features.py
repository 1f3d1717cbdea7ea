"""What a kernel's time depends on, as numbers of like size: logarithms of amounts, and how full blocks are."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.latency.kernels import Floats, Ints, Kernels

AMOUNTS = 4
"""What a kernel's plain time is a sum over: being started, multiply-adds, values moved, weights read."""
_MIDDLES = (1e5, 1e4, 1e4, 1e3, 50.0, 50.0, 10.0, 1e6, 1e5, 3.0, 2.0, 30.0)
"""Of each amount taken as a logarithm, in the order of `_amounts`."""
_SPREAD = 3.0


class KernelFeatures(NamedTuple):
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


def features(nets: Iterable[tuple[Kernels, Sequence[int] | Ints]]) -> KernelFeatures:
    """Return the features of nets, each at several resolutions: owners count all resolutions of the first, then on."""
    parts: list[KernelFeatures] = []
    first = 0
    for net, resolutions in nets:
        wanted = np.asarray(resolutions, np.int64)
        parts.append(_of(net, wanted, first))
        first += len(wanted)
    return KernelFeatures._make(np.concatenate(column) for column in zip(*parts, strict=True))


def chosen(found: KernelFeatures, nets: Ints) -> KernelFeatures:
    """Return the features of some nets, which are then counted from 0."""
    places = np.full(int(found.owners[-1]) + 1, -1)
    places[nets] = np.arange(len(nets))
    owners = places[found.owners]
    kept = owners >= 0
    return KernelFeatures._make([*(column[kept] for column in found[:-1]), owners[kept]])


def _of(net: Kernels, resolutions: Ints, first: int) -> KernelFeatures:
    read_area, made_area, side = net.areas(resolutions)
    kind, _, _, read, inputs, outputs, groups, tall, wide, stride, weights, fused, joined = net.columns[:, :, None]
    one = np.ones_like(made_area)
    made = outputs * made_area
    moved = read * read_area + made * (1 + joined)
    macs = weights * made_area
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
    shares = [_filled(inputs, 16), _filled(outputs, 16), _filled(outputs, 8), outputs % 4 == 0]
    shares += [_filled(side, 6), _filled(made_area, 4), joined]
    amounts_in_turn = zip((*logarithms, inputs // groups), _MIDDLES, strict=True)
    columns = [one * _logarithm(np.asarray(amount), middle) for amount, middle in amounts_in_turn]
    columns += [one * share for share in shares]
    return KernelFeatures(
        _in_turn(one * kind),
        _in_turn(one * fused),
        _in_turn(one * np.array(net.counts)[:, None]).astype(np.float32),
        _listed([one, macs / 1e6, moved / 1e6, weights * one / 1e6]),
        _listed(columns),
        np.repeat(np.arange(first, first + one.shape[1]), one.shape[0]),
    )


def _listed(columns: Sequence[NDArray[Any]]) -> Floats:
    """Lay several [kernels, resolutions] out as columns of one list, the kernels of the first resolution first."""
    stacked: Floats = np.stack(columns, axis=-1, dtype=np.float32)
    return stacked.transpose(1, 0, 2).reshape(-1, len(columns))


def _in_turn(values: Ints) -> Ints:
    """Lay [kernels, resolutions] out as one list, the kernels of the first resolution first."""
    return values.T.reshape(-1)


def _logarithm(amount: Ints, middle: float) -> Floats:
    scaled: Floats = np.log(amount.astype(np.float32) / np.float32(middle) + np.float32(0.05))
    return scaled / np.float32(_SPREAD)


def _filled(count: Ints, block: int) -> Floats:
    """Return which share of the places in all blocks is used."""
    return (count / (-(-count // block) * block)).astype(np.float32)
