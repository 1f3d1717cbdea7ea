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
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from pocketvision import cache as disk
from pocketvision.budget.filesize import Structure, added_bytes, predicted_bytes, stored_bytes, structures
from pocketvision.cost.graphs import without_shapes
from pocketvision.cost.rules import macs, params
from pocketvision.errors import GraphError, UsageError
from pocketvision.graph.graph import Activate, Add, Concat, GlobalAvgPool, Graph, Linear, Mul, Node
from pocketvision.graph.order import best_order, flow, steps
from pocketvision.values import ModelSpec, Precision, StartKind

PRECISIONS: tuple[Precision, ...] = ("float", "int8")
KINDS: tuple[StartKind, ...] = get_args(StartKind)
Counts = NDArray[np.int64]

_KEPT_BYTES = 20_000_000
_VERSION = 2


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


COLUMNS = ("params", "macs", "peak", *Structure._fields)
"""What is counted of one setting, whatever its precision; the peak in values."""


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
    """[n, columns], a column for each name in `COLUMNS`."""
    labels: int
    """How many outputs have names."""
    label_bytes: int
    """Of all these names together."""
    formats: tuple[str, ...] = ("onnx",)
    """Of the files that are wanted."""

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

    @property
    def structure(self) -> dict[str, Counts]:
        """Return what files have to describe, by the fields of `Structure`."""
        return dict(zip(COLUMNS[3:], self.counted[:, 3:].T, strict=True))

    @cached_property
    def weight_bytes(self) -> Counts:
        """Return the bytes of the weights and biases at each row's precision, with what they are stored by."""
        each = [stored_bytes(self.structure, precision) for precision in PRECISIONS]
        return np.asarray(np.where(self.precision == 0, *each), np.int64)

    @cached_property
    def size_bytes(self) -> Counts:
        """Return the predicted bytes of the file, of several formats the largest one; of a format that does not hold a
        row's precision nothing is written."""
        each = [np.zeros(len(self))]
        for place, precision in enumerate(PRECISIONS):
            for name in self.formats:
                if (name, precision) in added_bytes():
                    found = predicted_bytes(
                        name, precision, self.structure, labels=self.labels, text_bytes=self.label_bytes
                    )
                    each.append(np.where(self.precision == place, found, 0.0))
        return np.asarray(np.max(each, axis=0), np.int64)

    @cached_property
    def peak_bytes(self) -> Counts:
        """Return the peak of activation memory."""
        return np.asarray(self.counted[:, 2] * np.where(self.precision == 0, 4, 1), np.int64)

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


def space_of(
    trunks: Sequence[Trunk],
    graph_of: Callable[[ModelSpec], Graph],
    labels: Sequence[str],
    *,
    formats: Sequence[str] = ("onnx",),
) -> Space:
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
    text = sum(len(label.encode()) for label in labels)
    return Space(tuple(trunks), trunk_, depth_, side_, precision_, counted, len(labels), text, tuple(formats))


# ---------------------------------------------------------------- counting


def _counted(trunk: Trunk, graph_of: Callable[[ModelSpec], Graph]) -> Counts:
    """Return [depths, resolutions, columns], -1 where a net does not take a resolution."""
    trunk = replace(trunk, spec=without_shapes(trunk.spec))
    said = repr((_VERSION, _sources(), replace(trunk, kinds=(), origin="", own_width=1.0)))
    path = disk.root() / "counts" / f"{hashlib.sha256(said.encode()).hexdigest()[:32]}.npy"
    try:
        kept: Counts = np.load(path, allow_pickle=False)
        if kept.shape == (len(trunk.depths), len(trunk.resolutions), len(COLUMNS)):
            return kept
    except (OSError, ValueError, EOFError):
        pass  # not counted yet, or damaged
    try:
        found = _count(best_order(graph_of(trunk.spec)), trunk)
    except UsageError:  # a width that the family does not have
        return np.full((len(trunk.depths), len(trunk.resolutions), len(COLUMNS)), -1, np.int64)
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
    found = np.full((len(trunk.depths), len(trunk.resolutions), len(COLUMNS)), -1, np.int64)
    for side, resolution in enumerate(trunk.resolutions):
        there = graph.at(resolution)
        try:
            _ = there.shapes
        except GraphError:  # too small for the net, or a classifier on flattened maps
            continue
        found[:, side] = list(_depths(there, trunk))
    return found


def _depths(graph: Graph, trunk: Trunk) -> Iterator[tuple[int, ...]]:
    """Count every depth of a graph: the layers so far, and a classifier on what they give."""
    nodes = graph.nodes
    learned = [(params(node), macs(node, graph.shapes[node.name]), 0) for node in nodes]
    own = np.concatenate([np.array(learned, np.int64), structures(graph)], axis=1).cumsum(axis=0)
    own[:, 2] = np.maximum.accumulate([step.values for step in steps(flow(graph), range(len(nodes)))])
    for depth in trunk.depths:
        end = len(nodes) if depth is None else _end_of(nodes, depth)
        found = own[end - 1].copy()
        if depth is not None:
            channels, classes = graph.shapes[nodes[end - 1].name][0], trunk.spec.num_classes
            last = math.prod(graph.shapes[nodes[end - 1].name]) + channels
            found[2] = max(found[2], last)
            # The mean, the classifier, the probabilities.
            matrix = channels * classes
            head = {"params": matrix + classes, "macs": matrix, "weights": matrix, "channels": classes}
            for name, more in (head | {"layers": 1, "pools": 1, "others": 1, "distinct": classes}).items():
                found[COLUMNS.index(name)] += more
        yield tuple(found.tolist())


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
