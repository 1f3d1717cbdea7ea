"""Rate-distortion optimal quantization: of all int8 weights that answer alike, those that pack into few bytes.

Stores and web servers pack a file by the frequencies of its bytes, so weights cost what their symbols cost: bits that
this module weighs against the expected loss of the answer, with one price for the whole net. Each channel's step
follows from that price and the channel's sensitivity, as high-rate theory has it (Gersho and Gray 1992, chapter 9):
squared steps are the price over the sensitivity. Weights are rounded column by column, and what rounding took from one
is made up for in those behind it (Hassibi and Stork 1993; Frantar et al. 2023, https://arxiv.org/abs/2210.17323).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.columns import Column, column_by_column, sensitivity_of, solver_of
from pocketvision.compress.moments import LayerMoments, Moments
from pocketvision.graph.graph import Conv, Graph, Linear, Quant

_Float = NDArray[np.float64]
_Levels = NDArray[np.int64]
PASSES = 3
"""Through all weights: the first prices symbols as rounding would have them, each further one as they have become."""
_COARSER = 1.4
"""Squared steps beside those of high-rate theory: below 4 bits coarser ones lost less at the same bits."""
_SHARED = 64.0
"""Symbols of the whole net that are added to each layer's own before its code is made."""
_LARGEST = 127
_LARGEST_RATIO = 127.0
"""Of input times weight scale to output scale, as `quantize` has it."""
_NOTCHES = 4
"""Steps to each doubling of a scale: fewer different scales pack better."""


@dataclass(frozen=True, eq=False)
class RoundingLayer:
    """One layer, ready to be rounded; G groups of o channels with K weights each."""

    node: Conv | Linear
    """In integers, as it was rounded before."""
    weight: _Float
    """[G, o, K], real values."""
    solver: _Float
    """[G, K, K], upper; the inverse of the covariances is its transpose times itself."""
    sensitivity: _Float
    """[G, o], of the answer to a squared error of the sum."""
    finest: _Float
    """[G, o], the smallest step, under which 8 bits hold every weight."""
    coarsest: float
    """The largest step that runtimes take."""
    mean: _Float
    """[G, K], of what weights are multiplied with."""


def layers_to_round(small: Graph, lowered: Graph, moments: Moments) -> tuple[RoundingLayer, ...]:
    """Return the layers of a quantized graph; `lowered` is the float graph of the same kernels, `moments` are its."""
    assert small.quant is not None
    exact = {node.name: node for node in lowered.nodes if isinstance(node, Conv | Linear)}
    last = _last(small)
    quants = small.quant
    return tuple(
        _prepared(node, exact[node.name], moments[node.name], (quants[node.inputs[0]], quants[node.name]), last)
        for node in small.nodes
        if isinstance(node, Conv | Linear)
    )


def _last(graph: Graph) -> str:
    """Return the name of the last layer with weights."""
    return [node.name for node in graph.nodes if isinstance(node, Conv | Linear)][-1]


def _prepared(
    node: Conv | Linear, exact: Conv | Linear, moments: LayerMoments, quants: tuple[Quant, Quant], last: str
) -> RoundingLayer:
    assert node.weight_scale is not None
    groups, size = moments.mean.shape
    source, target = quants
    return RoundingLayer(
        node,
        exact.weight.astype(np.float64).reshape(groups, -1, size),
        solver_of(moments),
        sensitivity_of(moments, flat=node.name == last),
        node.weight_scale.astype(np.float64).reshape(groups, -1),
        _LARGEST_RATIO * target.scale / source.scale,
        moments.mean,
    )


def rate_distorted(small: Graph, layers: Sequence[RoundingLayer], price: float) -> Graph:
    """Return the graph with weights chosen for a price of bits, in nats of expected loss a bit."""
    steps = [_steps(layer, price) for layer in layers]
    levels = [
        np.rint(layer.weight / step[..., None]).astype(np.int64) for layer, step in zip(layers, steps, strict=True)
    ]
    for _ in range(PASSES):
        codes = code_lengths(levels)
        levels = [rounded(layer, step, code, price) for layer, step, code in zip(layers, steps, codes, strict=True)]
    made = [with_levels(layer, found, step, small) for layer, found, step in zip(layers, levels, steps, strict=True)]
    by_name = {node.name: node for node in made}
    return Graph(tuple(by_name.get(node.name, node) for node in small.nodes), small.quant)


def _steps(layer: RoundingLayer, price: float) -> _Float:
    """Return each channel's step, [G, o]."""
    alone = (1 / np.square(np.diagonal(layer.solver, axis1=1, axis2=2))).mean(axis=1)[:, None]
    wanted = np.sqrt(12 * _COARSER * price / (np.log(2) * layer.sensitivity * alone))
    finest = np.ceil(_NOTCHES * np.log2(layer.finest))
    notch = np.maximum(np.rint(_NOTCHES * np.log2(wanted)), finest)
    found: _Float = np.minimum(np.exp2(notch / _NOTCHES), np.maximum(layer.coarsest, layer.finest))
    return found


def code_lengths(levels: list[_Levels]) -> list[_Float]:
    """Return for each layer the bits of every level from -127 on, in a code made for its levels."""
    counts = [
        np.bincount(np.clip(found, -_LARGEST, _LARGEST).ravel() + _LARGEST, minlength=2 * _LARGEST + 1).astype(
            np.float64
        )
        for found in levels
    ]
    whole = np.sum(counts, axis=0) + 0.01
    shares = [(found + _SHARED * whole / whole.sum()) / (found.sum() + _SHARED) for found in counts]
    return [-np.log2(share) for share in shares]


def rounded(layer: RoundingLayer, step: _Float, code: _Float, price: float) -> _Levels:
    """Return levels [G, o, K], each the cheapest in loss and bits, with errors made up for by the weights behind it."""
    weight = (layer.weight / step[..., None]).astype(np.float32)
    solver = layer.solver.astype(np.float32)
    per_bit = (price * code).astype(np.float32)
    cost = (layer.sensitivity * step**2 / 2).astype(np.float32)

    def choose(column: int, values: Column) -> Column:
        own = solver[:, column, column, None]
        return _cheapest(values, cost / own**2, per_bit)

    return column_by_column(weight, solver, choose).astype(np.int64)


def _cheapest(values: Column, cost: Column, per_bit: Column) -> Column:
    nearest = np.clip(np.rint(values), -_LARGEST, _LARGEST)
    toward = np.sign(nearest)
    best, least = nearest, np.full(values.shape, np.inf, np.float32)
    for candidate in (nearest, nearest - toward, nearest - 2 * toward, np.zeros_like(nearest)):
        total = cost * np.square(values - candidate) + per_bit[candidate.astype(np.int64) + _LARGEST]
        better = total < least
        best, least = np.where(better, candidate, best), np.where(better, total, least)
    return best


def with_levels(layer: RoundingLayer, levels: _Levels, step: _Float, small: Graph) -> Conv | Linear:
    """Return the layer in its new levels, with what they change on average in its bias."""
    assert small.quant is not None
    assert layer.node.weight_scale is not None
    source = small.quant[layer.node.inputs[0]].scale
    scale = step.ravel().astype(np.float32)
    lost = ((layer.weight - levels * step[..., None]) @ layer.mean[..., None])[..., 0].ravel()
    before = layer.node.bias.astype(np.float64) * (source * layer.node.weight_scale.astype(np.float64))
    bias = np.rint((before + lost) / (source * scale.astype(np.float64)))
    return replace(
        layer.node,
        weight=levels.reshape(layer.node.weight.shape).astype(np.int8),
        bias=np.clip(bias, -(2**30), 2**30).astype(np.int32),
        weight_scale=scale,
    )
