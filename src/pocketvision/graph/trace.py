"""A torch net becomes an inference graph: batch norm folded, activations fused, dropout gone."""

import operator
from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean
from typing import Any

import torch
from torch import fx, nn
from torch.overrides import TorchFunctionMode

from pocketvision.graph.endings import Ends, softmax_ending
from pocketvision.graph.graph import (
    Add,
    Affine,
    Concat,
    Conv,
    GlobalAvgPool,
    Graph,
    Input,
    JoinRows,
    Linear,
    Mul,
    Node,
    Shape,
    Slice,
    shape_of,
)
from pocketvision.graph.layers import LEAVES, Place, layer, module_of, unknown
from pocketvision.graph.simplify import simplify
from pocketvision.models.catalogue import build_spec
from pocketvision.models.ssd import JoinAnswers
from pocketvision.values import ImageSpec, ModelSpec

_SUMS = {operator.add, operator.iadd, torch.add, "add", "add_"}
_PRODUCTS = {operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_"}

ROWS = 2
"""Axes of rows, [values, L]; maps have three, vectors one."""
_DRAWING = {"normal_", "uniform_", "fill_", "zero_", "kaiming_normal_", "kaiming_uniform_", "trunc_normal_"}


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (*LEAVES, JoinAnswers)) or super().is_leaf_module(m, module_qualified_name)


def trace(net: nn.Module, image: ImageSpec, ending: Ends = softmax_ending) -> Graph:
    """Turn a net in eval mode into a graph from uint8 example to answers.

    `net` maps normalized [N, C, R, R] to logits [N, classes], and `ending` those to probabilities; a detector gives
    codes and logits, and its ending makes boxes of them. Works on the meta
    device too: the weights are then empty stand-ins of the right shape, good for counting. Raises GraphError for a
    layer without a kernel.
    """
    assert not net.training, "trace a net in eval mode"
    return _Builder(net, image, ending).graph()


def trace_spec(spec: ModelSpec, image: ImageSpec | None = None, ending: Ends = softmax_ending) -> Graph:
    """Trace a net of the catalogue without its weights, for counting: nothing of their size is allocated."""
    with torch.device("meta"), _Undrawn():
        net = build_spec(spec).eval()
    return trace(net, image or ImageSpec(spec.resolution), ending)


class _Undrawn(TorchFunctionMode):
    """Leaves out the drawing of fresh weights: on the meta device it takes most of the time and gives nothing."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in _DRAWING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def _image(net: nn.Module, image: ImageSpec) -> Input:
    """Return the input; for other than three channels every channel is normalized by the average of the three."""
    channels = next((module.in_channels for module in net.modules() if isinstance(module, nn.Conv2d)), 3)
    if channels == len(image.mean):
        return Input("image", (), image.resolution, image.mean, image.std)
    return Input("image", (), image.resolution, (fmean(image.mean),) * channels, (fmean(image.std),) * channels)


class _Builder:
    """Walks the traced steps; `made` maps each step to the graph node that holds its value."""

    def __init__(self, net: nn.Module, image: ImageSpec, ending: Ends = softmax_ending) -> None:
        self.steps = _Tracer().trace(net)
        self.ending = ending
        self.modules = dict(net.named_modules())
        self.example = _image(net, image)
        self.nodes: dict[str, Node] = {}
        self.shapes: dict[str, Shape] = {}
        self.made: dict[fx.Node, str] = {}
        self.met: set[nn.Module] = set()
        self.joined: dict[fx.Node, tuple[str, ...]] = {}

    def graph(self) -> Graph:
        """Return the whole graph."""
        for step in self.steps.nodes:
            self.take(step)
        return Graph(tuple(simplify(self.nodes.values())))

    def take(self, step: fx.Node) -> None:
        """Turn one step into a node, or into none where it does nothing in eval mode."""
        if step.op == "placeholder" and not self.nodes:
            self._put(step, self.example)
        elif step.op == "call_module":
            self._layer(step, self.modules[str(step.target)], str(step.target))
        elif step.op in ("call_function", "call_method"):
            self._function(step)
        elif step.op == "output" and isinstance(step.args[0], fx.Node):
            last = step.args[0]
            for node in self.ending(self.joined.get(last) or (self.made[last],)):
                self._put(step, node)
        else:
            raise unknown(step.op, str(step.target))

    def _put(self, step: fx.Node, node: Node) -> None:
        if node.name in self.nodes:  # a module that runs twice
            node = replace(node, name=step.name)
        self.shapes[node.name] = shape_of(node, [self.shapes[name] for name in node.inputs])
        self.nodes[node.name] = node
        self.made[step] = node.name

    def _inputs(self, step: fx.Node) -> tuple[str, ...]:
        return tuple(self.made[source] for source in _sources(step) if source in self.made)

    def _layer(self, step: fx.Node, module: nn.Module, name: str) -> None:
        inputs = self._inputs(step)
        if isinstance(module, JoinAnswers):
            self.joined[step] = inputs
            return
        if len(inputs) != 1:
            raise unknown(type(module).__name__, name)
        node = layer(module, Place(name, inputs, self.shapes[inputs[0]]))
        if node is None:
            self.made[step] = inputs[0]
            return
        if module in self.met and isinstance(node, Conv | Linear | Affine):
            node = replace(node, learned=0)  # its weights are counted where it runs first
        self.met.add(module)
        self._put(step, node)

    def _function(self, step: fx.Node) -> None:
        target, inputs = step.target, self._inputs(step)
        pair = len(inputs) == 2 and not step.kwargs
        if target in _SUMS and pair:
            self._put(step, Add(step.name, inputs, "none"))
        elif target in _PRODUCTS and pair:
            narrow_last = sorted(inputs, key=lambda name: self.shapes[name][1:] == (1, 1))
            self._put(step, Mul(step.name, tuple(narrow_last)))
        elif target is torch.cat and _argument(step, 1, "dim", 0) in (1, -len(self.shapes[inputs[0]])):
            flat = len(self.shapes[inputs[0]]) == ROWS
            self._put(step, JoinRows(step.name, inputs) if flat else Concat(step.name, inputs))
        elif target is operator.getitem and (channels := _channels(step)):
            bounds = channels.indices(self.shapes[inputs[0]][0])
            self._put(step, Slice(step.name, inputs, *bounds[:2]))
        elif target in (torch.mean, "mean") and _argument(step, 1, "dim", None) in ([2, 3], (2, 3), [-2, -1], (-2, -1)):
            self._put(step, GlobalAvgPool(step.name, inputs, bool(_argument(step, 2, "keepdim", False))))
        else:
            self._layer(step, module_of(step), step.name)


def _sources(step: fx.Node) -> Iterator[fx.Node]:
    for argument in (*step.args, *step.kwargs.values()):
        for item in argument if isinstance(argument, list | tuple) else (argument,):
            if isinstance(item, fx.Node):
                yield item


def _argument(step: fx.Node, place: int, name: str, default: object) -> object:
    return step.args[place] if len(step.args) > place else step.kwargs.get(name, default)


def _channels(step: fx.Node) -> slice | None:
    """Return the channels that `maps[:, start:stop]` takes; None for any other use of brackets."""
    match step.args[1]:
        case (slice(start=None, stop=None, step=None), slice(step=None) as channels):
            return channels
    return None
