"""The numpy reference: what a runtime should answer for a graph, in float or in integers.

Slow beside a runtime, but it needs nothing besides numpy, shows every tensor, and its integers are exact.
Arrays are [N, H, W, C] inside, rows [N, L, values], so that a pointwise convolution is one matrix product.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import GraphError
from pocketvision.graph import boxes, integer, real
from pocketvision.graph.graph import (
    Activate,
    Add,
    Affine,
    AvgPool,
    Conv,
    Ending,
    GlobalAvgPool,
    Graph,
    Input,
    JoinRows,
    Linear,
    LocalNorm,
    MaxPool,
    Mul,
    Node,
    Quant,
    Sigmoid,
    Softmax,
    Suppress,
)
from pocketvision.graph.integer import Rounding
from pocketvision.graph.moves import is_move, max_pool, move
from pocketvision.graph.sums import Tensor, convolve

Images = NDArray[np.uint8]
_VALUES_AT_ONCE = 2**22  # of the largest tensor: beyond the caches a larger batch is no faster


def run(graph: Graph, images: Images, *, rounding: Rounding = integer.ONNXRUNTIME) -> NDArray[np.float32]:
    """Answer images [N, R, R, C] with the output tensor [N, classes]; exact integers where the graph is quantized.

    `rounding` says as which runtime a quantized graph rounds; `fixed.py` has others.
    """
    outputs = [output for batch in batches(graph, images) for output in _last(graph, batch, rounding)]
    return np.concatenate(outputs) if outputs else np.zeros((0, *graph.shapes[graph.output]), np.float32)


def batches(graph: Graph, images: Images) -> list[Images]:
    """Cut images into batches whose largest tensor stays small."""
    largest = max(int(np.prod(shape)) for shape in graph.shapes.values())
    size = max(1, _VALUES_AT_ONCE // largest)
    return [images[start : start + size] for start in range(0, len(images), size)]


def activations(
    graph: Graph, images: Images, *, rounding: Rounding = integer.ONNXRUNTIME
) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor by name in running order, as [N, C, H, W], [N, C] or [N, values, L]; each is dropped after its
    last use.

    Float tensors are float32; those of a quantized graph are uint8 up to the endings.
    """
    for name, tensor in tensors(graph, images, rounding=rounding):
        yield name, np.moveaxis(tensor, -1, 1)


def _last(graph: Graph, images: Images, rounding: Rounding) -> Iterator[NDArray[np.float32]]:
    for name, tensor in tensors(graph, images, rounding=rounding):
        if name == graph.output:
            quant = (graph.quant or {}).get(name)
            yield integer.dequantize(tensor, quant) if quant else tensor


def tensors(graph: Graph, images: Images, *, rounding: Rounding = integer.ONNXRUNTIME) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor by name in running order, as [N, H, W, C] or [N, C]."""
    size, channels = graph.input.resolution, len(graph.input.mean)
    if images.dtype != np.uint8 or images.shape[1:] != (size, size, channels):
        wanted = f"[N, {size}, {size}, {channels}]"
        raise GraphError(f"the net takes uint8 images {wanted}, not {images.dtype} {images.shape}")
    last_use = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    alive: dict[str, Tensor] = {}
    for index, node in enumerate(graph.nodes):
        inputs = [alive[name] for name in node.inputs] or [images]
        alive[node.name] = kernel(graph, node, inputs, rounding=rounding)
        yield node.name, alive[node.name]
        del inputs
        alive = {name: tensor for name, tensor in alive.items() if last_use.get(name, -1) > index}


def kernel(graph: Graph, node: Node, inputs: list[Tensor], *, rounding: Rounding = integer.ONNXRUNTIME) -> Tensor:
    """Run one node on what it reads, [N, H, W, C] or [N, C], or on the images; in levels where quantized."""
    return _real(graph, node, inputs) if graph.quant is None else _integer(graph, node, inputs, rounding)


def rerun(graph: Graph, before: Mapping[str, Tensor], name: str, value: Tensor) -> Mapping[str, Tensor]:
    """Return the tensors that change when one tensor is `value`; `before` holds all of them as `tensors` gave them."""
    changed = {name: value}
    for node in graph.nodes:
        if any(source in changed for source in node.inputs):
            changed[node.name] = kernel(
                graph, node, [changed[source] if source in changed else before[source] for source in node.inputs]
            )
    return changed


def _real(graph: Graph, node: Node, inputs: list[Tensor]) -> Tensor:
    x = inputs[0]
    match node:
        case Conv():
            sums = convolve(x, node.weight, stride=node.stride, pads=graph.pads(node), groups=node.groups)
            sums += node.bias
            return real.activated(sums, node.activation)
        case Linear():
            return real.activated(x @ node.weight.T + node.bias, node.activation)
        case Affine():
            return real.activated(x * node.weight + node.bias, node.activation)
        case Add():
            return real.activated(x + inputs[1], node.activation)
        case Mul():
            product: Tensor = x * inputs[1]
            return product
        case AvgPool():
            return real.average(node, x, graph.pads(node))
        case GlobalAvgPool():
            averages: Tensor = x.mean(axis=(1, 2), keepdims=node.keep)
            return averages
    return _alone(graph, node, inputs)


def _alone(graph: Graph, node: Node, inputs: list[Tensor]) -> Tensor:
    """Run a float kernel without weights or sums; the integer reference uses them too."""
    x = inputs[0]
    match node:
        case Input():
            return real.image(node, x)
        case Activate():
            return real.activated(x.copy(), node.activation, node.slope)
        case LocalNorm():
            return real.local_norm(node, x)
        case Ending():
            return _ended(node, inputs)
        case MaxPool():
            return max_pool(node, x, graph.pads(node), graph.shapes[node.name][1:])
    if is_move(node):
        return move(node, inputs)
    raise GraphError(f"the reference has no kernel for {type(node).__name__} ('{node.name}')")


def _ended(node: Ending, inputs: list[Tensor]) -> Tensor:
    match node:
        case Softmax():
            return real.softmax(inputs[0])
        case Sigmoid():
            return real.sigmoid(inputs[0])
        case JoinRows():
            return np.concatenate(inputs, axis=1)
        case Suppress():
            return boxes.suppressed(node, *inputs)
    raise GraphError(f"the reference has no kernel for {type(node).__name__} ('{node.name}')")


def _integer(graph: Graph, node: Node, inputs: list[Tensor], rounding: Rounding) -> Tensor:
    assert graph.quant is not None
    if isinstance(node, Input):
        return inputs[0]
    if isinstance(node, Ending):
        quants = [graph.quant.get(name) for name in node.inputs]
        pairs = zip(inputs, quants, strict=True)
        return _ended(node, [integer.dequantize(levels, quant) if quant else levels for levels, quant in pairs])
    sources = [graph.quant[name] for name in node.inputs]
    target = graph.quant[node.name]
    if isinstance(node, MaxPool) or is_move(node):
        moved = [integer.rescale(levels, quant, target) for levels, quant in zip(inputs, sources, strict=True)]
        return _alone(graph, node, moved)
    if isinstance(node, Activate) and node.activation == "hardsigmoid" and integer.clamps("hardsigmoid", target):
        return integer.hardsigmoid(inputs[0], source=sources[0], target=target, rounding=rounding)
    if isinstance(node, Activate | LocalNorm):
        return integer.quantize(_alone(graph, node, [integer.dequantize(inputs[0], sources[0])]), target)
    return _summed(graph, node, inputs, (*sources, target), rounding)


def _summed(graph: Graph, node: Node, inputs: list[Tensor], quants: tuple[Quant, ...], rounding: Rounding) -> Tensor:
    """Run an integer kernel that computes sums; `quants` are those of its inputs and, last, of its output."""
    x, (*sources, target) = inputs[0], quants
    match node:
        case Conv():
            return integer.conv(node, x, graph.pads(node), source=sources[0], target=target, rounding=rounding)
        case Linear():
            return integer.linear(node, x, source=sources[0], target=target, rounding=rounding)
        case Add():
            return integer.add(inputs, sources=sources, target=target, activation=node.activation, rounding=rounding)
        case Mul():
            return integer.multiply(inputs, sources=sources, target=target, rounding=rounding)
        case AvgPool():
            return integer.average(node, x, graph.pads(node), source=sources[0], target=target)
        case GlobalAvgPool():
            return integer.global_mean(x, source=sources[0], target=target, rounding=rounding, keep=node.keep)
        case Affine():
            raise GraphError(f"'{node.name}': an Affine becomes a convolution before it is quantized")
    raise GraphError(f"the reference has no integer kernel for {type(node).__name__} ('{node.name}')")
