"""Reads a graph as the kernels that onnxruntime and LiteRT run, float or int8.

onnxruntime's rules for floats are those of its NCHWc transformer (core/optimizer/nchwc_transformer.cc): convolutions
run on maps in blocks of 16 channels, and what has no such form makes it reorder. `optimized` in `runtime/onnx.py`
shows what it does of a file; a test holds the two against each other.
"""

import math
from collections import Counter

from pocketvision.graph.graph import (
    Activate,
    Add,
    AvgPool,
    Concat,
    Conv,
    Ending,
    Flatten,
    GlobalAvgPool,
    Graph,
    Input,
    Linear,
    LocalNorm,
    MaxPool,
    Mul,
    Node,
    Shuffle,
    Slice,
)
from pocketvision.graph.lower import with_gates, without_affines
from pocketvision.latency.kernels import FUSED, KINDS, Kernel, Kernels, Sizes

BLOCK = 16
"""Channels that AVX-512 takes at once."""
_ALIGNED = 4
"""Channels that a map must have a multiple of to be brought into blocks."""
_ONE_PIXEL = 1
_PLACE = {kind: place for place, kind in enumerate(KINDS)}
_KINDS: dict[type[Node], str] = {
    Input: "image",
    Linear: "linear",
    Add: "add",
    Concat: "concat",
    Slice: "slice",
    Shuffle: "shuffle",
    MaxPool: "max pool",
    AvgPool: "average pool",
    GlobalAvgPool: "mean",
    Flatten: "flatten",
    LocalNorm: "local norm",
}
ROWS = 2
"""Axes of a detector's rows."""
_BLOCKABLE = {"convolution", "pointwise", "depthwise", "grouped"}
_FUSABLE = {"relu", "relu6", "leaky_relu", "hardsigmoid", "sigmoid"}


def kernels(graph: Graph, *, runtime: str, precision: str) -> Kernels:
    """Read a float graph as a runtime runs it at `precision`; weights are not looked at, only their shapes.

    What is done with a detector's rows is left out: it takes a little, and depends on what is seen.
    """
    if precision == "int8":
        graph, _ = with_gates(without_affines(graph))
    else:
        graph = without_affines(graph)
    reader = (_Blocked if (runtime, precision) == ("onnx", "float") else _Reader)(graph)
    maps = [node for node in graph.nodes if len(graph.shapes[node.name]) != ROWS]
    for node in maps:
        reader.take(node)
    found, side = Counter(reader.rows), graph.input.resolution
    boxes = len(maps) < len(graph.nodes)
    return Kernels(tuple(found), tuple(found.values()), reader.sizes, side, reader.flexible, boxes)


class _Reader:
    """One kernel a node; activations that follow a convolution stay kernels of their own."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.sizes = Sizes()
        self.rows: list[Kernel] = []
        self.places: dict[str, int] = {}
        self.flexible = True
        self.readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)

    def channels(self, name: str) -> int:
        """Return the channels of a tensor."""
        return self.graph.shapes[name][0]

    def take(self, node: Node) -> None:
        """Read one node."""
        place = self.places[node.inputs[0]] if node.inputs else 0
        match node:
            case Conv() | MaxPool() | AvgPool():
                self.places[node.name] = self.sizes.after(place, node)
            case GlobalAvgPool():
                self.places[node.name] = _ONE_PIXEL
            case Flatten():
                self.flexible &= self.graph.shapes[node.inputs[0]][1:] in ((), (1, 1))
                self.places[node.name] = _ONE_PIXEL
            case _:
                self.places[node.name] = place
        self.put(node)

    def put(self, node: Node) -> None:
        """Add the kernels of a node whose size is known."""
        self.row(node, self.kind(node))

    def row(self, node: Node, kind: str, *, fused: str | None = None, joined: bool = False) -> None:
        """Add one kernel."""
        if fused is None:
            fused = node.activation if isinstance(node, Conv | Linear | Add) else "none"
        read = sum(self.channels(name) for name in node.inputs)
        outputs, groups, window, stride, weights = self.channels(node.name), 1, (1, 1), 1, 0
        if isinstance(node, Conv):
            groups, window, stride = node.groups, node.weight.shape[2:], math.prod(node.stride)
        if isinstance(node, Conv | Linear):
            weights = int(node.weight.size)
        if isinstance(node, MaxPool | AvgPool):
            window, stride = node.kernel, math.prod(node.stride)
        source = self.places[node.inputs[0]] if node.inputs else 0
        inputs = self.channels(node.inputs[0]) if node.inputs else outputs
        self.rows.append(
            Kernel(
                *(_PLACE[kind], source, self.places[node.name], read, inputs, outputs, groups),
                *(*window, stride, weights, FUSED.index(fused), joined),
            )
        )

    def kind(self, node: Node) -> str:
        """Name a node's kind."""
        match node:
            case Conv():
                return self.conv(node)
            case Activate():
                return "relu" if node.activation in ("relu6", "none") else node.activation
            case Mul():
                same = self.graph.shapes[node.inputs[0]] == self.graph.shapes[node.inputs[1]]
                return "multiply" if same else "scale"
        if type(node) in _KINDS:
            return _KINDS[type(node)]
        if isinstance(node, Ending):
            return "ending"
        raise AssertionError(f"no kernel is known for {type(node).__name__}")

    def conv(self, node: Conv) -> str:
        """Name a convolution's kind."""
        _, inputs, tall, wide = node.weight.shape
        if node.groups > 1:
            return "depthwise" if inputs == 1 else "grouped"
        if tall == wide == 1:
            return "vector" if self.places[node.name] == _ONE_PIXEL else "pointwise"
        return "stem" if inputs < BLOCK else "convolution"


class _Blocked(_Reader):
    """onnxruntime in float: which maps are in blocks of channels, what is reordered, and what is fused."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.blocked: set[str] = set()
        self.plain: set[str] = set()
        """A tensor is in both once it was reordered."""
        self.made: dict[str, int] = {}
        """The row of the convolution that makes a tensor, where it may still take in what follows."""

    def put(self, node: Node) -> None:
        """Add the kernels of a node, and the reorderings before them."""
        match node:
            case Conv():
                self._conv(node)
            case MaxPool() | AvgPool() | GlobalAvgPool():
                self._either(node, self.channels(node.name) % BLOCK == 0 and node.inputs[0] in self.blocked)
            case Concat():
                aligned = all(self.channels(name) % BLOCK == 0 for name in node.inputs)
                self._either(node, aligned and self.blocked.issuperset(node.inputs))
            case Mul() if self.kind(node) == "multiply":
                self._either(node, self.blocked.issuperset(node.inputs))
            case Add():
                self._sum(node, blocked=self.blocked.issuperset(node.inputs))
            case Activate():
                self._activate(node)
            case _:
                self._either(node, False)

    def _conv(self, node: Conv) -> None:
        _, inputs, _, _ = node.weight.shape
        outputs, kind = self.channels(node.name), self.kind(node)
        if node.groups > 1:
            share = outputs // node.groups
            fits = (
                outputs % _ALIGNED == 0 if kind == "depthwise" and share == 1 else not (inputs % BLOCK or share % BLOCK)
            )
        else:
            fits = inputs < BLOCK or inputs % _ALIGNED == 0
        if not fits and kind in _BLOCKABLE:
            kind = f"plain {kind}"
        reads_blocks = fits and not (node.groups == 1 and inputs < BLOCK)
        self._bring(node.inputs, blocked=reads_blocks)
        if fits and not reads_blocks and kind == "pointwise":
            kind = "stem"
        if node.activation == "none" and len(self.readers.get(node.name, ())) == 1:
            self.made[node.name] = len(self.rows)
        self.row(node, kind)
        (self.blocked if fits else self.plain).add(node.name)

    def _either(self, node: Node, blocked: bool) -> None:
        self._bring(node.inputs, blocked=blocked)
        self.row(node, self.kind(node))
        (self.blocked if blocked else self.plain).add(node.name)

    def _sum(self, node: Add, *, blocked: bool) -> None:
        home = self.blocked if blocked else self.plain
        places = [
            self.made.pop(name) for name in node.inputs if name in self.made and (blocked or name not in self.blocked)
        ]
        if not places:
            self._bring(node.inputs, blocked=blocked)
            self.row(node, "add", fused="none")
            if node.activation != "none":
                self.row(node, "relu", fused="none")
        else:
            self._bring(node.inputs, blocked=blocked)
            self.rows[places[0]] = self.rows[places[0]]._replace(fused=FUSED.index(node.activation), joined=True)
            if node.activation == "none" and len(self.readers.get(node.name, ())) == 1:
                self.made[node.name] = places[0]
        home.add(node.name)

    def _activate(self, node: Activate) -> None:
        source = node.inputs[0]
        place = self.made.pop(source, None)
        fusable = _FUSABLE | {"hardswish"} if source in self.blocked else _FUSABLE
        if place is None or node.activation not in fusable:
            self._either(node, source in self.blocked)
            return
        self.rows[place] = self.rows[place]._replace(fused=FUSED.index(node.activation))
        (self.blocked if source in self.blocked else self.plain).add(node.name)

    def _bring(self, names: tuple[str, ...], *, blocked: bool) -> None:
        there, kind = (self.blocked, "reorder in") if blocked else (self.plain, "reorder out")
        for name in names:
            if name not in there:
                there.add(name)
                channels, place = self.channels(name), self.places[name]
                self.rows.append(
                    Kernel(_PLACE[kind], place, place, channels, channels, channels, 1, 1, 1, 1, 0, 0, False)
                )
