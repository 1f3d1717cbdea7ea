"""Bytes of files that are not written: the stored weights, and what each format adds for every kind of kernel.

The figures in `added_bytes.csv` are fitted to written files of all families by `benchmarks/predicted_bytes.py --fit`,
which otherwise prints how far off they are for other nets.
"""

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UnknownName
from pocketvision.graph.graph import (
    Activate,
    Add,
    Affine,
    AvgPool,
    Concat,
    Conv,
    GlobalAvgPool,
    Graph,
    Linear,
    LocalNorm,
    MaxPool,
    Mul,
    Node,
    Shuffle,
    Slice,
    same_pads,
)
from pocketvision.graph.storage import STORAGES
from pocketvision.values import Precision

Counts = NDArray[np.int64]
_GATES = ("hardswish", "silu")
_HALF_BYTES = {"float": (2, 2), "float16": (2, 2), "int8": (1, 4)}
"""Of a weight, and of a channel's bias and scale, in Core ML, which computes in float16."""


class Structure(NamedTuple):
    """What of a net a file has to describe: how many of each kind."""

    weights: int
    """Of convolutions and fully connected layers."""
    channels: int
    """Outputs of these, each with a bias."""
    layers: int
    grouped: int
    """Convolutions among them that are depthwise or in groups."""
    padded: int
    """Windows whose border follows no rule of TensorFlow's."""
    clamped: int
    """Layers and sums with a ReLU or ReLU6."""
    gates: int
    """Activations that weigh a value by a function of itself: hard swish, SiLU."""
    activations: int
    """Other activations that stand alone."""
    shuffles: int
    slices: int
    joins: int
    sums: int
    """Of two maps, or products."""
    pools: int
    averages: int
    """Average pools of a part of a map."""
    averaged: int
    """Channels of these, which are convolutions in integers."""
    norms: int
    """Batch norms that stand alone."""
    distinct: int
    """Channels of layers, counted once for each number of them: what only depends on it is stored once."""
    bands: int
    """Squares of the channels that local norms run over: in LiteRT's terms a matrix of float32."""
    others: int


def structures(graph: Graph) -> Counts:
    """Return what each node adds to a graph's structure [nodes, fields], in running order."""
    rows, seen = [], set[int]()
    for node in graph.nodes:
        found = _structure_of(node, graph)
        fresh = found.channels and found.channels not in seen
        seen.add(found.channels)
        rows.append(found._replace(distinct=found.channels if fresh else 0))
    return np.array(rows, np.int64)


def _structure_of(node: Node, graph: Graph) -> Structure:
    layer = isinstance(node, Conv | Linear)
    activation = getattr(node, "activation", "none")
    kinds = {
        "gates": isinstance(node, Activate) and activation in _GATES,
        "activations": isinstance(node, Activate) and activation not in _GATES,
        "shuffles": isinstance(node, Shuffle),
        "slices": isinstance(node, Slice),
        "joins": isinstance(node, Concat),
        "sums": isinstance(node, Add | Mul),
        "pools": isinstance(node, MaxPool | GlobalAvgPool),
        "averages": isinstance(node, AvgPool),
        "norms": isinstance(node, Affine),
    }
    banded = isinstance(node, LocalNorm)
    return Structure(
        weights=int(node.weight.size) if isinstance(node, Conv | Linear | Affine) else 0,
        channels=len(node.weight) if isinstance(node, Conv | Linear | Affine) else 0,
        layers=layer,
        grouped=isinstance(node, Conv) and node.groups > 1,
        padded=_is_padded(node, graph),
        clamped=activation in ("relu", "relu6"),
        **kinds,
        averaged=graph.shapes[node.name][0] if isinstance(node, AvgPool) else 0,
        distinct=0,
        bands=graph.shapes[node.name][0] ** 2 if banded else 0,
        others=not (layer or banded or any(kinds.values())),
    )


def _is_padded(node: Node, graph: Graph) -> bool:
    """Tell whether a window's border is neither none nor TensorFlow's, so that some formats pad by an operator."""
    if not isinstance(node, Conv | MaxPool | AvgPool):
        return False
    pads, shape = graph.pads(node), graph.shapes[node.inputs[0]]
    kernel = (node.weight.shape[2], node.weight.shape[3]) if isinstance(node, Conv) else node.kernel
    return any(pads) and pads != same_pads((shape[1], shape[2]), kernel, node.stride)


def predicted_bytes(
    format_: str, precision: Precision, structure: Mapping[str, Counts], *, labels: int, text_bytes: int
) -> NDArray[np.float64]:
    """Return the bytes of files of a format, an entry for each of the counts in `structure`.

    `text_bytes` are those of all labels. Raises UnknownName for a format and precision that do not go together.
    """
    known = added_bytes()
    if (format_, precision) not in known:
        raise UnknownName("format and precision", f"{format_} {precision}", map(" ".join, known))
    added = known[format_, precision]
    found = stored_bytes(structure, precision, format_) + added["file"] + added["label"] * labels
    found += text_copies(format_) * text_bytes
    for kind in Structure._fields[1:]:
        found += added[kind] * structure[kind]
    return found


def stored_bytes(structure: Mapping[str, Counts], precision: Precision, format_: str = "onnx") -> NDArray[np.float64]:
    """Return the bytes of the weights and biases alone, with what they are stored by."""
    stored = STORAGES[precision]
    plain = stored.file_bytes(1, 0), stored.file_bytes(0, 1)
    weight, channel = _HALF_BYTES[precision] if format_ == "coreml" else plain
    return np.asarray(weight * structure["weights"] + channel * structure["channels"], np.float64)


@cache
def added_bytes() -> dict[tuple[str, str], dict[str, float]]:
    """Return what files hold besides weights by format and precision: `file`, `label`, and each kind of Structure."""
    text = resources.files("pocketvision.budget").joinpath("added_bytes.csv").read_text(encoding="utf-8")
    return {
        (row.pop("format"), row.pop("precision")): {kind: float(value) for kind, value in row.items()}
        for row in csv.DictReader(text.splitlines())
    }


def text_copies(format_: str) -> int:
    """Return how often a file holds its labels: in the manifest and as a list; a C array holds none."""
    return 0 if format_ == "c" else 2
