"""Structured pruning: whole channels go, those first that cost the answer least for what they take to compute.

What a channel costs is predicted as for weights (see `moments`): the loss of the answer where the layers that read it
get its mean instead, with gradients in the form of Grosse and Martens 2016 (https://arxiv.org/abs/1602.01407).
Molchanov et al. 2019 (https://arxiv.org/abs/1906.10771) rank channels by gradients too, across residual sums. What the
cut channels gave is then taken over by the kept ones as far as these predict it, and its mean by the biases.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.moments import LayerMoments, Moments
from pocketvision.compress.tied import TiedChannels, readers, without
from pocketvision.errors import UsageError
from pocketvision.graph.graph import Conv, Graph, Linear

Weigh = Callable[[Graph], float]
"""What of a graph is to become less: its multiply-adds, its latency."""
_Float = NDArray[np.float64]
_TRIES = 12
_LEAST = 0.125
"""Share of a group of channels that always stays."""
_FULL = 8
"""Kernels take so many channels at once: the kept ones of a group are a multiple, or half of it in small groups."""
_RIDGE = 1e-2
"""Share of the mean variance added to every channel's, so that few images do not give wild weights."""


def cut_to(graph: Graph, moments: Moments, weigh: Weigh, allowed: float, *, unit: str = "multiply-adds") -> Graph:
    """Return a float graph without Affines of fewer channels, that weighs at most what is allowed.

    `moments` are its own, `unit` is what is weighed in. Raises UsageError where even the fewest channels weigh more.
    """
    tied = TiedChannels(graph)
    worth, saved = losses(tied, moments), savings(tied)
    ratio = np.log(np.maximum(worth, 1e-30) / np.maximum(saved, 1e-30))
    low, high = float(ratio.min()) - 1, float(ratio.max()) + 1

    def going(edge: float) -> frozenset[int]:
        return _chosen(tied, worth, ratio, edge)

    def bare(gone: frozenset[int]) -> Graph:
        return without(graph, tied, gone, {})

    if weigh(graph) <= allowed:
        return graph
    if (least := weigh(bare(going(high)))) > allowed:
        raise UsageError(f"no fewer channels bring this net to {allowed:,.4g} {unit}; the least is {least:,.4g}")
    for _ in range(_TRIES):
        middle = (low + high) / 2
        low, high = (low, middle) if weigh(bare(going(middle))) <= allowed else (middle, high)
    gone = going(high)
    return without(graph, tied, gone, made_up(tied, gone, moments))


def _chosen(tied: TiedChannels, worth: _Float, ratio: _Float, edge: float) -> frozenset[int]:
    """Return the channels that go: those below the edge, but for whole kernels' and the least share of each group."""
    gone: list[int] = []
    for group in tied.groups:
        order = group[np.argsort(worth[group], kind="stable")]
        step = _FULL if len(group) >= 8 * _FULL else max(1, _FULL // 2)
        wanted = max(int((ratio[group] >= edge).sum()), int(np.ceil(_LEAST * len(group))), 1)
        kept = min(len(group), -(-wanted // step) * step)
        gone += order[: len(group) - kept].tolist()
    return frozenset(gone)


def losses(tied: TiedChannels, moments: Moments) -> _Float:
    """Return for every number the loss of the answer, in nats, if the layers that read it got its mean instead."""
    found = np.zeros(1 + max(int(numbers.max()) for numbers in tied.of.values()))
    for node in readers(tied.graph):
        seen, numbers = moments[node.name], tied.of[node.inputs[0]]
        weight = node.weight.astype(np.float64).reshape(len(node.weight), len(numbers), -1)
        taps = weight.shape[2]
        inputs = seen.inputs[0].reshape(len(numbers), taps, len(numbers), taps)
        own = np.einsum("ctcu->ctu", inputs)
        spread = np.einsum("oct,ctu,ocu->oc", weight, own, weight)
        np.add.at(found, numbers, seen.gradients @ spread / 2)
    return found


def savings(tied: TiedChannels) -> _Float:
    """Return for every number the multiply-adds that its layers take for it, while all others are there."""
    found = np.zeros(1 + max(int(numbers.max()) for numbers in tied.of.values()))
    for node in tied.graph.nodes:
        if not isinstance(node, Conv | Linear):
            continue
        places = float(np.prod(tied.graph.shapes[node.name][1:]))
        each = places * node.weight.size
        np.add.at(found, tied.of[node.name], each / len(node.weight))
        if isinstance(node, Linear) or node.groups == 1:
            numbers = tied.of[node.inputs[0]]
            np.add.at(found, numbers, each / len(numbers))
    return found


def made_up(tied: TiedChannels, gone: frozenset[int], moments: Moments) -> Mapping[str, Conv | Linear]:
    """Return the layers that read cut channels, with weights and biases that make up for these."""
    found: dict[str, Conv | Linear] = {}
    for node in readers(tied.graph):
        numbers = tied.of[node.inputs[0]]
        rest = np.array([one in gone for one in numbers.tolist()])
        if rest.any():
            taps = node.weight[0].size // len(numbers)
            found[node.name] = _made_up(node, moments[node.name], np.repeat(rest, taps))
    return found


def _made_up(node: Conv | Linear, seen: LayerMoments, rest: NDArray[np.bool_]) -> Conv | Linear:
    weight = node.weight.astype(np.float64).reshape(len(node.weight), -1)
    covariance, kept = seen.inputs[0], np.flatnonzero(~rest)
    inner = covariance[np.ix_(kept, kept)]
    ridge = _RIDGE * max(float(np.trace(inner)) / len(kept), 1e-12) * np.eye(len(kept))
    after = np.zeros_like(weight)
    across = covariance[np.ix_(kept, np.flatnonzero(rest))] @ weight[:, rest].T
    after[:, kept] = weight[:, kept] + np.linalg.solve(inner + ridge, across).T
    bias = node.bias + (weight - after) @ seen.mean[0]
    return replace(node, weight=after.reshape(node.weight.shape).astype(np.float32), bias=bias.astype(np.float32))
