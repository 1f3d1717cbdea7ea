"""A graph as an ONNX file, float or int8, written node by node in milliseconds.

Opset 17. Input `image` uint8 [N, R, R, 3], output `probabilities` float32 [N, classes]. An int8 file holds
DequantizeLinear and QuantizeLinear around float kernels (QDQ), the pattern runtimes replace by integer kernels.
"""

import json
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import GraphError, MissingExtra
from pocketvision.files import write_bytes
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
    Quant,
    Softmax,
)
from pocketvision.graph.integer import bounds
from pocketvision.graph.normalise import feeds_convolutions, with_deviation
from pocketvision.values import Manifest, to_json

OPSET = 17
IR_VERSION = 8


def write(graph: Graph, manifest: Manifest, path: Path) -> int:
    """Write the graph with its manifest; return the file's size in bytes."""
    content = to_bytes(graph, manifest)
    write_bytes(path, content)
    return len(content)


def to_bytes(graph: Graph, manifest: Manifest | None = None) -> bytes:
    """Return the content of the ONNX file; without a manifest it can be timed, but not opened as an artefact."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra("onnx", "onnx") from error
    if graph.quant is None and feeds_convolutions(graph):
        graph = with_deviation(graph, 1 / 255)  # the pixels need no division then: one kernel less
    writer = _Writer(graph)
    for node in graph.nodes:
        writer.add(node)
    model = onnx.helper.make_model(
        writer.finish(),
        producer_name="pocketvision",
        ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    if manifest:
        text = json.dumps(to_json(manifest), ensure_ascii=False, separators=(",", ":"))
        onnx.helper.set_model_props(model, {"pocketvision": text, "labels": "\n".join(manifest.labels)})
    return bytes(model.SerializeToString())


class _Writer:
    """Collects ONNX nodes and constants; names are short and equal constants are shared, for small files."""

    def __init__(self, graph: Graph) -> None:
        import onnx

        self.onnx = onnx
        self.graph = graph
        self.nodes: list[Any] = []
        self.constants: dict[Hashable, Any] = {}
        self.values: dict[str, str] = {}

    def add(self, node: Node) -> None:
        """Write one kernel, and the levels of its output where the graph is quantised."""
        value = self._kernel(node, [self.values[name] for name in node.inputs])
        quant = (self.graph.quant or {}).get(node.name)
        if quant and not isinstance(node, Input):
            value = self._through_levels(value, quant)
        self.values[node.name] = value

    def finish(self) -> Any:
        """Return the GraphProto with its named input and output."""
        helper, kinds = self.onnx.helper, self.onnx.TensorProto
        self.nodes[-1].output[0] = "probabilities"
        size = self.graph.input.resolution
        image = helper.make_tensor_value_info("image", kinds.UINT8, ["N", size, size, 3])
        shape = ["N", *self.graph.shapes[self.graph.output]]
        answer = helper.make_tensor_value_info("probabilities", kinds.FLOAT, shape)
        return helper.make_graph(self.nodes, "net", [image], [answer], list(self.constants.values()))

    def _op(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"{len(self.nodes):x}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [name], **attributes))
        return name

    def _constant(self, array: Any) -> str:
        array = np.asarray(array, dtype=None if isinstance(array, np.ndarray | np.generic) else np.float32)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            # Scales have to stay 0-d here: with shape (1,) the file passes the checker, but no session opens.
            self.constants[key] = self.onnx.numpy_helper.from_array(array, f"w{len(self.constants):x}")
        return str(self.constants[key].name)

    def _kernel(self, node: Node, inputs: list[str]) -> str:
        match node:
            case Input():
                return self._image(node)
            case Conv() | Linear():
                return self._activated(self._weighted(node, inputs[0]), node)
            case Add() | Activate():
                value = self._op("Add", inputs) if isinstance(node, Add) else inputs[0]
                return self._activated(value, node)
            case Concat():
                return self._op("Concat", inputs, axis=1)
            case MaxPool():
                return self._op(
                    "MaxPool", inputs, kernel_shape=node.kernel, strides=node.stride, ceil_mode=int(node.ceil)
                )
            case GlobalAvgPool():
                return self._pooled(node, inputs[0])
            case Softmax():
                return self._op("Softmax", inputs, axis=1)
        raise GraphError(f"the ONNX writer has no kernel for {type(node).__name__} ('{node.name}')")

    def _image(self, node: Input) -> str:
        planes = self._op("Transpose", ["image"], perm=[0, 3, 1, 2])
        if self.graph.quant is not None:
            return self._dequantize(planes, self.graph.quant[node.name])
        mean, std = (np.array(values, np.float64) for values in (node.mean, node.std))
        value = self._op("Cast", [planes], to=int(self.onnx.TensorProto.FLOAT))
        value = self._op("Sub", [value, self._per_channel(255 * mean)])
        factors = 1 / (255 * std)
        return value if np.allclose(factors, 1) else self._op("Mul", [value, self._per_channel(factors)])

    def _per_channel(self, values: NDArray[np.float64]) -> str:
        equal = bool((values == values[0]).all())
        return self._constant(np.float32(values[0]) if equal else values.astype(np.float32).reshape(-1, 1, 1))

    def _weighted(self, node: Conv | Linear, value: str) -> str:
        inputs = [value, *self._weights(node)]
        if isinstance(node, Linear):
            return self._op("Gemm", inputs, transB=1)
        attributes: dict[str, Any] = {"kernel_shape": node.weight.shape[2:]}
        if any(pads := self.graph.pads(node)):
            attributes["pads"] = pads
        if node.stride != (1, 1):
            attributes["strides"] = node.stride
        if node.groups > 1:
            attributes["group"] = node.groups
        return self._op("Conv", inputs, **attributes)

    def _weights(self, node: Conv | Linear) -> list[str]:
        if self.graph.quant is None or node.weight_scale is None:
            return [self._constant(node.weight), self._constant(node.bias)]
        source: Any = np.float32(self.graph.quant[node.inputs[0]].scale)
        zero = self._zeros(len(node.weight))
        weight = [self._constant(node.weight), self._constant(node.weight_scale), zero]
        bias = [self._constant(node.bias), self._constant(source * node.weight_scale)]
        return [self._op("DequantizeLinear", levels, axis=0) for levels in (weight, bias)]

    def _zeros(self, count: int) -> str:
        """Write zero points of weights, one constant a layer: Gemm needs them to run in integers, and onnxruntime's
        precision mode for older x86 processors does not open files where layers share them."""
        name = f"z{len(self.nodes):x}"
        self.constants[name] = self.onnx.numpy_helper.from_array(np.zeros(count, np.int8), name)
        return name

    def _activated(self, value: str, node: Conv | Linear | Add | Activate) -> str:
        kind: Activation = node.activation
        quant = (self.graph.quant or {}).get(node.name)
        if kind == "none" or (quant and bounds(kind, quant) == (0, 255)):
            # A clamp that the levels do by themselves is left out: onnxruntime would compute it in float.
            return value
        if kind == "relu":
            return self._op("Relu", [value])
        return self._op("Clip", [value, self._constant(0.0), self._constant(6.0)])

    def _pooled(self, node: GlobalAvgPool, value: str) -> str:
        value = self._op("GlobalAveragePool", [value])
        if self.graph.quant is not None:
            value = self._through_levels(value, self.graph.quant[node.name])
        return self._op("Flatten", [value])

    def _through_levels(self, value: str, quant: Quant) -> str:
        levels = self._op("QuantizeLinear", [value, *self._level_constants(quant)])
        return self._dequantize(levels, quant)

    def _dequantize(self, levels: str, quant: Quant) -> str:
        return self._op("DequantizeLinear", [levels, *self._level_constants(quant)])

    def _level_constants(self, quant: Quant) -> list[str]:
        return [self._constant(np.float32(quant.scale)), self._constant(np.uint8(quant.zero_point))]
