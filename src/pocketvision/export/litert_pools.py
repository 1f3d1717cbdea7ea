"""Pools for LiteRT files, whose own pad by fewer rules than nets do: what they lack becomes a border or a product.

Local norms, too, are sums of neighbors.
"""

from typing import TYPE_CHECKING

import numpy as np

from pocketvision.errors import GraphError
from pocketvision.export.litert_file import TensorScale
from pocketvision.export.tables import Field
from pocketvision.graph.graph import AvgPool, Graph, LocalNorm, MaxPool, Pads, Quant, Shape, same_pads
from pocketvision.graph.real import window_sizes

if TYPE_CHECKING:
    from pocketvision.export.litert import _Writer

_VALID = 1


def pool(writer: "_Writer", node: MaxPool | AvgPool, x: int, quant: Quant | None) -> int:
    """Write a pool over windows; return its output's place."""
    return _max_pool(writer, node, x, quant) if isinstance(node, MaxPool) else _average_pool(writer, node, x, quant)


def _max_pool(writer: "_Writer", node: MaxPool, x: int, quant: Quant | None) -> int:
    """Write a max pool; what is padded never wins.

    A border of zeros is enough where no value is below zero. TensorFlow's own padding is left out of the maximum.
    """
    shape = writer.graph.shapes[node.inputs[0]]
    pads = _reached(node, writer.graph.pads(node), shape, writer.graph.shapes[node.name])
    size = (shape[1], shape[2])
    if any(pads) and pads != same_pads(size, node.kernel, node.stride):
        x = writer.padded(x, pads, lowest=not not_negative(writer.graph, node.inputs[0], quant))
        pads = (0, 0, 0, 0)
    _, rule = writer.window(x, pads, size, node.kernel, node.stride)
    return writer.file.operator("MAX_POOL_2D", [x], writer.named(node, quant), *_options(node, rule))


def _average_pool(writer: "_Writer", node: AvgPool, x: int, quant: Quant | None) -> int:
    """Write an average pool: padded with zeros, then corrected where those do not count.

    In integers it is a depthwise convolution with equal weights, which rounds once and may change the scale.
    """
    shape, pads = writer.graph.shapes[node.inputs[0]], writer.graph.pads(node)
    out = writer.result(writer.graph.shapes[node.name], quant)
    if quant is None:
        x = writer.padded(x, pads) if any(pads) else x
        writer.file.operator("AVERAGE_POOL_2D", [x], out, *_options(node, _VALID))
    else:
        _integer_average(writer, node, x, out)
    counts = window_sizes(node, shape[1:], pads, np.dtype(np.float32))
    if counts.ndim == 0:
        return out
    factors = (node.kernel[0] * node.kernel[1] / counts).astype(np.float32)
    constant = writer.file.constant(factors) if quant is None else _levels(writer, factors)
    return writer.file.operator("MUL", [out, constant], writer.named(node, quant))


def local_norm(writer: "_Writer", node: LocalNorm, x: int) -> int:
    """Write the sum over channels as a convolution; x^-3/4, the usual power, as two roots, which run fast."""
    shape, file = writer.graph.shapes[node.name], writer.file
    if node.beta != 0.75:
        raise GraphError(f"'{node.name}' is a local norm with beta {node.beta:g}; files hold 0.75 only")
    channels = np.arange(shape[0])
    band = np.abs(channels[:, None] - channels) <= node.size // 2
    weight = file.constant((band[:, None, None] * node.alpha / node.size).astype(np.float32))
    bias = file.constant(np.full(shape[0], node.k, np.float32))
    squares = file.operator("MUL", [x, x], writer.result(shape, None))
    steps = [Field(slot, "int32", 1) for slot in (1, 2)]
    total = file.operator("CONV_2D", [squares, weight, bias], writer.result(shape, None), *steps)
    half = file.operator("RSQRT", [total], writer.result(shape, None))
    quarter = file.operator("SQRT", [half], writer.result(shape, None))
    power = file.operator("MUL", [half, quarter], writer.result(shape, None))
    return file.operator("MUL", [x, power], writer.named(node, None))


def not_negative(graph: Graph, name: str, quant: Quant | None) -> bool:
    """Tell whether no value of a tensor can be below zero: its levels or the kernel that made it rule that out."""
    if quant is not None:
        return quant.zero_point == 0
    node = next(node for node in graph.nodes if node.name == name)
    if getattr(node, "activation", "none") in ("relu", "relu6", "sigmoid", "hardsigmoid"):
        return True
    passes = type(node).__name__ in ("Concat", "MaxPool", "Slice", "Shuffle", "AvgPool", "GlobalAvgPool")
    return passes and all(not_negative(graph, source, None) for source in node.inputs)


def _reached(node: MaxPool, pads: Pads, shape: Shape, pooled: Shape) -> Pads:
    """Return the border that windows reach: less than the padding where steps leave some out, more with `ceil`."""
    top, left, _, _ = pads
    ends = [(steps - 1) * step + size for steps, step, size in zip(pooled[1:], node.stride, node.kernel, strict=True)]
    return top, left, max(0, ends[0] - top - shape[1]), max(0, ends[1] - left - shape[2])


def _integer_average(writer: "_Writer", node: AvgPool, x: int, out: int) -> None:
    height, width = node.kernel
    channels = writer.graph.shapes[node.name][0]
    scale = float(np.float32(1 / (height * width)))
    source = writer.file.tensors[x].scale
    assert source is not None
    weight = writer.file.constant(
        np.ones((1, height, width, channels), np.int8), TensorScale((scale,) * channels, axis=3)
    )
    product = float(np.float32(source.scale[0]) * np.float32(scale))
    bias = writer.file.constant(np.zeros(channels, np.int32), TensorScale((product,) * channels))
    pads, size = writer.graph.pads(node), writer.graph.shapes[node.inputs[0]][1:]
    x, rule = writer.window(x, pads, (size[0], size[1]), node.kernel, node.stride)
    fields = [Field(0, "int8", rule), Field(1, "int32", node.stride[1]), Field(2, "int32", node.stride[0])]
    writer.file.operator("DEPTHWISE_CONV_2D", [x, weight, bias], out, *fields, Field(3, "int32", 1))


def _levels(writer: "_Writer", factors: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> int:
    scale = float(np.float32(factors.max() / 127))
    return writer.file.constant(np.rint(factors / scale).astype(np.int8), TensorScale((scale,)))


def _options(node: MaxPool | AvgPool, rule: int) -> list[Field]:
    values = (node.stride[1], node.stride[0], node.kernel[1], node.kernel[0])
    return [Field(0, "int8", rule), *(Field(slot, "int32", value) for slot, value in enumerate(values, start=1))]
