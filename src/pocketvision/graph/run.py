"""The numpy reference: what a runtime should answer for a graph, in float or in integers.

Slow beside a runtime, but it needs nothing besides numpy, shows every tensor, and its integers are exact.
Arrays are [N, H, W, C] inside, so that a pointwise convolution is one matrix product.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import GraphError
from pocketvision.graph import integer
from pocketvision.graph.graph import (
    Activate,
    Activation,
    Add,
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
from pocketvision.graph.sums import Tensor, convolve, padded, taps

Images = NDArray[np.uint8]
_VALUES_AT_ONCE = 2**22  # of the largest tensor: beyond the caches a larger batch is no faster


def run(graph: Graph, images: Images) -> NDArray[np.float32]:
    """Answer images [N, R, R, 3] with the output tensor [N, classes]; exact integers where the graph is quantised."""
    outputs = [output for batch in batches(graph, images) for output in _last(graph, batch)]
    return np.concatenate(outputs) if outputs else np.zeros((0, *graph.shapes[graph.output]), np.float32)


def batches(graph: Graph, images: Images) -> list[Images]:
    """Cut images into batches whose largest tensor stays small."""
    largest = max(int(np.prod(shape)) for shape in graph.shapes.values())
    size = max(1, _VALUES_AT_ONCE // largest)
    return [images[start : start + size] for start in range(0, len(images), size)]


def activations(graph: Graph, images: Images) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor by name in running order, as [N, C, H, W] or [N, C]; each is dropped after its last use.

    Float tensors are float32; those of a quantised graph are uint8 up to the softmax.
    """
    for name, tensor in _tensors(graph, images):
        yield name, tensor.transpose(0, 3, 1, 2) if tensor.ndim == 4 else tensor


def _last(graph: Graph, images: Images) -> Iterator[NDArray[np.float32]]:
    for name, tensor in _tensors(graph, images):
        if name == graph.output:
            quant = (graph.quant or {}).get(name)
            yield integer.dequantize(tensor, quant) if quant else tensor


def _tensors(graph: Graph, images: Images) -> Iterator[tuple[str, Tensor]]:
    size = graph.input.resolution
    if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3):
        raise GraphError(f"the net takes uint8 images [N, {size}, {size}, 3], not {images.dtype} {images.shape}")
    last_use = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    alive: dict[str, Tensor] = {}
    for index, node in enumerate(graph.nodes):
        inputs = [alive[name] for name in node.inputs] or [images]
        alive[node.name] = _real(graph, node, inputs) if graph.quant is None else _integer(graph, node, inputs)
        yield node.name, alive[node.name]
        del inputs
        alive = {name: tensor for name, tensor in alive.items() if last_use.get(name, -1) > index}


def _real(graph: Graph, node: Node, inputs: list[Tensor]) -> Tensor:
    x = inputs[0]
    match node:
        case Input():
            scale, shift = 1 / (255 * np.array(node.std)), np.array(node.mean) / np.array(node.std)
            picture: Tensor = x * scale.astype(np.float32) - shift.astype(np.float32)
            return picture
        case Conv():
            sums = convolve(x, node.weight, stride=node.stride, pads=graph.pads(node), groups=node.groups)
            sums += node.bias
            return _activated(sums, node.activation)
        case Linear():
            return _activated(x @ node.weight.T + node.bias, node.activation)
        case Add():
            return _activated(x + inputs[1], node.activation)
        case GlobalAvgPool():
            averages: Tensor = x.mean(axis=(1, 2))
            return averages
        case Activate():
            return _activated(x.copy(), node.activation)
        case Softmax():
            return softmax(x)
    return _moved(graph, node, inputs)


def _integer(graph: Graph, node: Node, inputs: list[Tensor]) -> Tensor:
    assert graph.quant is not None
    x = inputs[0]
    if isinstance(node, Input):
        return x
    sources = [graph.quant[name] for name in node.inputs]
    if isinstance(node, Softmax):
        return softmax(integer.dequantize(x, sources[0]))
    source, target = sources[0], graph.quant[node.name]
    match node:
        case Conv():
            return integer.conv(node, x, graph.pads(node), source=source, target=target)
        case Linear():
            return integer.linear(node, x, source=source, target=target)
        case Add():
            return integer.add(inputs, sources=sources, target=target, activation=node.activation)
        case GlobalAvgPool():
            return integer.global_mean(x, source=source, target=target)
        case Activate():
            return integer.quantize(_activated(integer.dequantize(x, source), node.activation), target)
    moved = [integer.rescale(levels, quant, target) for levels, quant in zip(inputs, sources, strict=True)]
    return _moved(graph, node, moved)


def _moved(graph: Graph, node: Node, inputs: list[Tensor]) -> Tensor:
    match node:
        case Concat():
            return np.concatenate(inputs, axis=-1)
        case MaxPool():
            return _max_pool(node, inputs[0], graph.shapes[node.name][1:])
    raise GraphError(f"the reference has no kernel for {type(node).__name__} ('{node.name}')")


def _max_pool(node: MaxPool, x: Tensor, pooled: tuple[int, ...]) -> Tensor:
    needed = [(steps - 1) * step + size for steps, step, size in zip(pooled, node.stride, node.kernel, strict=True)]
    bottom, right = (max(0, size - had) for size, had in zip(needed, x.shape[1:3], strict=True))
    x = padded(x, (0, 0, bottom, right), 0 if x.dtype == np.uint8 else -np.inf)
    first, *others = taps(x, node.kernel, node.stride)
    best = first.copy()
    for view in others:
        np.maximum(best, view, out=best)
    return best


def _activated(x: Tensor, activation: Activation) -> Tensor:
    if activation == "none":
        return x
    return np.maximum(x, 0, out=x) if activation == "relu" else np.clip(x, 0, 6, out=x)


def softmax(logits: Tensor) -> NDArray[np.float32]:
    """Return probabilities over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float32] = (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)
    return probabilities
