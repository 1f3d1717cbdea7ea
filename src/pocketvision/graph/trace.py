"""A torch net becomes an inference graph: batch norm folded, activations fused, dropout gone."""

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from pocketvision.errors import GraphError
from pocketvision.graph.graph import (
    Activate,
    Add,
    Array,
    Clamp,
    Concat,
    Conv,
    GlobalAvgPool,
    Graph,
    Input,
    Linear,
    MaxPool,
    Node,
    Softmax,
)
from pocketvision.models.blocks import Conv2dSame
from pocketvision.models.catalogue import build_spec
from pocketvision.values import ImageSpec, ModelSpec


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Conv2dSame) or super().is_leaf_module(m, module_qualified_name)


def trace(net: nn.Module, image: ImageSpec) -> Graph:
    """Turn a classifier in eval mode into a graph from uint8 picture to probabilities.

    `net` maps normalised [N, 3, R, R] to logits [N, classes]. Works on the meta device too: the weights are then
    empty stand-ins of the right shape, good for counting. Raises GraphError for a layer without a kernel.
    """
    assert not net.training, "trace a net in eval mode"
    builder = _Builder(dict(net.named_modules()), image)
    for step in _Tracer().trace(net).nodes:
        builder.take(step)
    return Graph(tuple(builder.finish()))


def array(tensor: torch.Tensor) -> Array:
    """Return a float32 array, or a stand-in without memory for a tensor on the meta device."""
    if tensor.is_meta:
        return np.broadcast_to(np.float32(0), tuple(tensor.shape))
    return tensor.detach().cpu().float().numpy()


class _Builder:
    """Walks the traced steps; `made` maps each step to the graph node that holds its value."""

    def __init__(self, modules: dict[str, nn.Module], image: ImageSpec) -> None:
        self.modules = modules
        self.image = image
        self.nodes: dict[str, Node] = {}
        self.made: dict[fx.Node, str] = {}

    def take(self, step: fx.Node) -> None:
        if step.op == "placeholder":
            self._put(step, Input("image", (), self.image.resolution, self.image.mean, self.image.std))
        elif step.op == "call_module":
            self._module(step, self.modules[str(step.target)])
        elif step.op in ("call_function", "call_method"):
            self._function(step)
        elif step.op == "output":
            logits = self.made[step.args[0]]  # type: ignore[index]
            self.nodes["probabilities"] = Softmax("probabilities", (logits,))
        else:
            raise GraphError(f"the graph has no kernel for {step.op} '{step.target}'")

    def finish(self) -> list[Node]:
        return list(self.nodes.values())

    def _put(self, step: fx.Node, node: Node) -> None:
        self.nodes[node.name] = node
        self.made[step] = node.name

    def _same_as(self, step: fx.Node, source: Any) -> None:
        self.made[step] = self.made[source]

    def _inputs(self, step: fx.Node) -> tuple[str, ...]:
        first = step.args[0]
        steps = first if isinstance(first, list | tuple) else [a for a in step.args if isinstance(a, fx.Node)]
        return tuple(self.made[item] for item in steps)  # type: ignore[index]

    def _module(self, step: fx.Node, module: nn.Module) -> None:
        name, inputs = str(step.target), self._inputs(step)
        match module:
            case nn.Dropout() | nn.Identity() | nn.Flatten():
                self._same_as(step, step.args[0])
            case nn.Conv2d():
                self._put(step, _conv(name, inputs, module))
            case nn.Linear():
                bias = _bias(module.bias, module.out_features)
                learned = module.weight.numel() + (module.out_features if module.bias is not None else 0)
                self._put(step, Linear(name, inputs, array(module.weight), bias, "none", learned))
            case nn.BatchNorm2d():
                self._replace(step, lambda node: _fold(node, module))
            case nn.ReLU6() | nn.ReLU():
                self._activate(step, "relu6" if isinstance(module, nn.ReLU6) else "relu")
            case nn.MaxPool2d() if module.padding == 0 and module.dilation == 1:
                kernel, stride = _square(module.kernel_size), _square(module.stride)
                self._put(step, MaxPool(name, inputs, (kernel, kernel), (stride, stride), module.ceil_mode))
            case nn.AdaptiveAvgPool2d() if module.output_size in (1, (1, 1)):
                self._put(step, GlobalAvgPool(name, inputs))
            case _:
                raise GraphError(f"the graph has no kernel for {type(module).__name__} ('{name}')")

    def _function(self, step: fx.Node) -> None:
        target, inputs = step.target, self._inputs(step)
        if target in (operator.add, torch.add):
            self._put(step, Add(step.name, inputs, "none"))
        elif target is torch.cat and _argument(step, 1, "dim", 0) == 1:
            self._put(step, Concat(step.name, inputs))
        elif target is nn.functional.adaptive_avg_pool2d and _argument(step, 1, "output_size", None) in (1, (1, 1)):
            self._put(step, GlobalAvgPool(step.name, inputs))
        elif target is torch.flatten:
            self._same_as(step, step.args[0])
        elif target in (nn.functional.relu, nn.functional.relu6):
            self._activate(step, "relu" if target is nn.functional.relu else "relu6")
        else:
            raise GraphError(f"the graph has no kernel for {target}")

    def _replace(self, step: fx.Node, change: Callable[[Node], Node]) -> None:
        """Change the producer of the step's input in place; it must have no other reader."""
        source = step.args[0]
        assert isinstance(source, fx.Node)
        if len(source.users) > 1:
            raise GraphError(f"'{step.target}' cannot be folded: its input is read elsewhere too")
        name = self.made[source]
        self.nodes[name] = change(self.nodes[name])
        self.made[step] = name

    def _activate(self, step: fx.Node, activation: Clamp) -> None:
        source = step.args[0]
        assert isinstance(source, fx.Node)
        producer = self.nodes[self.made[source]]
        if isinstance(producer, Conv | Linear | Add) and producer.activation == "none" and len(source.users) == 1:
            self._replace(step, lambda node: replace(node, activation=activation))  # type: ignore[call-arg]
        else:
            self._put(step, Activate(step.name, (producer.name,), activation))


def _argument(step: fx.Node, place: int, name: str, default: object) -> object:
    return step.args[place] if len(step.args) > place else step.kwargs.get(name, default)


def _square(size: Any) -> int:
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise GraphError(f"only square pooling windows are known, not {size}")
    return int(sides.pop())


def _bias(bias: torch.Tensor | None, outputs: int) -> Array:
    return np.zeros(outputs, np.float32) if bias is None else array(bias)


def _conv(name: str, inputs: tuple[str, ...], module: nn.Conv2d) -> Conv:
    if module.dilation != (1, 1) or module.padding_mode != "zeros" or isinstance(module.padding, str):
        raise GraphError(f"'{name}': dilated, reflecting or named padding convolutions have no kernel yet")
    top, left = module.padding
    return Conv(
        name,
        inputs,
        weight=array(module.weight),
        bias=_bias(module.bias, module.out_channels),
        stride=(module.stride[0], module.stride[1]),
        padding="same" if isinstance(module, Conv2dSame) else (top, left, top, left),
        groups=module.groups,
        activation="none",
        learned=module.weight.numel() + (0 if module.bias is None else module.bias.numel()),
    )


def _fold(node: Node, norm: nn.BatchNorm2d) -> Node:
    if not isinstance(node, Conv) or node.activation != "none":
        raise GraphError(f"a batch norm can be folded into a convolution only, not into '{node.name}'")
    learned = node.learned + 2 * norm.num_features
    if norm.weight.is_meta:
        return replace(node, learned=learned, norm=2 * norm.num_features)
    assert norm.running_var is not None
    assert norm.running_mean is not None
    # In double, so that folding costs no accuracy where a variance is tiny.
    factor = (norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)).detach().cpu().numpy()
    mean, beta = norm.running_mean.double().cpu().numpy(), norm.bias.detach().double().cpu().numpy()
    weight = node.weight.astype(np.float64) * factor[:, None, None, None]
    bias = (node.bias.astype(np.float64) - mean) * factor + beta
    folded = weight.astype(np.float32), bias.astype(np.float32)
    return replace(node, weight=folded[0], bias=folded[1], learned=learned, norm=2 * norm.num_features)


def trace_spec(spec: ModelSpec, image: ImageSpec | None = None) -> Graph:
    """Trace a net of the catalogue without its weights, for counting: nothing of their size is allocated."""
    with torch.device("meta"):
        net = build_spec(spec).eval()
    return trace(net, image or ImageSpec(spec.resolution))
