"""The space of the choice: every net, width, depth, resolution and precision that is considered, as columns.

A net is traced once at each width; all its depths and resolutions are counted from that one graph. What was counted is
kept on the disk, so that the next time thousands of settings take a fraction of a second.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import resources
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from pocketvision import cache as disk
from pocketvision.cost.graphs import without_shapes
from pocketvision.cost.rules import macs, params, weight_bytes
from pocketvision.errors import GraphError, UsageError
from pocketvision.graph.graph import Activate, Add, Concat, Conv, GlobalAvgPool, Graph, Linear, Mul, Node
from pocketvision.graph.order import best_order, flow, steps
from pocketvision.graph.storage import FLOAT, INT8
from pocketvision.values import ModelSpec, Precision, StartKind

PRECISIONS: tuple[Precision, ...] = ("float", "int8")
KINDS: tuple[StartKind, ...] = get_args(StartKind)
Counts = NDArray[np.int64]

_FILE_BYTES, _LABEL_BYTES = {"float": 5_400, "int8": 4_950}, 40
_NODE_BYTES, _LAYER_BYTES, _CHANNEL_BYTES = {"float": 37, "int8": 152}, {"float": 65, "int8": 128}, 5.25
"""What a file holds besides weights: manifest and probes, then names and settings of each node, of each layer with
weights, and of each channel's scale in int8. Fitted to written files: `benchmarks/predicted_bytes.py` prints how far
off they are, at most 1.5% for 30 nets."""
_KEPT_BYTES = 20_000_000
_VERSION = 1


@dataclass(frozen=True)
class Trunk:
    """One net at one width, with the depths and resolutions that are considered of it."""

    spec: ModelSpec
    """With the user's classes; its depth and resolution are placeholders."""
    depths: tuple[int | None, ...]
    resolutions: tuple[int, ...]
    kinds: tuple[StartKind, ...]
    """How a training of each depth begins."""
    origin: str = ""
    """Name of the weights that it begins with; empty from scratch."""
    own_width: float = 1.0
    """Of the weights that it is sliced from."""


class _Column(NamedTuple):
    """What is counted of one setting, whatever its precision."""

    params: int
    macs: int
    float_bytes: int
    int8_bytes: int
    peak: int
    """In values."""
    layers: int
    nodes: int


@dataclass(frozen=True, eq=False)
class Space:
    """All settings; row i of every column is one of them."""

    trunks: tuple[Trunk, ...]
    trunk: Counts
    """Place in `trunks`."""
    depth: Counts
    """Place in the trunk's depths."""
    resolution: Counts
    precision: Counts
    """Place in PRECISIONS."""
    counted: Counts
    """[n, 7], a column for each field of `_Column`."""
    label_bytes: int

    def __len__(self) -> int:
        return len(self.trunk)

    @property
    def params(self) -> Counts:
        """Return the learned values."""
        return self.counted[:, 0]

    @property
    def macs(self) -> Counts:
        """Return the multiply-adds of one image."""
        return self.counted[:, 1]

    @cached_property
    def size_bytes(self) -> Counts:
        """Return the predicted bytes of the ONNX file."""
        weights = self.counted[:, 2], self.counted[:, 3]
        channels = (weights[1] - weights[0] / 4) / 7  # 8 bytes a bias and a scale, where float has 4
        layers, nodes = self.counted[:, 5], self.counted[:, 6]
        each = {
            name: _FILE_BYTES[name] + stored + _LAYER_BYTES[name] * layers + _NODE_BYTES[name] * nodes
            for name, stored in zip(PRECISIONS, weights, strict=True)
        }
        found = np.where(self.precision == 0, each["float"], each["int8"] + _CHANNEL_BYTES * channels)
        return np.asarray(found + self.label_bytes, np.int64)

    @cached_property
    def peak_bytes(self) -> Counts:
        """Return the peak of activation memory."""
        return np.asarray(self.counted[:, 4] * np.where(self.precision == 0, 4, 1), np.int64)

    @cached_property
    def kind(self) -> Counts:
        """Return the place of each setting's start in KINDS."""
        table = [[KINDS.index(kind) for kind in trunk.kinds] for trunk in self.trunks]
        return np.array([table[t][d] for t, d in zip(self.trunk, self.depth, strict=True)], np.int64)

    def spec(self, row: int) -> ModelSpec:
        """Return the net of a row."""
        trunk = self.trunks[int(self.trunk[row])]
        depth = trunk.depths[int(self.depth[row])]
        return replace(trunk.spec, depth=depth, resolution=int(self.resolution[row]))

    def precision_of(self, row: int) -> Precision:
        """Return the precision of a row's file."""
        return PRECISIONS[int(self.precision[row])]

    def start(self, row: int) -> StartKind:
        """Return how a training of a row begins."""
        return KINDS[int(self.kind[row])]

    def rows(self, kept: NDArray[np.bool_]) -> "Space":
        """Return some of the rows."""
        return replace(
            self,
            trunk=self.trunk[kept],
            depth=self.depth[kept],
            resolution=self.resolution[kept],
            precision=self.precision[kept],
            counted=self.counted[kept],
        )


def space_of(trunks: Sequence[Trunk], graph_of: Callable[[ModelSpec], Graph], labels: Sequence[str]) -> Space:
    """Count every depth and resolution of every trunk at both precisions.

    `graph_of` gives the graph of a whole net, with weights or with stand-ins of their shape; it is asked for what was
    not counted before.
    """
    parts: list[tuple[Counts, ...]] = []
    for place, trunk in enumerate(trunks):
        found = _counted(trunk, graph_of)
        depth, side, precision = (grid.ravel() for grid in np.indices((*found.shape[:2], len(PRECISIONS))))
        fits = found[depth, side, 0] >= 0
        rows = (np.full(depth.shape, place), depth, np.array(trunk.resolutions, np.int64)[side], precision)
        parts.append((*(row[fits] for row in rows), found[depth, side][fits]))
    trunk_, depth_, side_, precision_, counted = (np.concatenate(part) for part in zip(*parts, strict=True))
    text = sum(len(label.encode()) for label in labels) + _LABEL_BYTES * len(labels)
    return Space(tuple(trunks), trunk_, depth_, side_, precision_, counted, text)


# ---------------------------------------------------------------- counting


def _counted(trunk: Trunk, graph_of: Callable[[ModelSpec], Graph]) -> Counts:
    """Return [depths, resolutions, 7], -1 where a net does not take a resolution."""
    trunk = replace(trunk, spec=without_shapes(trunk.spec))
    said = repr((_VERSION, _sources(), replace(trunk, kinds=(), origin="", own_width=1.0)))
    path = disk.root() / "counts" / f"{hashlib.sha256(said.encode()).hexdigest()[:32]}.npy"
    try:
        kept: Counts = np.load(path, allow_pickle=False)
        if kept.shape == (len(trunk.depths), len(trunk.resolutions), len(_Column._fields)):
            return kept
    except (OSError, ValueError, EOFError):
        pass  # not counted yet, or damaged
    try:
        found = _count(best_order(graph_of(trunk.spec)), trunk)
    except UsageError:  # a width that the family does not have
        return np.full((len(trunk.depths), len(trunk.resolutions), len(_Column._fields)), -1, np.int64)
    try:
        with disk.whole_file(path, found.nbytes) as stream:
            np.save(stream, found)
        disk.make_room("counts/*.npy", _KEPT_BYTES, keep=path)
    except OSError:
        pass  # counted again the next time
    return found


@cache
def _sources() -> str:
    """Return a digest of the code that decides what a net is and how it is counted."""
    digest = hashlib.sha256()
    for package in ("models", "graph", "cost", "budget"):
        for file in sorted(resources.files(f"pocketvision.{package}").iterdir(), key=lambda entry: entry.name):
            if file.name.endswith(".py"):
                digest.update(file.read_bytes())
    return digest.hexdigest()


def _count(graph: Graph, trunk: Trunk) -> Counts:
    found = np.full((len(trunk.depths), len(trunk.resolutions), len(_Column._fields)), -1, np.int64)
    for side, resolution in enumerate(trunk.resolutions):
        there = graph.at(resolution)
        try:
            _ = there.shapes
        except GraphError:  # too small for the net, or a classifier on flattened maps
            continue
        found[:, side] = list(_depths(there, trunk))
    return found


def _depths(graph: Graph, trunk: Trunk) -> Iterator[_Column]:
    """Count every depth of a graph: the layers so far, and a classifier on what they give."""
    nodes = graph.nodes
    own = np.array(
        [
            (
                params(node),
                macs(node, graph.shapes[node.name]),
                weight_bytes(node, FLOAT),
                weight_bytes(node, INT8),
                isinstance(node, Conv | Linear),
                1,
            )
            for node in nodes
        ],
        np.int64,
    ).cumsum(axis=0)
    peaks = np.maximum.accumulate([step.values for step in steps(flow(graph), range(len(nodes)))])
    for depth in trunk.depths:
        end = len(nodes) if depth is None else _end_of(nodes, depth)
        learned, work, plain, small, layers, count = own[end - 1]
        if depth is None:
            yield _Column(learned, work, plain, small, peaks[-1], layers, count)
            continue
        channels, classes = graph.shapes[nodes[end - 1].name][0], trunk.spec.num_classes
        matrix = channels * classes
        last = math.prod(graph.shapes[nodes[end - 1].name]) + channels
        yield _Column(
            learned + matrix + classes,
            work + matrix,
            plain + 4 * (matrix + classes),
            small + matrix + 8 * classes,
            max(peaks[end - 1], last),
            layers + 1,
            count + 3,  # the mean, the classifier, the probabilities
        )


def cut(graph: Graph, trunk: Trunk, place: int) -> Graph:
    """Return the graph of one of a trunk's depths out of that of the whole net in its best order; the new classifier's
    weights are stand-ins."""
    depth = trunk.depths[place]
    if depth is None:
        return graph
    nodes = graph.nodes[: _end_of(graph.nodes, depth)]
    channels, classes = graph.shapes[nodes[-1].name][0], trunk.spec.num_classes
    mean = GlobalAvgPool("pooled", (nodes[-1].name,))
    head = Linear(
        "classifier",
        ("pooled",),
        np.zeros((classes, channels), np.float32),
        np.zeros(classes, np.float32),
        "none",
        classes * (channels + 1),
    )
    return Graph((*nodes, mean, head, replace(graph.nodes[-1], inputs=("classifier",))))


def _end_of(nodes: Sequence[Node], depth: int) -> int:
    """Return how many nodes the first `depth` layers of `features` have."""
    start = f"features.{depth}"
    behind = [place for place, node in enumerate(nodes) if node.name == start or node.name.startswith(f"{start}.")]
    if behind:
        return behind[0]
    last = max(place for place, node in enumerate(nodes) if node.name.startswith("features."))
    while isinstance(nodes[last + 1], Add | Mul | Concat | Activate):  # of the last layer, which joins branches
        last += 1
    return last + 1
