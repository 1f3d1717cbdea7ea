"""One TFLite file opened: its operators, shapes and constants, every index, shape and type checked."""

import struct
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import WeightsError
from pocketvision.weights.numbers import finite

Array = NDArray[np.float32]
LARGEST_COUNT = 10_000
"""Of operators or tensors; a classifier for phones has a few hundred."""
DAMAGE = (struct.error, IndexError, ValueError, TypeError, AttributeError, KeyError, OverflowError, MemoryError)
_TYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 9: "i1"}
"""TensorType of schema.fbs -> numpy: FLOAT32, FLOAT16, INT32, UINT8, INT64, INT8."""
_INT8 = 9


class FileScale(NamedTuple):
    """How a tensor's levels stand for real values: real = scale * (uint8 - zero_point)."""

    scale: float
    zero_point: int


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor's values: real ones, and the whole numbers they were stored in."""

    real: Array
    centerd: NDArray[np.int16] | None = None
    """The stored numbers without their zero point."""
    scale: NDArray[np.float64] | None = None
    """One, or one an output channel."""


@dataclass(eq=False)
class TfliteFile:
    """A file's one graph; `schema` is the package `tflite`. Whatever does not hold is a `WeightsError`."""

    content: bytes
    name: str
    schema: ModuleType
    stored_as: dict[int, int] = field(default_factory=dict)
    """Tensors that a DEQUANTIZE makes out of a stored one."""

    def __post_init__(self) -> None:
        self.model = self.schema.Model.GetRootAsModel(self.content, 0)
        if self.model.Version() != 3 or self.model.SubgraphsLength() != 1:
            raise self.error(
                f"expected schema version 3 and one subgraph, found version {self.model.Version()} "
                f"and {self.model.SubgraphsLength()} subgraphs"
            )
        self.graph = self.model.Subgraphs(0)
        largest = max(self.graph.OperatorsLength(), self.graph.TensorsLength(), self.model.BuffersLength())
        if largest > LARGEST_COUNT:
            raise self.error(f"expected at most {LARGEST_COUNT} operators and tensors, found {largest}")

    def error(self, text: str) -> WeightsError:
        """Build an error that begins with the file's name."""
        return WeightsError(f"{self.name}: {text}")

    # ------------------------------------------------------------ structure

    def operators(self) -> list[tuple[str, Any]]:
        """Return all operators with their names, in running order."""
        found = [self.graph.Operators(index) for index in range(self.graph.OperatorsLength())]
        return [(self.operator_name(operator), operator) for operator in found]

    def operator_name(self, operator: Any) -> str:
        """Return the name of an operator's kind."""
        index = operator.OpcodeIndex()
        if not 0 <= index < self.model.OperatorCodesLength():
            raise self.error(f"an operator refers to code {index} of {self.model.OperatorCodesLength()}")
        code = self.model.OperatorCodes(index)
        # Old files keep the number in the deprecated byte, new ones in the wide field.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number == self.schema.BuiltinOperator.CUSTOM:
            return str((code.CustomCode() or b"").decode("utf-8", "replace")) or "CUSTOM"
        names = {value: key for key, value in vars(self.schema.BuiltinOperator).items() if isinstance(value, int)}
        return str(names.get(number, f"operator {number}"))

    def options(self, operator: Any, kind: str) -> Any:
        """Return an operator's table of options, which must be of this kind."""
        table = operator.BuiltinOptions()
        if table is None or operator.BuiltinOptionsType() != getattr(self.schema.BuiltinOptions, kind):
            raise self.error(f"an operator comes without its {kind}")
        options = getattr(self.schema, kind)()
        options.Init(table.Bytes, table.Pos)
        return options

    def index(self, index: int) -> int:
        """Return a tensor's number, checked."""
        if not 0 <= index < self.graph.TensorsLength():
            raise self.error(f"an operator refers to tensor {index} of {self.graph.TensorsLength()}")
        return int(index)

    def shape(self, index: int) -> tuple[int, ...]:
        """Return a tensor's shape."""
        tensor = self.graph.Tensors(self.index(index))
        shape = tuple(int(tensor.Shape(axis)) for axis in range(min(tensor.ShapeLength(), 9)))
        if len(shape) > 8 or any(side < 1 for side in shape):
            raise self.error(f"tensor {index} has the shape {shape}")
        return shape

    def label(self, index: int) -> str:
        """Return a tensor's name."""
        return (self.graph.Tensors(self.index(index)).Name() or b"").decode("utf-8", "replace")

    def is_constant(self, index: int) -> bool:
        """Tell whether a tensor's values are in the file."""
        buffer = self.graph.Tensors(self.index(index)).Buffer()
        return bool(0 <= buffer < self.model.BuffersLength() and self.model.Buffers(buffer).DataLength() > 0)

    # ------------------------------------------------------------ values

    def stored(self, index: int) -> NDArray[Any]:
        """Return a constant as stored."""
        index = self.stored_as.get(self.index(index), index)
        tensor, shape = self.graph.Tensors(index), self.shape(index)
        if tensor.Type() not in _TYPES:
            raise self.error(f"tensor {index} has type {tensor.Type()}; known are float32, float16, int8, uint8, int32")
        if not 0 <= tensor.Buffer() < self.model.BuffersLength():
            raise self.error(f"tensor {index} refers to buffer {tensor.Buffer()} of {self.model.BuffersLength()}")
        buffer = self.model.Buffers(tensor.Buffer())
        data = buffer.DataAsNumpy() if buffer.DataLength() else np.zeros(0, np.uint8)
        dtype = np.dtype(_TYPES[tensor.Type()])
        # In Python's whole numbers: a product of hostile shapes must not wrap around.
        expected = dtype.itemsize
        for side in shape:
            expected *= side
        if data.nbytes != expected:
            raise self.error(f"tensor {index} should hold {expected} bytes, the file has {data.nbytes}")
        return np.frombuffer(data.tobytes(), dtype).reshape(shape)

    def _scales(self, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return scales and zero points, or None for a tensor of real numbers."""
        quantization = self.graph.Tensors(self.index(index)).Quantization()
        if quantization is None or not quantization.ScaleLength():
            return None
        scale = quantization.ScaleAsNumpy().astype(np.float64)
        zero = np.zeros_like(scale)
        if quantization.ZeroPointLength():
            zero = zero + quantization.ZeroPointAsNumpy().astype(np.float64)
        return scale, zero

    def level(self, index: int) -> FileScale | None:
        """Return the scale of an activation in uint8, None where it is real or has several."""
        found = self._scales(index)
        if found is None or len(found[0]) != 1:
            return None
        scale, zero = float(found[0][0]), float(found[1][0])
        zero += 128 * (self.graph.Tensors(index).Type() == _INT8)
        if not (0 < scale < np.inf and 0 <= zero <= 255):
            raise self.error(f"tensor {index} has the scale {scale:g} and zero point {zero:g}")
        return FileScale(scale, int(zero))

    def constant(self, index: int) -> Constant:
        """Return a tensor's real values, and the whole numbers behind them."""
        stored, index = self.stored(index), self.stored_as.get(self.index(index), index)
        if stored.dtype.kind == "f":
            return Constant(self.finite(stored, index))
        scales = self._scales(index)
        if scales is None:
            raise self.error(f"tensor {index} holds whole numbers without a scale")
        scale, zero = scales
        axis = self.graph.Tensors(index).Quantization().QuantizedDimension()
        if len(scale) > 1 and not (0 <= axis < stored.ndim and stored.shape[axis] == len(scale)):
            raise self.error(f"tensor {index} has {len(scale)} scales for the shape {list(stored.shape)}")
        spread = [1] * stored.ndim
        if len(scale) > 1:
            spread[axis] = -1
        centerd = stored - zero.reshape(spread)
        real = self.finite(centerd * scale.reshape(spread), index)
        return Constant(real, centerd.astype(np.int16) if stored.itemsize == 1 else None, scale)

    def finite(self, values: NDArray[Any], index: int) -> Array:
        """Return float32 values; a `WeightsError` where one is no finite number."""
        return finite(values, f"{self.name}: tensor {index}")
