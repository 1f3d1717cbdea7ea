"""A graph as a Core ML package, written operation by operation through coremltools' MIL builder.

Input `image`, an RGB image that iOS resizes and hands over; outputs `classLabel` and `classLabel_probs`, or boxes.
Normalization is part of the program, one value a channel. All is float16, the type of Apple's GPU and Neural Engine,
but for what would leave its range. A float graph needs iOS 15 or macOS 12. Of an int8 graph the weights are stored as
its own integers, a quarter of the size, pruned ones as those that are not zero with a mask, shared ones as places in a
table; they need iOS 16 or macOS 13, and activations stay float16. Weights of a palette have a scale for each output
channel besides; they need iOS 18 or macOS 15.
"""

import io
import logging
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.compress.palette import Table, table_of
from pocketvision.errors import GraphError, MissingExtra
from pocketvision.export.coreml_boxes import located, pipeline
from pocketvision.files import whole_folder
from pocketvision.graph.graph import (
    Activate,
    Add,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Flatten,
    GlobalAvgPool,
    Graph,
    Input,
    JoinRows,
    Linear,
    LocalNorm,
    MaxPool,
    Mul,
    Node,
    Shuffle,
    Sigmoid,
    Slice,
    Softmax,
    Suppress,
    ToRows,
)
from pocketvision.graph.lower import real_layer, without_affines
from pocketvision.graph.storage import TABLE_BITS, Integers, Palette, Shared, Sparse
from pocketvision.runtime.quiet import quiet
from pocketvision.values import Manifest, to_line

_SIXTH = 1 / 6


def write(graph: Graph, manifest: Manifest, path: Path) -> int:
    """Write the graph with its manifest as the package `path`, a folder; return the bytes of all its files."""
    model = to_model(graph, manifest)
    with whole_folder(path) as draft:
        model.save(str(draft))
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def to_model(graph: Graph, manifest: Manifest) -> Any:
    """Return coremltools' model of the graph."""
    ct = _coremltools()
    graph = without_affines(graph)
    size = graph.input.resolution
    target = getattr(ct.target, _oldest(graph))
    image = ct.ImageType(name="image", shape=(1, 3, size, size), color_layout=ct.colorlayout.RGB)
    last = graph.nodes[-1]
    labeled = None if isinstance(last, Suppress) else ct.ClassifierConfig(list(manifest.labels), "classLabel")
    with redirect_stderr(io.StringIO()):  # bars of a work that takes a second
        model = ct.convert(
            _program(graph, target),
            convert_to="mlprogram",
            inputs=[image],
            classifier_config=labeled,
            minimum_deployment_target=target,
            compute_precision=ct.precision.FLOAT32,  # the program names its types itself
            pass_pipeline=ct.PassPipeline.EMPTY,  # and its operations are those that it should have
            skip_model_load=True,
        )
    if isinstance(last, Suppress):
        model = pipeline(ct, model, last, manifest)
    model.short_description = f"{manifest.name}: {len(manifest.labels)} classes, {manifest.model}"
    model.author = "pocketvision"
    model.user_defined_metadata["pocketvision"] = to_line(manifest)
    return model


def _oldest(graph: Graph) -> str:
    """Return the oldest system that reads how the graph's weights are stored."""
    stored = {type(node.storage) for node in graph.nodes if isinstance(node, Conv | Linear)}
    return "iOS18" if Palette in stored else "iOS16" if stored & {Integers, Sparse, Shared} else "iOS15"


def _coremltools() -> Any:
    logging.getLogger("coremltools").setLevel(logging.ERROR)  # it warns of frameworks that are not used here
    try:
        with quiet():
            import coremltools
    except ImportError as error:
        raise MissingExtra("coremltools", "coreml") from error
    return coremltools


def _program(graph: Graph, target: Any) -> Any:
    from coremltools.converters.mil import Builder

    size = graph.input.resolution
    if len(graph.input.mean) != 3:
        raise GraphError(f"Core ML's images have three channels, this net takes {len(graph.input.mean)}")

    def program(image: Any) -> Any:
        writer = _Writer(graph, Builder)
        writer.values[graph.input.name] = writer.image(graph.input, image)
        for node in graph.nodes[1:]:
            inputs = [writer.values[name] for name in node.inputs]
            if isinstance(node, Suppress):
                return located(writer, node, *inputs)
            writer.values[node.name] = writer.kernel(node, inputs)
        return Builder.cast(x=writer.values[graph.output], dtype="fp32", name="probabilities")

    return Builder.program(input_specs=[Builder.TensorSpec(shape=(1, 3, size, size))], opset_version=target)(program)


class _Writer:
    """Adds one operation after the other to a program; `values` are their outputs by the graph's names."""

    def __init__(self, graph: Graph, builder: Any) -> None:
        self.graph = graph
        self.mb = builder
        self.values: dict[str, Any] = {}

    def image(self, node: Input, image: Any) -> Any:
        """Normalize: first the mean, which leaves small numbers, then the deviation."""
        mean, std = (np.array(values, np.float64).reshape(1, -1, 1, 1) for values in (node.mean, node.std))
        centerd = self.mb.sub(x=self.mb.cast(x=image, dtype="fp16"), y=_half(255 * mean))
        return self.mb.mul(x=centerd, y=_half(1 / (255 * std)))

    def kernel(self, node: Node, inputs: list[Any]) -> Any:
        """Write one kernel and return its output; raises GraphError for one that Core ML lacks."""
        mb = self.mb
        match node:
            case Conv() | Linear():
                return self._clamped(self._weighted(node, inputs[0]), node.activation)
            case Add():
                return self._clamped(mb.add(x=inputs[0], y=inputs[1]), node.activation)
            case Mul():
                return mb.mul(x=inputs[0], y=inputs[1])
            case Concat():
                return mb.concat(values=inputs, axis=1)
            case GlobalAvgPool():
                return mb.reduce_mean(x=inputs[0], axes=[2, 3], keep_dims=node.keep)
            case Softmax():
                return mb.softmax(x=inputs[0], axis=1)
            case Sigmoid():
                return mb.sigmoid(x=inputs[0])
            case JoinRows():
                return mb.concat(values=inputs, axis=1)
        return self._alone(node, inputs[0])

    def _alone(self, node: Node, x: Any) -> Any:
        match node:
            case MaxPool() | AvgPool():
                return self._pooled(node, x)
            case Slice() | Shuffle() | Flatten() | ToRows():
                return self._moved(node, x)
            case Activate():
                return self._activated(node, x)
            case LocalNorm():
                return self._local_norm(node, x)
        raise GraphError(f"the Core ML writer has no kernel for {type(node).__name__} ('{node.name}')")

    def _weighted(self, node: Conv | Linear, x: Any) -> Any:
        weight, bias = self._weights(node)
        if isinstance(node, Linear):
            return self.mb.linear(x=x, weight=weight, bias=bias)
        window = self._window(node.stride, self.graph.pads(node))
        return self.mb.conv(x=x, weight=weight, bias=bias, groups=node.groups, **window)

    def _weights(self, node: Conv | Linear) -> tuple[Any, Any]:
        """Return weight and bias; of an int8 graph the weight stays integers that Core ML scales when it loads."""
        if self.graph.quant is None or node.weight_scale is None:
            return self._real(node), _half(node.bias)
        if node.weight.dtype != np.int8:  # published levels of 9 bits, which Core ML has no integers for
            real = real_layer(node, self.graph.quant[node.inputs[0]])
            return _half(real.weight), _half(real.bias)
        source: Any = self.graph.quant[node.inputs[0]].scale
        weight = self.mb.constexpr_affine_dequantize(
            quantized_data=node.weight, zero_point=np.int8(0), scale=_half(node.weight_scale), axis=0
        )
        return weight, _half(node.bias * (source * node.weight_scale.astype(np.float64)))

    def _real(self, node: Conv | Linear) -> Any:
        """Return real weights, or what Core ML makes them of when it loads."""
        weight, there = _half(node.weight), node.weight != 0
        shape = np.array(weight.shape, np.uint32)
        match node.storage:
            case Palette():
                return self._from_table(table_of(node))
            case Sparse() if there.any():
                mask = np.packbits(there, bitorder="little")
                return self.mb.constexpr_sparse_to_dense(nonzero_data=weight[there], mask=mask, shape=shape)
            case Shared():
                values, places = np.unique(weight, return_inverse=True)
                bits = next(bits for bits in (1, *TABLE_BITS) if len(values) <= 2**bits)
                table = np.append(values, np.zeros(2**bits - len(values), np.float16))
                packed = np.packbits(places.reshape(-1, 1) >> np.arange(bits) & 1, bitorder="little")
                return self.mb.constexpr_lut_to_dense(indices=packed, lut=table, shape=shape)
        return weight

    def _from_table(self, table: Table) -> Any:
        """Return weights that Core ML looks up in a table and scales when it loads."""
        from coremltools.converters.mil.mil import types

        bits = len(table.values).bit_length() - 1
        places = table.places.astype(types.type_mapping.string_to_nptype(f"uint{bits}"))
        values = _half(table.values).reshape(*[1] * places.ndim, -1, 1)
        weight = self.mb.constexpr_lut_to_dense(indices=places, lut=values)
        return self.mb.constexpr_blockwise_shift_scale(data=weight, scale=_half(table.scale))

    def _window(self, stride: tuple[int, int], pads: Sequence[int]) -> dict[str, Any]:
        top, left, bottom, right = pads
        return {"strides": stride, "pad_type": "custom", "pad": [top, bottom, left, right]}

    def _pooled(self, node: MaxPool | AvgPool, x: Any) -> Any:
        pads = self.graph.pads(node)
        if isinstance(node, AvgPool):
            window = self._window(node.stride, pads)
            apart = not node.count_padding
            return self.mb.avg_pool(x=x, kernel_sizes=node.kernel, exclude_padding_from_average=apart, **window)
        # Partial windows at the end are whole ones with more padding, which never wins.
        before, after, sizes = pads[:2], list(pads[2:]), self.graph.shapes[node.inputs[0]][1:]
        for axis, steps in enumerate(self.graph.shapes[node.name][1:]):
            reach = (steps - 1) * node.stride[axis] + node.kernel[axis]
            after[axis] = max(after[axis] if not node.ceil else 0, reach - before[axis] - sizes[axis])
        return self.mb.max_pool(x=x, kernel_sizes=node.kernel, **self._window(node.stride, (*before, *after)))

    def _moved(self, node: Slice | Shuffle | Flatten | ToRows, x: Any) -> Any:
        mb, shape = self.mb, self.graph.shapes[node.name]
        match node:
            case ToRows():
                return mb.reshape(x=mb.transpose(x=x, perm=[0, 2, 3, 1]), shape=[1, *shape[::-1]])
            case Slice():
                begin, end = [0] * len(x.shape), list(x.shape)
                begin[1], end[1] = node.start, node.stop
                return mb.slice_by_index(x=x, begin=begin, end=end)
            case Flatten():
                return mb.reshape(x=x, shape=[1, *shape])
        channels, area = shape[0], int(np.prod(shape[1:]))
        split = mb.reshape(x=x, shape=[1, node.groups, channels // node.groups, area])
        return mb.reshape(x=mb.transpose(x=split, perm=[0, 2, 1, 3]), shape=[1, *shape])

    def _local_norm(self, node: LocalNorm, x: Any) -> Any:
        """Normalize in float32: squares of activations above 255 leave the range of float16."""
        wide = self.mb.cast(x=x, dtype="fp32")
        settings = {name: np.float32(getattr(node, name)) for name in ("alpha", "beta", "k")}
        return self.mb.cast(x=self.mb.local_response_norm(x=wide, size=node.size, **settings), dtype="fp16")

    def _activated(self, node: Activate, x: Any) -> Any:
        mb = self.mb
        match node.activation:
            case "leaky_relu":
                return mb.leaky_relu(x=x, alpha=np.float16(node.slope))
            case "hardswish":
                return mb.mul(x=x, y=self._hard_sigmoid(x))
            case "hardsigmoid":
                return self._hard_sigmoid(x)
            case "sigmoid":
                return mb.sigmoid(x=x)
            case "silu":
                return mb.silu(x=x)
            case "none" | "relu" | "relu6" as clamp:
                return self._clamped(x, clamp)
        raise GraphError(f"the Core ML writer does not know the activation '{node.activation}' ('{node.name}')")

    def _hard_sigmoid(self, x: Any) -> Any:
        return self.mb.sigmoid_hard(x=x, alpha=np.float16(_SIXTH), beta=np.float16(0.5))

    def _clamped(self, x: Any, clamp: Clamp) -> Any:
        if clamp == "none":
            return x
        return self.mb.relu(x=x) if clamp == "relu" else self.mb.relu6(x=x)


def _half(values: Any) -> Any:
    return np.asarray(values).astype(np.float16)
