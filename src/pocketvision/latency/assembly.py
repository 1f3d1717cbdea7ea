"""The net of a file put together operator by operator, with stand-ins for weights: as tracing would have given it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from pocketvision.errors import GraphError, WeightsError
from pocketvision.graph.graph import (
    Activate,
    Activation,
    Add,
    Affine,
    Array,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Flatten,
    GlobalAvgPool,
    Graph,
    Input,
    Linear,
    LocalNorm,
    MaxPool,
    Mul,
    Node,
    Pads,
    Shape,
    Shuffle,
    Sigmoid,
    Slice,
    Softmax,
    shape_of,
)
from pocketvision.graph.simplify import simplify
from pocketvision.latency.reading import ROWS

NO_PADS: Pads = (0, 0, 0, 0)
_ROWS_NOTE = "what it does with boxes or other rows is not counted"
_PAST_SIX = 6.01
_LAYOUTS = ((0, 2, 3, 1), (0, 3, 1, 2))
_GATES: dict[str, Activation] = {"sigmoid": "silu", "hardsigmoid": "hardswish"}
"""What a value times a function of itself is called."""


@dataclass(frozen=True, eq=False)
class FileNet:
    """What a file runs."""

    graph: Graph
    """In float, with stand-ins for weights."""
    runtime: Literal["onnx", "litert"]
    """Whose file it is."""
    precision: Literal["float", "int8"]
    odd: tuple[str, ...] = ()
    """What profiles know nothing of, in words."""


def net_of(
    graph: Graph, *, runtime: Literal["onnx", "litert"], precision: Literal["float", "int8"], odd: Sequence[str] = ()
) -> FileNet:
    """Put a graph beside what runs it, and say where it has what no timed net had."""
    rows = any(len(shape) == ROWS for shape in graph.shapes.values())
    return FileNet(graph, runtime, precision, (*odd, _ROWS_NOTE) if rows else tuple(odd))


class Window(NamedTuple):
    """What slides over a map: its height and width, its steps, and what is added at the border."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Pads | Literal["same"] = NO_PADS


class Assembly:
    """Takes operators in running order; tensors are known by their names in the file.

    What is made of maps once they are rows, such as a detector's boxes, is left out: `rows` tells of it.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.nodes: dict[str, Node] = {}
        self.shapes: dict[str, Shape] = {}
        self.names: dict[str, str] = {}
        """The node that holds each tensor."""
        self.odd: list[str] = []
        self.rows = False
        self.pads: dict[str, Pads] = {}
        self.groups: dict[str, int] = {}
        """Tensors with their channels split in so many groups, on the way to a shuffle."""
        self.raised: dict[str, str] = {}
        """Tensors that are another one plus three, perhaps clamped, perhaps times that other one."""
        self.squares: dict[str, str] = {}
        """Tensors made of the square of another one, on the way to a local norm."""
        self.clamped: dict[str, float] = {}
        """Kernels whose sums are clamped by the levels they are rounded to, and the largest of these."""

    def __contains__(self, tensor: str) -> bool:
        return tensor in self.names

    def error(self, text: str) -> WeightsError:
        """Build an error that begins with the file's name."""
        return WeightsError(f"{self.file}: {text}")

    def finish(self, runtime: Literal["onnx", "litert"], precision: Literal["float", "int8"]) -> FileNet:
        """Return the net, with batch norms and clamps merged as runtimes merge them."""
        if self.rows:
            self.note(_ROWS_NOTE)
        # Which clamp levels stand for is seen from the largest: those of a ReLU6 end at 6.
        clamp: Clamp = "relu6" if max(self.clamped.values(), default=0.0) < _PAST_SIX else "relu"
        for name in self.clamped:
            self.nodes[name] = replace(self.nodes[name], activation=clamp)  # type: ignore[call-arg]
        return FileNet(Graph(tuple(simplify(self.nodes.values()))), runtime, precision, tuple(self.odd))

    def shape(self, tensor: str) -> Shape:
        """Return a tensor's shape, [C, H, W] or [C]."""
        return self.shapes[self.names[tensor]]

    def node(self, tensor: str) -> Node:
        """Return what makes a tensor."""
        return self.nodes[self.names[tensor]]

    def note(self, text: str) -> None:
        """Keep what profiles know nothing of, once."""
        if text not in self.odd:
            self.odd.append(text)

    # ------------------------------------------------------------ what computes

    def image(self, tensor: str, shape: Sequence[int | None]) -> None:
        """Begin with an image of the shape [N, C, H, W] or [N, H, W, C]."""
        square = {tuple(shape[2:]): shape[1], tuple(shape[1:3]): shape[-1]} if len(shape) == 4 else {}
        for (tall, wide), channels in square.items():
            if isinstance(tall, int) and tall == wide and isinstance(channels, int) and channels < tall:
                self._put(tensor, Input(tensor, (), tall, (0.5,) * channels, (0.5,) * channels))
                return
        any_side = "; say which with --resolution" if None in shape[1:] else ""
        raise self.error(f"expected one square image as input, found {list(shape)}{any_side}")

    def same(self, out: str, source: str) -> None:
        """Take an operator that runtimes leave out, or do on the way."""
        self.names[out] = self.names[source]
        for marks in (self.pads, self.groups, self.raised, self.squares):
            if source in marks:
                marks[out] = marks[source]  # type: ignore[assignment]

    def conv(self, out: str, source: str, weight: Shape, window: Window, *, groups: int, clamp: Clamp = "none") -> None:
        """Take a convolution; `weight` is [O, I / groups, kh, kw]."""
        if source in self.squares:
            self.same(out, source)
            return
        self._flat_mean_kept(source)
        zeros, bias = _stand_in(weight), _stand_in(weight[:1])
        stride, padding = window.stride, self._padding(source, window)
        self._put(out, Conv(out, self._inputs(source), zeros, bias, stride, padding, groups, clamp, 0))

    def linear(self, out: str, source: str, weight: Shape, *, clamp: Clamp = "none") -> None:
        """Take a fully connected layer; `weight` is [O, I]."""
        if len(self.shape(source)) > 1:
            self.flatten(f"{out}.flat", source)
            source = f"{out}.flat"
        self._put(out, Linear(out, self._inputs(source), _stand_in(weight), _stand_in(weight[:1]), clamp, 0))

    def add(self, out: str, first: str, second: str, *, clamp: Clamp = "none") -> None:
        """Take the sum of two maps."""
        self._put(out, Add(out, self._inputs(first, second), clamp))

    def multiply(self, out: str, first: str, second: str) -> None:
        """Take the product of two maps, or of a map and a value a channel."""
        first, second = sorted((first, second), key=lambda tensor: self.shape(tensor)[1:] == (1, 1))
        for value, other in ((first, second), (second, first)):
            if self.raised.get(other) == self.names[value]:  # x relu6(x + 3), still to be divided by 6
                self._put(out, Activate(out, self._inputs(value), "hardswish"))
                return
            if self.squares.get(other) == self.names[value] and value not in self.squares:
                self._put(out, LocalNorm(out, self._inputs(value), 5, 1e-4, 0.75, 1.0))
                return
        if first in self.squares and second in self.squares:
            self.same(out, first)
        elif first == second:
            self.same(out, first)
            self.squares[out] = self.names[first]
        else:
            self._product(out, first, second)

    def _product(self, out: str, first: str, second: str) -> None:
        for value, gate in ((first, second), (second, first)):
            made = self.node(gate)
            kind = _GATES.get(made.activation) if isinstance(made, Activate) else None
            if kind and made.inputs == (self.names[value],):
                del self.nodes[made.name]
                self._put(out, Activate(out, made.inputs, kind))
                return
        self._flat_mean_kept(second)
        self._put(out, Mul(out, self._inputs(first, second)))

    def norm(self, out: str, source: str, *, clamp: Clamp = "none") -> None:
        """Take a factor or a summand for each channel, or one for all."""
        if isinstance(self.node(source), Input | Linear) and clamp == "none":
            self.same(out, source)
            return
        values = _stand_in(self.shape(source)[:1])
        self._put(out, Affine(out, self._inputs(source), values, values, clamp, 0))

    def plus(self, out: str, source: str, value: float, *, clamp: Clamp = "none") -> None:
        """Take the sum of a map and one number."""
        if abs(value - 0.5) < 1e-3:  # x / 6 + 1 / 2, clamped by levels
            self.activate(out, source, "hardsigmoid")
        elif abs(value - 3) < 0.1:
            self.same(out, source)
            self.raised[out] = self.names[source]
        else:
            self.norm(out, source, clamp=clamp)

    def times(self, out: str, source: str, value: float) -> None:
        """Take the product of a map and one number."""
        if source in self.raised:
            self.activate(out, source, "hardsigmoid")
        elif abs(value - 1) < 1e-6 or getattr(self.node(source), "activation", "") == "hardswish":
            self.same(out, source)
        else:
            self.norm(out, source)

    def pool(self, out: str, source: str, window: Window, *, largest: bool, ceil: bool = False) -> None:
        """Take a max or average pool."""
        kernel, stride, padding = window.kernel, window.stride, self._padding(source, window)
        whole = self.shape(source)[1:] == kernel and padding == NO_PADS
        if largest:
            self._put(out, MaxPool(out, self._inputs(source), kernel, stride, ceil, padding))
        elif whole:
            self.mean(out, source, keep=True)
        else:
            self._put(out, AvgPool(out, self._inputs(source), kernel, stride, padding))

    def mean(self, out: str, source: str, *, keep: bool) -> None:
        """Take the mean over height and width."""
        self._put(out, GlobalAvgPool(out, self._inputs(source), keep))

    def activate(self, out: str, source: str, activation: Activation) -> None:
        """Take an activation."""
        if source in self.raised and activation == "relu6":
            self.same(out, source)
            return
        self.raised.pop(source, None)
        self._put(out, Activate(out, self._inputs(source), activation))

    def levels(self, tensor: str, *, largest: float) -> None:
        """Take levels that begin at zero: a kernel whose sums they clamp needs no ReLU for it."""
        made = self.node(tensor)
        if isinstance(made, Conv | Linear | Add) and made.activation == "none":
            self.clamped[made.name] = largest

    def end(self, out: str, source: str, *, together: bool) -> None:
        """Take what makes probabilities."""
        self._put(out, (Softmax if together else Sigmoid)(out, self._inputs(source)))

    # ------------------------------------------------------------ what moves

    def concat(self, out: str, sources: Sequence[str]) -> None:
        """Take a join along channels."""
        self._put(out, Concat(out, self._inputs(*sources)))

    def cut(self, out: str, source: str, start: int, stop: int) -> None:
        """Take some channels."""
        self._put(out, Slice(out, self._inputs(source), start, stop))

    def flatten(self, out: str, source: str) -> None:
        """Take a map as one vector."""
        if len(self.shape(source)) == 1:
            self.same(out, source)
        else:
            self._put(out, Flatten(out, self._inputs(source)))

    def reshape(self, out: str, source: str, shape: Sequence[int]) -> None:
        """Take another shape [N, ...]: a vector, groups of channels and back, or rows, which are not followed."""
        groups = self.groups.get(source)
        if len(shape) == 2:
            self.flatten(out, source)
        elif groups and len(shape) == 4:
            self._put(out, Shuffle(out, self._inputs(source), groups))
        elif len(shape) == 5 or (len(shape) == 4 and self._splits(source, shape)):
            self.same(out, source)
            self.groups[out] = self._groups(source, shape)
        elif len(shape) == 4:
            self._flat_mean_kept(source)
            self.same(out, source)
        else:
            self.rows = True

    def transpose(self, out: str, source: str, order: Sequence[int]) -> None:
        """Take another order of axes: another layout of the same map, or the middle of a shuffle."""
        if source in self.groups or tuple(order) in _LAYOUTS or len(self.shape(source)) == 1:
            self.same(out, source)
        else:
            raise self.error(f"axes in the order {list(order)} are not known")

    def pad(self, out: str, source: str, pads: Pads) -> None:
        """Take a border, which the next window takes in."""
        self.same(out, source)
        self.pads[out] = pads

    # ------------------------------------------------------------ inside

    def _put(self, tensor: str, node: Node) -> None:
        try:
            self.shapes[node.name] = shape_of(node, [self.shapes[name] for name in node.inputs])
        except GraphError as error:
            raise self.error(str(error)) from error
        self.nodes[node.name] = node
        self.names[tensor] = node.name

    def _inputs(self, *tensors: str) -> tuple[str, ...]:
        return tuple(self.names[tensor] for tensor in tensors)

    def _padding(self, source: str, window: Window) -> Pads | Literal["same"]:
        added = self.pads.get(source, NO_PADS)
        if window.padding == "same":
            return "same"
        top, left, bottom, right = (one + other for one, other in zip(added, window.padding, strict=True))
        return top, left, bottom, right

    def _flat_mean_kept(self, tensor: str) -> None:
        """Let a mean keep its height and width of one, where a map is wanted of it."""
        made = self.node(tensor)
        if isinstance(made, GlobalAvgPool) and not made.keep:
            self._put(tensor, replace(made, keep=True))

    def _splits(self, source: str, shape: Sequence[int]) -> bool:
        """Tell whether a shape of four axes splits a map's channels: one that keeps its sides does not."""
        channels, *sides = self.shape(source)
        kept = sorted([channels, *sides]) == sorted(shape[1:])
        return bool(sides) and not kept and max(sides, default=1) > 1

    def _groups(self, source: str, shape: Sequence[int]) -> int:
        channels, *sides = self.shape(source)
        # [N, g, C / g, ...] of maps laid out in planes, [N, ..., g, C / g] of the others.
        found = shape[1] if len(shape) == 4 or list(shape[3:]) == sides else shape[-2]
        if found < 1 or channels % found:
            raise self.error(f"a reshape to {list(shape)} splits no channels")
        return found


def _stand_in(shape: Shape) -> Array:
    """Return zeros without memory."""
    return np.broadcast_to(np.float32(0), shape)
