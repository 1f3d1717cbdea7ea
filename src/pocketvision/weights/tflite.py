"""Reads the layers of a TFLite classifier file, float or quantised, as float32 arrays; needs no torch.

The file is untrusted: every index, shape and type is checked, and whatever does not parse is a `WeightsError`.
"""

import io
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import MissingExtra, WeightsError

Array = NDArray[np.float32]
LARGEST_FILE = 512 * 1024 * 1024
LARGEST_COUNT = 10_000
"""Of operators or tensors; a classifier for phones has a few hundred."""
_DAMAGE = (struct.error, IndexError, ValueError, TypeError, AttributeError, KeyError, OverflowError, MemoryError)
_TYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 9: "i1"}
"""TensorType of schema.fbs -> numpy: FLOAT32, FLOAT16, INT32, UINT8, INT64, INT8."""
_ACTIVATIONS: dict[int, Literal["none", "relu", "relu6"]] = {0: "none", 1: "relu", 3: "relu6"}
_PASSED_OVER = {"ADD", "AVERAGE_POOL_2D", "MEAN", "RESHAPE", "SQUEEZE", "SOFTMAX", "QUANTIZE", "DEQUANTIZE", "PAD"}
_LAYERS = {"CONV_2D": "conv", "DEPTHWISE_CONV_2D": "depthwise", "FULLY_CONNECTED": "linear"}


@dataclass(frozen=True, eq=False)
class TfliteLayer:
    """One convolution or fully connected layer, batch norm folded by whoever made the file."""

    name: str
    kind: Literal["conv", "depthwise", "linear"]
    weight: Array
    """[O, I / groups, kh, kw], or [O, I] of a fully connected layer."""
    bias: Array
    stride: int
    padding: Literal["same", "symmetric", "either"]
    """`either` where both rules pad alike, as at stride 1."""
    activation: Literal["none", "relu", "relu6"]


@dataclass(frozen=True, eq=False)
class TfliteNet:
    """The layers of one file, in its order."""

    layers: tuple[TfliteLayer, ...]
    resolution: int
    num_classes: int
    shortcuts: int
    """Number of additions."""
    labels: tuple[str, ...] | None
    """From the label file packed behind the model, where there is one of the right length."""


def read_tflite(path: Path) -> TfliteNet:
    """Read a file; `WeightsError` if it is damaged or no plain classifier, `MissingExtra` without `tflite`."""
    if path.stat().st_size > LARGEST_FILE:
        raise WeightsError(f"{path.name} has over {LARGEST_FILE // 1024**2} MiB; no classifier for phones does")
    return parse_tflite(path.read_bytes(), path.name)


def parse_tflite(content: bytes, name: str) -> TfliteNet:
    """Parse a file's bytes; `name` is for messages. Raises as `read_tflite` does."""
    if content[4:8] != b"TFL3":
        raise WeightsError(f"{name} is not a TFLite file: it does not carry the mark TFL3")
    schema = _schema()
    try:
        # Overflow is looked for where values are made real, so numpy need not warn of it.
        with np.errstate(all="ignore"):
            return _Reader(content, name, schema).net()
    except _DAMAGE as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{name} is damaged or cut short: {type(error).__name__} while reading it") from error


def _schema() -> ModuleType:
    try:
        import tflite
    except ImportError as error:
        raise MissingExtra("tflite", "tflite") from error
    module: ModuleType = tflite
    return module


class _Reader:
    def __init__(self, content: bytes, name: str, schema: ModuleType) -> None:
        self.content, self.name, self.schema = content, name, schema
        self.model = schema.Model.GetRootAsModel(content, 0)
        if self.model.Version() != 3 or self.model.SubgraphsLength() != 1:
            raise self._error(
                f"expected schema version 3 and one subgraph, found version {self.model.Version()} "
                f"and {self.model.SubgraphsLength()} subgraphs"
            )
        self.graph = self.model.Subgraphs(0)
        largest = max(self.graph.OperatorsLength(), self.graph.TensorsLength(), self.model.BuffersLength())
        if largest > LARGEST_COUNT:
            raise self._error(f"expected at most {LARGEST_COUNT} operators and tensors, found {largest}")
        self.padded: dict[int, tuple[int, tuple[int, int, int, int]]] = {}
        self.stored_as: dict[int, int] = {}

    def _error(self, text: str) -> WeightsError:
        return WeightsError(f"{self.name}: {text}")

    def net(self) -> TfliteNet:
        operators = [self.graph.Operators(index) for index in range(self.graph.OperatorsLength())]
        names = [self._operator_name(operator) for operator in operators]
        if unknown := sorted(set(names) - _PASSED_OVER - set(_LAYERS)):
            raise self._error(
                f"not a plain convolutional classifier; it holds {', '.join(unknown)}. "
                f"Known operators: {', '.join(sorted(_PASSED_OVER | set(_LAYERS)))}"
            )
        layers = []
        for name, operator in zip(names, operators, strict=True):
            if name in _LAYERS:
                layers.append(self._layer(name, operator))
            elif name == "PAD":
                self._pad(operator)
            elif name == "DEQUANTIZE":
                self.stored_as[self._index(operator.Outputs(0))] = self._index(operator.Inputs(0))
        if not layers:
            raise self._error("expected convolutions, found none")
        classes = len(layers[-1].bias)
        return TfliteNet(tuple(layers), self._resolution(), classes, names.count("ADD"), self._labels(classes))

    def _operator_name(self, operator: Any) -> str:
        index = operator.OpcodeIndex()
        if not 0 <= index < self.model.OperatorCodesLength():
            raise self._error(f"an operator refers to code {index} of {self.model.OperatorCodesLength()}")
        code = self.model.OperatorCodes(index)
        # Old files keep the number in the deprecated byte, new ones in the wide field.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        names = {value: key for key, value in vars(self.schema.BuiltinOperator).items() if isinstance(value, int)}
        return str(names.get(number, f"operator {number}"))

    def _index(self, index: int) -> int:
        if not 0 <= index < self.graph.TensorsLength():
            raise self._error(f"an operator refers to tensor {index} of {self.graph.TensorsLength()}")
        return int(index)

    def _shape(self, index: int) -> tuple[int, ...]:
        tensor = self.graph.Tensors(self._index(index))
        shape = tuple(int(tensor.Shape(axis)) for axis in range(min(tensor.ShapeLength(), 9)))
        if len(shape) > 8 or any(side < 1 for side in shape):
            raise self._error(f"tensor {index} has the shape {shape}")
        return shape

    def _resolution(self) -> int:
        if self.graph.InputsLength() != 1:
            raise self._error(f"expected one input, found {self.graph.InputsLength()}")
        shape = self._shape(self.graph.Inputs(0))
        if len(shape) != 4 or shape[0] != 1 or shape[1] != shape[2] or shape[3] != 3:
            raise self._error(f"expected one square RGB picture [1, R, R, 3] as input, found {list(shape)}")
        return shape[1]

    # ------------------------------------------------------------ constants

    def _stored(self, index: int) -> tuple[Any, NDArray[Any]]:
        """Return a tensor's record and its values as stored."""
        index = self.stored_as.get(self._index(index), index)
        tensor, shape = self.graph.Tensors(index), self._shape(index)
        if tensor.Type() not in _TYPES:
            raise self._error(
                f"tensor {index} has type {tensor.Type()}; known are float32, float16, int8, uint8, int32"
            )
        if not 0 <= tensor.Buffer() < self.model.BuffersLength():
            raise self._error(f"tensor {index} refers to buffer {tensor.Buffer()} of {self.model.BuffersLength()}")
        buffer = self.model.Buffers(tensor.Buffer())
        data = buffer.DataAsNumpy() if buffer.DataLength() else np.zeros(0, np.uint8)
        dtype = np.dtype(_TYPES[tensor.Type()])
        # In Python's whole numbers: a product of hostile shapes must not wrap around.
        expected = dtype.itemsize
        for side in shape:
            expected *= side
        if data.nbytes != expected:
            raise self._error(f"tensor {index} should hold {expected} bytes, the file has {data.nbytes}")
        return tensor, np.frombuffer(data.tobytes(), dtype).reshape(shape)

    def _scales(self, tensor: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return scales and zero points, or None for a tensor of real numbers."""
        quantisation = tensor.Quantization()
        if quantisation is None or not quantisation.ScaleLength():
            return None
        scale = quantisation.ScaleAsNumpy().astype(np.float64)
        zero = np.zeros_like(scale)
        if quantisation.ZeroPointLength():
            zero = zero + quantisation.ZeroPointAsNumpy().astype(np.float64)
        return scale, zero

    def _values(self, index: int) -> tuple[Array, NDArray[np.float64] | None]:
        """Return a tensor's real values, and its scales if it was stored in whole numbers."""
        tensor, stored = self._stored(index)
        if stored.dtype.kind == "f":
            return self._finite(stored, index), None
        scales = self._scales(tensor)
        if scales is None:
            raise self._error(f"tensor {index} holds whole numbers without a scale")
        scale, zero = scales
        axis = tensor.Quantization().QuantizedDimension()
        if len(scale) > 1 and not (0 <= axis < stored.ndim and stored.shape[axis] == len(scale)):
            raise self._error(f"tensor {index} has {len(scale)} scales for the shape {list(stored.shape)}")
        spread = [1] * stored.ndim
        if len(scale) > 1:
            spread[axis] = -1
        return self._finite((stored - zero.reshape(spread)) * scale.reshape(spread), index), scale

    def _finite(self, values: NDArray[Any], index: int) -> Array:
        real = values.astype(np.float32)
        if not np.isfinite(real).all():
            raise self._error(f"tensor {index} holds values that are not finite numbers")
        return real

    def _bias(self, operator: Any, outputs: int, scale: NDArray[np.float64] | None) -> Array:
        index = operator.Inputs(2) if operator.InputsLength() > 2 else -1
        if index == -1:
            return np.zeros(outputs, np.float32)
        _, stored = self._stored(index)
        if stored.shape != (outputs,):
            raise self._error(f"a bias of shape {list(stored.shape)} stands where {outputs} values are expected")
        if stored.dtype.kind == "f":
            return self._finite(stored, index)
        entry = self._scales(self.graph.Tensors(self._index(operator.Inputs(0))))
        if entry is None or scale is None or len(entry[0]) != 1:
            raise self._error("a bias in whole numbers needs one input scale and the weight's scales")
        # Runtimes use input scale x weight scale, whatever scale the bias itself names.
        return self._finite(stored * (entry[0] * scale), index)

    # ------------------------------------------------------------ operators

    def _layer(self, name: str, operator: Any) -> TfliteLayer:
        if operator.InputsLength() < 2 or operator.OutputsLength() != 1:
            raise self._error(f"{name} needs an input, weights and one output")
        index = operator.Inputs(1)
        weight, scale = self._values(index)
        if weight.ndim != (2 if name == "FULLY_CONNECTED" else 4):
            raise self._error(f"{name} has weights of shape {list(weight.shape)}")
        if name == "CONV_2D":
            weight = weight.transpose(0, 3, 1, 2)
        elif name == "DEPTHWISE_CONV_2D":
            weight = weight.transpose(3, 0, 1, 2)
        weight = np.ascontiguousarray(weight)
        stride, padding, activation = self._options(name, operator, weight.shape)
        label = (self.graph.Tensors(self._index(index)).Name() or b"").decode("utf-8", "replace")
        kind = {"CONV_2D": "conv", "DEPTHWISE_CONV_2D": "depthwise", "FULLY_CONNECTED": "linear"}[name]
        bias = self._bias(operator, len(weight), scale)
        return TfliteLayer(label, kind, weight, bias, stride, padding, activation)  # type: ignore[arg-type]

    def _options(
        self, name: str, operator: Any, shape: tuple[int, ...]
    ) -> tuple[int, Literal["same", "symmetric", "either"], Literal["none", "relu", "relu6"]]:
        table = operator.BuiltinOptions()
        kind = {"CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions"}.get(
            name, "FullyConnectedOptions"
        )
        if table is None or operator.BuiltinOptionsType() != getattr(self.schema.BuiltinOptions, kind):
            raise self._error(f"{name} comes without its {kind}")
        options = getattr(self.schema, kind)()
        options.Init(table.Bytes, table.Pos)
        number = options.FusedActivationFunction()
        if number not in _ACTIVATIONS:
            raise self._error(f"{name} has activation number {number}; known are none, ReLU and ReLU6")
        if name == "FULLY_CONNECTED":
            return 1, "either", _ACTIVATIONS[number]
        if name == "DEPTHWISE_CONV_2D" and options.DepthMultiplier() != 1:
            raise self._error(f"a depthwise convolution has multiplier {options.DepthMultiplier()}; expected 1")
        strides = options.StrideH(), options.StrideW()
        if strides[0] != strides[1] or strides[0] not in (1, 2):
            raise self._error(f"{name} has strides {strides}; expected 1 or 2 both ways")
        if options.DilationHFactor() != 1 or options.DilationWFactor() != 1 or shape[2] != shape[3]:
            raise self._error(f"{name} is dilated or not square")
        padding = self._padding(operator.Inputs(0), shape[2], strides[0], valid=options.Padding() == 1)
        return strides[0], padding, _ACTIVATIONS[number]

    def _padding(self, source: int, kernel: int, stride: int, *, valid: bool) -> Literal["same", "symmetric", "either"]:
        """Tell the padding rule of a convolution by the pixels it adds before and after each side."""
        size, added = self.padded.get(source, (0, (0, 0, 0, 0)))
        if source not in self.padded:
            shape = self._shape(source)
            size = shape[1] if len(shape) == 4 else 0
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        same = (total // 2, total - total // 2) * 2
        if not valid:
            if source in self.padded:
                raise self._error("a padded map goes into a convolution that pads again")
            added = same
        rules = [rule for rule, amounts in (("same", same), ("symmetric", (kernel // 2,) * 4)) if added == amounts]
        if not rules:
            raise self._error(f"a {kernel}x{kernel} convolution of stride {stride} pads {added}; no known net does")
        return "either" if len(rules) == 2 else rules[0]  # type: ignore[return-value]

    def _pad(self, operator: Any) -> None:
        _, amounts = self._stored(operator.Inputs(1))
        shape = self._shape(operator.Inputs(0))
        if amounts.shape != (4, 2) or len(shape) != 4 or amounts[[0, 3]].any() or shape[1] != shape[2]:
            raise self._error(f"PAD by {amounts.tolist()} is not padding of a square map")
        top, bottom, left, right = (int(amount) for amount in amounts[1:3].ravel())
        self.padded[self._index(operator.Outputs(0))] = shape[1], (top, bottom, left, right)

    def _labels(self, count: int) -> tuple[str, ...] | None:
        """Return the packed label list with `count` lines, if there is exactly one."""
        try:
            with zipfile.ZipFile(io.BytesIO(self.content)) as archive:
                texts = [item for item in archive.infolist() if item.filename.endswith(".txt")]
                if len(texts) != 1 or texts[0].file_size > 10_000_000:
                    return None
                lines = archive.read(texts[0]).decode("utf-8").splitlines()
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError):
            return None
        return tuple(lines) if len(lines) == count else None
