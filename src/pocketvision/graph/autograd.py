"""The float kernels in PyTorch, [N, C, H, W] or [N, C], so that gradients reach every layer of a graph."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pocketvision.errors import GraphError
from pocketvision.graph.graph import (
    Activate,
    Activation,
    Add,
    Affine,
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
    Pads,
    Shuffle,
    Slice,
    Suppress,
    ToRows,
)

Sums = Callable[[Conv | Linear, Tensor], Tensor]
"""From a layer and what it reads to its sums, bias and all, before its activation."""
Passed = Callable[[Node, Tensor], Tensor]
"""From a node and its value to the value that goes on."""


def logits(graph: Graph, images: NDArray[np.uint8], sums: Sums, passed: Passed = lambda _, value: value) -> Tensor:
    """Answer images [N, R, R, C] with the logits of a float graph, [N, classes]; see `values`."""
    return dict(ends(graph, images, sums, passed))[graph.logits]


def ends(
    graph: Graph, images: NDArray[np.uint8], sums: Sums, passed: Passed = lambda _, value: value
) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors that a graph's endings read, by name: of a detector the codes and logits of each map."""
    wanted = set(graph.ends)
    return (pair for pair in values(graph, images, sums, passed) if pair[0] in wanted)


def said(
    graph: Graph, images: NDArray[np.uint8], sums: Sums, passed: Passed = lambda _, value: value
) -> tuple[Tensor | None, Tensor]:
    """Return the logits, and of a detector before them the codes of its anchors' boxes: [N, 4, L] and [N, K, L]."""
    last = graph.nodes[-1]
    if not isinstance(last, Suppress):
        return None, logits(graph, images, sums, passed)
    found = dict(ends(graph, images, sums, passed))
    codes, classes = (torch.cat([found[end] for end in _made_of(graph, name)], 2) for name in last.inputs)
    return codes, classes


def _made_of(graph: Graph, name: str) -> list[str]:
    """Return the names of what the layers give that an ending was made of, in order."""
    node = next(node for node in graph.nodes if node.name == name)
    if not isinstance(node, Ending):
        return [name]
    return [end for source in node.inputs for end in _made_of(graph, source)]


def values(
    graph: Graph, images: NDArray[np.uint8], sums: Sums, passed: Passed = lambda _, value: value
) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor of a float graph up to its endings by name, [N, C, H, W], [N, C] or rows [N, values, L].

    `sums` runs the layers with weights, so that it may look at what they read, or give them other weights; `sums_of`
    runs them as they are.
    """
    alive: dict[str, Tensor] = {}
    last_use = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    for index, node in enumerate(graph.nodes):
        if isinstance(node, Ending):
            continue
        inputs = [alive[name] for name in node.inputs]
        alive[node.name] = passed(node, _run(graph, node, inputs, images, sums))
        yield node.name, alive[node.name]
        del inputs
        alive = {name: value for name, value in alive.items() if last_use.get(name, -1) > index}


def sums_of(graph: Graph, node: Conv | Linear, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return a layer's sums under weights and biases of its shapes."""
    if isinstance(node, Linear):
        return functional.linear(x, weight, bias)
    return functional.conv2d(around(x, graph.pads(node)), weight, bias, stride=node.stride, groups=node.groups)


def around(x: Tensor, pads: Pads, value: float = 0.0) -> Tensor:
    """Return x with a border of `value`."""
    top, left, bottom, right = pads
    return functional.pad(x, (left, right, top, bottom), value=value) if any(pads) else x


def _run(graph: Graph, node: Node, inputs: list[Tensor], images: NDArray[np.uint8], sums: Sums) -> Tensor:
    match node:
        case Input():
            return _image(node, images)
        case Conv() | Linear():
            return _activated(sums(node, inputs[0]), node.activation)
        case Add():
            return _activated(inputs[0] + inputs[1], node.activation)
        case Mul():
            return inputs[0] * inputs[1]
        case Activate():
            return _activated(inputs[0], node.activation, node.slope)
        case Affine():
            weight, bias = (torch.from_numpy(np.asarray(each, np.float32)) for each in (node.weight, node.bias))
            ones = (-1,) + (1,) * (inputs[0].ndim - 2)
            return _activated(inputs[0] * weight.view(ones) + bias.view(ones), node.activation)
        case Concat():
            return torch.cat(inputs, 1)
    return _of_one(graph, node, inputs[0])


def _of_one(graph: Graph, node: Node, x: Tensor) -> Tensor:
    match node:
        case MaxPool():
            return _max_pool(node, x, graph.pads(node), graph.shapes[node.name])
        case AvgPool():
            return _avg_pool(node, x, graph.pads(node))
        case GlobalAvgPool():
            return x.mean((2, 3), keepdim=node.keep)
        case Slice():
            return x[:, node.start : node.stop]
        case Shuffle():
            return x.view(len(x), node.groups, -1, *x.shape[2:]).transpose(1, 2).reshape(x.shape)
        case Flatten():
            return x.flatten(1)
        case ToRows():
            return x.permute(0, 2, 3, 1).reshape(len(x), -1, node.values).transpose(1, 2)
        case LocalNorm():
            return functional.local_response_norm(x, node.size, node.alpha, node.beta, node.k)
    raise GraphError(f"no gradients are known through {type(node).__name__} ('{node.name}')")


def _image(node: Input, images: NDArray[np.uint8]) -> Tensor:
    pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float() / 255
    mean, deviation = (torch.tensor(values, dtype=torch.float32)[:, None, None] for values in (node.mean, node.std))
    return (pixels - mean) / deviation


def _max_pool(node: MaxPool, x: Tensor, pads: Pads, shape: tuple[int, ...]) -> Tensor:
    top, left, bottom, right = pads
    tall, wide = (
        (count - 1) * step + size for count, step, size in zip(shape[1:], node.stride, node.kernel, strict=True)
    )
    below, beyond = max(bottom, tall - top - x.shape[2]), max(right, wide - left - x.shape[3])
    pooled: Tensor = functional.max_pool2d(
        around(x, (top, left, below, beyond), float("-inf")), node.kernel, node.stride
    )
    return pooled


def _avg_pool(node: AvgPool, x: Tensor, pads: Pads) -> Tensor:
    pooled = functional.avg_pool2d(around(x, pads), node.kernel, node.stride)
    if node.count_padding or not any(pads):
        return pooled
    inside = functional.avg_pool2d(around(torch.ones_like(x[:1, :1]), pads), node.kernel, node.stride)
    return pooled / inside


def _activated(x: Tensor, activation: Activation, slope: float = 0.0) -> Tensor:
    if activation == "leaky_relu":
        return functional.leaky_relu(x, slope)
    return x if activation == "none" else _ACTIVATIONS[activation](x)


_ACTIVATIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "relu6": functional.relu6,
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
}
