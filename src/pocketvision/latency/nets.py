"""The nets that a machine is calibrated with: drawn from the catalogue by a seed, at settings that nobody asks for."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import GraphError, UsageError
from pocketvision.graph.graph import Affine, Conv, Graph, Linear, Node
from pocketvision.models.catalogue import Family, check_spec, families
from pocketvision.values import ModelSpec

Trace = Callable[[ModelSpec], Graph]
"""Turns a setting into a graph without weights."""

LARGEST_MACS = 1_000_000_000
LARGEST_WEIGHTS = 12_000_000
"""Larger nets are none for phones, and take long to time."""
_WIDTHS = 0.12, 1.5
_RESOLUTIONS = 32, 288
_CLASSES = 2, 1000


def draw(seed: int, count: int, trace: Trace) -> Iterator[tuple[ModelSpec, Graph]]:
    """Draw nets of all families in turn: widths, resolutions and outputs at random, under LARGEST_MACS.

    Graphs have fresh weights, by which no runtime answers slower than by trained ones.
    """
    rng = np.random.default_rng(seed)
    for spec, graph in islice(_drawn(rng, trace), count):
        yield spec, with_fresh_weights(graph, rng)


def with_fresh_weights(graph: Graph, rng: np.random.Generator) -> Graph:
    """Return the graph with He normal weights (He et al. 2015), so that activations keep their size."""
    return Graph(tuple(_fresh(node, rng) for node in graph.nodes))


def macs_of(graph: Graph) -> int:
    """Count the multiply-adds of convolutions and fully connected layers."""
    return sum(
        math.prod(graph.shapes[node.name][1:]) * int(node.weight.size)
        for node in graph.nodes
        if isinstance(node, Conv | Linear)
    )


def weights_of(graph: Graph) -> int:
    """Count the weights of convolutions and fully connected layers."""
    return sum(int(node.weight.size) for node in graph.nodes if isinstance(node, Conv | Linear))


def _drawn(rng: np.random.Generator, trace: Trace) -> Iterator[tuple[ModelSpec, Graph]]:
    homes: dict[str, list[str]] = {}
    for name, family in families().items():
        homes.setdefault(family.home, []).append(name)
    known = families()
    while True:
        for home in rng.permutation(sorted(homes)):
            name = str(rng.choice(homes[str(home)]))
            for _ in range(8):
                found = _tried(_setting(name, known[name], rng), trace)
                if found is not None:
                    yield found
                    break


def _setting(name: str, family: Family, rng: np.random.Generator) -> ModelSpec:
    least = max(family.smallest, _RESOLUTIONS[0])
    step = int(rng.choice([32, 16, 8, 1], p=[0.4, 0.3, 0.15, 0.15]))
    resolution = max(least, round(_between(rng, (least, max(_RESOLUTIONS[1], least + 32))) / step) * step)
    width = float(rng.choice(family.widths)) if family.groups else round(_between(rng, _WIDTHS), 3)
    classes = round(_between(rng, _CLASSES))
    groups = int(rng.choice(family.groups)) if family.groups else None
    return ModelSpec(name, width, resolution, classes, groups=groups)


def _between(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    """Draw a value whose logarithm is spread evenly."""
    return float(np.exp(rng.uniform(*np.log(ends))))


def _tried(spec: ModelSpec, trace: Trace) -> tuple[ModelSpec, Graph] | None:
    try:
        check_spec(spec)
        graph = trace(spec)
        fits = macs_of(graph) <= LARGEST_MACS and weights_of(graph) <= LARGEST_WEIGHTS
    except (GraphError, UsageError):  # a setting that the family does not have
        return None
    return (spec, graph) if fits else None


def _fresh(node: Node, rng: np.random.Generator) -> Node:
    if not isinstance(node, Conv | Linear | Affine):
        return node
    bias = 0.1 * rng.standard_normal(node.bias.shape, np.float32)
    if isinstance(node, Affine):
        return replace(node, weight=1 + 0.1 * rng.standard_normal(node.weight.shape, np.float32), bias=bias)
    return replace(node, weight=_he(node.weight.shape, rng), bias=bias)


def _he(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.standard_normal(shape, np.float32) * np.float32(math.sqrt(2 / math.prod(shape[1:])))
