"""A graph as an ONNX file, float or int8, written node by node in milliseconds.

Opset 17. Input `image` uint8 [N, R, R, C], output `probabilities` float32 [N, classes], or boxes. An int8 file holds
DequantizeLinear and QuantizeLinear around float kernels (QDQ), the pattern runtimes replace by integer kernels.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import GraphError, MissingExtra
from pocketvision.export.onnx_boxes import Ends, rows, suppressed
from pocketvision.files import write_bytes
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
    Pads,
    Quant,
    Shuffle,
    Sigmoid,
    Slice,
    Softmax,
    Suppress,
    ToRows,
)
from pocketvision.graph.integer import HALF, clamps, sixth
from pocketvision.graph.lower import without_affines
from pocketvision.graph.normalize import feeds_convolutions, in_half, with_deviation
from pocketvision.runtime.onnx import sealed
from pocketvision.values import BoxEnds, Manifest, to_line

OPSET = 17
IR_VERSION = 8


def write(graph: Graph, manifest: Manifest, path: Path) -> int:
    """Write the graph with its manifest; return the file's size in bytes."""
    content = to_bytes(graph, manifest)
    write_bytes(path, content)
    return len(content)


def to_bytes(graph: Graph, manifest: Manifest | None = None, *, ends: BoxEnds | None = None) -> bytes:
    """Return the content of the ONNX file; without a manifest it can be timed, but not opened as an artefact.

    `ends` says what a detector gives, by default what the manifest says.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra("onnx", "onnx") from error
    graph = without_affines(graph)
    if graph.quant is None and feeds_convolutions(graph) and not in_half(graph):
        graph = with_deviation(graph, 1 / 255)  # the pixels need no division then: one kernel less
    writer = _Writer(graph, raw=(ends or (manifest.ends if manifest else "boxes")) == "raw")
    for node in graph.nodes:
        writer.add(node)
    model = onnx.helper.make_model(
        writer.finish(),
        producer_name="pocketvision",
        ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    if manifest:
        text = to_line(manifest)
        onnx.helper.set_model_props(model, {"pocketvision": text, "labels": "\n".join(manifest.labels)})
    content = bytes(model.SerializeToString())
    return sealed(content) if manifest else content


def kernels(content: bytes) -> Counter[str]:
    """Count the kinds of kernels in an ONNX file."""
    import onnx

    return Counter(str(node.op_type) for node in onnx.load_model_from_string(content).graph.node)


class _Writer:
    """Collects ONNX nodes and constants; names are short and equal constants are shared, for small files.

    `values` names each tensor in float; `levels` names it as uint8, where the graph is quantized. Levels are turned
    into floats where a kernel first asks for them: kernels that only move values take the levels themselves.
    """

    def __init__(self, graph: Graph, *, raw: bool) -> None:
        import onnx

        self.onnx = onnx
        self.graph = graph
        self.raw = raw
        self.boxes: Ends = []
        self.nodes: list[Any] = []
        self.constants: dict[Hashable, Any] = {}
        self.values: dict[str, str] = {}
        self.levels: dict[str, str] = {}

    def add(self, node: Node) -> None:
        """Write one kernel, and the levels of its output where the graph is quantized."""
        quant = self._quant(node.name)
        if isinstance(node, Input):
            self._image(node, quant)
        elif isinstance(node, Suppress):
            self.boxes = suppressed(self, node, raw=self.raw)
        elif isinstance(node, Slice | Shuffle | Flatten | ToRows) and quant and quant == self._quant(node.inputs[0]):
            self.levels[node.name] = self._moved(node, self.levels[node.inputs[0]])
        elif isinstance(node, Activate) and node.activation == "hardsigmoid" and quant and clamps("hardsigmoid", quant):
            self.levels[node.name] = self._gate(node, quant)
        else:
            tensor = self._kernel(node, [self.value(name) for name in node.inputs])
            tensor = self._quantize(tensor, quant) if quant else tensor
            if isinstance(node, GlobalAvgPool) and not node.keep:
                tensor = self.op("Flatten", [tensor])
            (self.levels if quant else self.values)[node.name] = tensor

    def _quant(self, name: str) -> Quant | None:
        return (self.graph.quant or {}).get(name)

    def value(self, name: str) -> str:
        """Return the name of a tensor in float."""
        if name not in self.values:
            quant = self._quant(name)
            assert quant is not None
            self.values[name] = self._dequantize(self.levels[name], quant)
        return self.values[name]

    def finish(self) -> Any:
        """Return the GraphProto with its named input and outputs."""
        helper, kinds = self.onnx.helper, self.onnx.TensorProto
        size = self.graph.input.resolution
        image = helper.make_tensor_value_info("image", kinds.UINT8, ["N", size, size, len(self.graph.input.mean)])
        ends = self.boxes or [("probabilities", "FLOAT", ["N", *self.graph.shapes[self.graph.output]])]
        if not self.boxes:
            self.value(self.graph.output)
            self.nodes[-1].output[0] = "probabilities"
        answers = [helper.make_tensor_value_info(name, getattr(kinds, kind), shape) for name, kind, shape in ends]
        return helper.make_graph(self.nodes, "net", [image], answers, list(self.constants.values()))

    def op(self, kind: str, inputs: Sequence[str], *, name: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        name = name or f"{len(self.nodes):x}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [name], **attributes))
        return name

    def two(self, kind: str, inputs: Sequence[str], names: tuple[str, str], **attributes: Any) -> tuple[str, str]:
        """Add a node with two outputs and return their names."""
        first, second = (name or f"{len(self.nodes):x}.{place}" for place, name in enumerate(names))
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [first, second], **attributes))
        return first, second

    def constant(self, array: Any) -> str:
        """Add a constant and return its name."""
        array = np.asarray(array, dtype=None if isinstance(array, np.ndarray | np.generic) else np.float32)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            # Scales have to stay 0-d here: with shape (1,) the file passes the checker, but no session opens.
            self.constants[key] = self.onnx.numpy_helper.from_array(array, f"w{len(self.constants):x}")
        return str(self.constants[key].name)

    def _kernel(self, node: Node, inputs: list[str]) -> str:
        match node:
            case Conv() | Linear():
                return self._clamped(self._weighted(node, inputs[0]), node.activation, self._quant(node.name))
            case Add():
                return self._clamped(self.op("Add", inputs), node.activation, self._quant(node.name))
            case Mul():
                return self.op("Mul", inputs)
            case Concat() | JoinRows():
                return self.op("Concat", inputs, axis=1)
            case MaxPool() | AvgPool():
                return self._windowed(node, inputs)
            case GlobalAvgPool():
                return self.op("GlobalAveragePool", inputs)
            case Softmax():
                return self.op("Softmax", inputs, axis=1)
            case Sigmoid():
                return self.op("Sigmoid", inputs)
            case Slice() | Shuffle() | Flatten() | ToRows():
                return self._moved(node, inputs[0])
        return self._elementwise(node, inputs[0])

    def _elementwise(self, node: Node, value: str) -> str:
        match node:
            case Activate(activation="none" | "relu" | "relu6" as clamp):
                return self._clamped(value, clamp, self._quant(node.name))
            case Activate(activation="leaky_relu"):
                return self.op("LeakyRelu", [value], alpha=node.slope)
            case Activate(activation="hardswish"):
                return self.op("HardSwish", [value])
            case Activate(activation="hardsigmoid"):
                return self.op("HardSigmoid", [value], alpha=1 / 6, beta=0.5)
            case Activate(activation="sigmoid"):
                return self.op("Sigmoid", [value])
            case Activate(activation="silu"):
                return self.op("Mul", [value, self.op("Sigmoid", [value])])
            case LocalNorm():
                return self.op("LRN", [value], size=node.size, alpha=node.alpha, beta=node.beta, bias=node.k)
        raise GraphError(f"the ONNX writer has no kernel for {type(node).__name__} ('{node.name}')")

    def _moved(self, node: Slice | Shuffle | Flatten | ToRows, tensor: str) -> str:
        match node:
            case ToRows():
                return rows(self, node, tensor)
            case Slice():
                places = [self.constant(np.array([place])) for place in (node.start, node.stop, 1)]
                return self.op("Slice", [tensor, *places])
            case Flatten():
                return self.op("Flatten", [tensor])
        shape = self.graph.shapes[node.name]
        split = self.constant(np.array([0, node.groups, shape[0] // node.groups, -1]))
        mixed = self.op("Transpose", [self.op("Reshape", [tensor, split])], perm=[0, 2, 1, 3])
        return self.op("Reshape", [mixed, self.constant(np.array([0, *shape]))])

    def _gate(self, node: Activate, quant: Quant) -> str:
        """Write a hard sigmoid as x / 6 + 1 / 2, clamped by its levels: onnxruntime's only integer form."""
        source = self._quant(node.inputs[0])
        assert source is not None
        sixths = self._dequantize(self.levels[node.inputs[0]], sixth(source))
        half = self._dequantize(self.constant(np.uint8(1)), HALF)
        return self._quantize(self.op("Add", [sixths, half]), quant)

    def _image(self, node: Input, quant: Quant | None) -> None:
        planes = self.op("Transpose", ["image"], perm=[0, 3, 1, 2])
        if quant:
            self.levels[node.name] = planes
            return
        mean, std = (np.array(values, np.float64) for values in (node.mean, node.std))
        value = self.op("Cast", [planes], to=int(self.onnx.TensorProto.FLOAT))
        value = self.op("Sub", [value, self._per_channel(255 * mean)])
        factors = 1 / (255 * std)
        centerd = np.allclose(factors, 1)
        self.values[node.name] = value if centerd else self.op("Mul", [value, self._per_channel(factors)])

    def _per_channel(self, values: NDArray[np.float64]) -> str:
        equal = bool((values == values[0]).all())
        return self.constant(np.float32(values[0]) if equal else values.astype(np.float32).reshape(-1, 1, 1))

    def _weighted(self, node: Conv | Linear, value: str) -> str:
        inputs = [value, *self._weights(node)]
        if isinstance(node, Linear):
            return self.op("Gemm", inputs, transB=1)
        attributes = self._window(node.weight.shape[2:], node.stride, self.graph.pads(node))
        if node.groups > 1:
            attributes["group"] = node.groups
        return self.op("Conv", inputs, **attributes)

    def _windowed(self, node: MaxPool | AvgPool, inputs: list[str]) -> str:
        attributes = self._window(node.kernel, node.stride, self.graph.pads(node))
        if isinstance(node, AvgPool):
            return self.op("AveragePool", inputs, **attributes, count_include_pad=int(node.count_padding))
        return self.op("MaxPool", inputs, **attributes, ceil_mode=int(node.ceil))

    def _window(self, kernel: tuple[int, ...], stride: tuple[int, int], pads: Pads) -> dict[str, Any]:
        attributes: dict[str, Any] = {"kernel_shape": kernel}
        if any(pads):
            attributes["pads"] = pads
        if stride != (1, 1):
            attributes["strides"] = stride
        return attributes

    def _weights(self, node: Conv | Linear) -> list[str]:
        if self.graph.quant is None or node.weight_scale is None:
            stored = self.constant(node.weight)
            if node.weight.dtype == np.float16:
                stored = self.op("Cast", [stored], to=int(self.onnx.TensorProto.FLOAT))
            return [stored, self.constant(node.bias)]
        source: Any = np.float32(self.graph.quant[node.inputs[0]].scale)
        zero = self._zeros(len(node.weight))
        weight = [self.constant(node.weight), self.constant(node.weight_scale), zero]
        bias = [self.constant(node.bias), self.constant(source * node.weight_scale)]
        return [self.op("DequantizeLinear", levels, axis=0) for levels in (weight, bias)]

    def _zeros(self, count: int) -> str:
        """Write zero points of weights, one constant a layer: Gemm needs them to run in integers, and onnxruntime's
        precision mode for older x86 processors does not open files where layers share them."""
        name = f"z{len(self.nodes):x}"
        self.constants[name] = self.onnx.numpy_helper.from_array(np.zeros(count, np.int8), name)
        return name

    def _clamped(self, value: str, clamp: Clamp, quant: Quant | None) -> str:
        if clamp == "none" or (quant and clamps(clamp, quant)):
            # A clamp that the levels do by themselves is left out: onnxruntime would compute it in float.
            return value
        if clamp == "relu":
            return self.op("Relu", [value])
        return self.op("Clip", [value, self.constant(0.0), self.constant(6.0)])

    def _quantize(self, value: str, quant: Quant) -> str:
        return self.op("QuantizeLinear", [value, *self._level_constants(quant)])

    def _dequantize(self, levels: str, quant: Quant) -> str:
        return self.op("DequantizeLinear", [levels, *self._level_constants(quant)])

    def _level_constants(self, quant: Quant) -> list[str]:
        return [self.constant(np.float32(quant.scale)), self.constant(np.uint8(quant.zero_point))]
