"""A LiteRT file in the making: tensors, constants and operators collected, then written as one FlatBuffer.

Numbers of operators, option tables and slots are those of TensorFlow Lite's schema, version 3
(tensorflow/compiler/mlir/lite/schema/schema.fbs).
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import GraphError
from pocketvision.export.tables import Field, Tables
from pocketvision.graph.graph import Array, Shape

SCHEMA_VERSION = 3
IDENTIFIER = b"TFL3"
SIGNATURE = "serving_default"
_TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int8": 9}
_WIDEST_RATIO = 256.0
"""Of input times weight scale to output scale: XNNPACK refuses to open a file that reaches it."""


class Kind(NamedTuple):
    """An operator: its number, the number of its table of options, its version for floats and for int8."""

    number: int
    options: int
    version: int = 1
    int8: int = 2


KINDS = {
    "ADD": Kind(0, 11),
    "AVERAGE_POOL_2D": Kind(1, 5),
    "CONCATENATION": Kind(2, 10),
    "CONV_2D": Kind(3, 1, int8=3),
    "DEPTHWISE_CONV_2D": Kind(4, 2, int8=3),
    "DEQUANTIZE": Kind(6, 38, version=2),
    "FULLY_CONNECTED": Kind(9, 8, int8=4),
    "LOCAL_RESPONSE_NORMALIZATION": Kind(13, 13),
    "LOGISTIC": Kind(14, 0),
    "MAX_POOL_2D": Kind(17, 5),
    "MUL": Kind(18, 21),
    "RELU": Kind(19, 0),
    "RELU6": Kind(21, 0),
    "RESHAPE": Kind(22, 17, int8=1),
    "SOFTMAX": Kind(25, 9),
    "PAD": Kind(34, 22),
    "TRANSPOSE": Kind(39, 26),
    "MEAN": Kind(40, 27),
    "GATHER": Kind(36, 23),
    "SUB": Kind(41, 28),
    "STRIDED_SLICE": Kind(45, 32),
    "EXP": Kind(47, 33),
    "CAST": Kind(53, 37),
    "MINIMUM": Kind(57, 39),
    "PADV2": Kind(60, 43),
    "SQRT": Kind(75, 0),
    "RSQRT": Kind(76, 0),
    "LEAKY_RELU": Kind(98, 75),
    "QUANTIZE": Kind(114, 89),
    "HARD_SWISH": Kind(117, 91),
}
CUSTOM = {"TFLite_Detection_PostProcess": Kind(32, 0)}
"""Operators that are called by their names: the number stands for all of them."""
ONE_RANGE = ("RESHAPE", "TRANSPOSE", "PAD", "PADV2", "MAX_POOL_2D", "AVERAGE_POOL_2D", "CONCATENATION", "STRIDED_SLICE")
"""Operators whose input and output must have one scale: runtimes refuse others, or answer wrongly without a word."""


class TensorScale(NamedTuple):
    """How a tensor's whole numbers stand for real values: one scale, or one for each place along `axis`."""

    scale: tuple[float, ...]
    zero_point: int = 0
    axis: int = 0


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of the file; `content` where its values are known."""

    shape: Shape
    dtype: str
    scale: TensorScale | None = None
    name: str = ""
    content: Array | None = None


class FileStep(NamedTuple):
    """One operator with the places of its tensors."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    options: tuple[Field, ...] = ()
    more: tuple[int, ...] = ()
    """Outputs behind the first."""
    custom: bytes = b""
    """Options of an operator that is called by its name."""


class LitertFile:
    """Collects tensors and operators; tensors are named by their place. Equal constants are shared."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self._operators: list[FileStep] = []
        self._constants: dict[Hashable, int] = {}

    @property
    def steps(self) -> Sequence[FileStep]:
        """The operators in running order."""
        return self._operators

    def tensor(self, shape: Shape, dtype: str, scale: TensorScale | None = None, *, name: str = "") -> int:
        """Add a tensor [N, ...] that is computed or fed."""
        self.tensors.append(Tensor(shape, dtype, scale, name))
        return len(self.tensors) - 1

    def constant(self, values: Array, scale: TensorScale | None = None) -> int:
        """Add a constant."""
        key = (values.dtype.str, values.shape, scale, values.tobytes())
        if key not in self._constants:
            self.tensors.append(Tensor(values.shape, values.dtype.name, scale, content=values))
            self._constants[key] = len(self.tensors) - 1
        return self._constants[key]

    def operator(self, kind: str, inputs: Sequence[int], output: int, *options: Field) -> int:
        """Add an operator and return its output."""
        if kind in ONE_RANGE:
            numbers = [place for place in inputs if self.tensors[place].dtype in ("int8", "uint8")]
            assert all(self.tensors[place].scale == self.tensors[output].scale for place in numbers), kind
        self._operators.append(FileStep(kind, tuple(inputs), output, options))
        return output

    def custom(self, kind: str, inputs: Sequence[int], outputs: Sequence[int], options: bytes) -> None:
        """Add an operator that is called by its name."""
        first, *more = outputs
        self._operators.append(FileStep(kind, tuple(inputs), first, more=tuple(more), custom=options))

    def to_bytes(self, image: int, *answers: int, metadata: Mapping[str, bytes] | None = None) -> bytes:
        """Return the file; `image` is the tensor that goes in, `answers` those that come out."""
        tables = Tables()
        extra = dict(metadata or {})
        buffers = [tables.table()]  # the first one has to be empty: it stands for what is computed
        buffers += [_buffer(tables, tensor.content) for tensor in self.tensors if tensor.content is not None]
        entries = []
        for name, content in extra.items():
            entries.append(tables.table(Field(0, "offset", tables.text(name)), Field(1, "uint32", len(buffers))))
            buffers.append(_buffer(tables, np.frombuffer(content, np.uint8)))
        codes = sorted({(entry.kind, self._version(entry)) for entry in self._operators})
        fields = [
            Field(0, "uint32", SCHEMA_VERSION),
            Field(1, "offset", tables.offsets([_code(tables, *code) for code in codes])),
            Field(2, "offset", tables.offsets([self._subgraph(tables, image, answers, codes)])),
            Field(3, "offset", tables.text("pocketvision")),
            Field(4, "offset", tables.offsets(buffers)),
            Field(7, "offset", tables.offsets([self._signature(tables, image, answers)])),
        ]
        if entries:
            fields.append(Field(6, "offset", tables.offsets(entries)))
        return tables.finish(tables.table(*fields), IDENTIFIER)

    def _version(self, entry: FileStep) -> int:
        kind = _kind(entry.kind)
        return kind.int8 if self.tensors[entry.inputs[0]].dtype == "int8" else kind.version

    def _subgraph(self, tables: Tables, image: int, answers: Sequence[int], codes: list[tuple[str, int]]) -> int:
        tensors: list[int] = []
        stored = 0
        for tensor in self.tensors:
            stored += tensor.content is not None
            tensors.append(_tensor(tables, tensor, stored if tensor.content is not None else 0))
        operators = [
            _operator(tables, entry, codes.index((entry.kind, self._version(entry)))) for entry in self._operators
        ]
        return tables.table(
            Field(0, "offset", tables.offsets(tensors)),
            Field(1, "offset", tables.numbers(np.array([image], np.int32))),
            Field(2, "offset", tables.numbers(np.array(answers, np.int32))),
            Field(3, "offset", tables.offsets(operators)),
            Field(4, "offset", tables.text("main")),
        )

    def _signature(self, tables: Tables, image: int, answers: Sequence[int]) -> int:
        ends = [
            tables.table(Field(0, "offset", tables.text(self.tensors[place].name)), Field(1, "uint32", place))
            for place in (image, *answers)
        ]
        return tables.table(
            Field(0, "offset", tables.offsets(ends[:1])),
            Field(1, "offset", tables.offsets(ends[1:])),
            Field(2, "offset", tables.text(SIGNATURE)),
        )


def require_ratio(name: str, source: float, weights: NDArray[np.generic], target: float) -> None:
    """Refuse scales that no phone's fast kernels take: the file would not open there."""
    largest = source * float(weights.astype(np.float64).max()) / target
    if largest >= _WIDEST_RATIO:
        raise GraphError(
            f"'{name}' multiplies its scale by {largest:.0f}; kernels take less than {_WIDEST_RATIO:.0f}. "
            "Calibrate on more images"
        )


def _buffer(tables: Tables, content: Array) -> int:
    return tables.table(Field(0, "offset", tables.numbers(np.frombuffer(content.tobytes(), np.uint8))))


def _kind(name: str) -> Kind:
    return KINDS[name] if name in KINDS else CUSTOM[name]


def _code(tables: Tables, kind: str, version: int) -> int:
    number = _kind(kind).number
    # Readers from before 2020 know the first of the two places of the number only.
    fields = [Field(0, "int8", min(number, 127)), Field(2, "int32", version), Field(3, "int32", number)]
    if kind in CUSTOM:
        fields.append(Field(1, "offset", tables.text(kind)))
    return tables.table(*fields)


def _tensor(tables: Tables, tensor: Tensor, buffer: int) -> int:
    fields = [
        Field(0, "offset", tables.numbers(np.array(tensor.shape, np.int32))),
        Field(1, "int8", _TYPES[tensor.dtype]),
        Field(2, "uint32", buffer),
    ]
    if tensor.name:
        fields.append(Field(3, "offset", tables.text(tensor.name)))
    if tensor.scale:
        count = len(tensor.scale.scale)
        quantization = tables.table(
            Field(2, "offset", tables.numbers(np.array(tensor.scale.scale, np.float32))),
            # As many as there are scales, also where all are 0.
            Field(3, "offset", tables.numbers(np.full(count, tensor.scale.zero_point, np.int64))),
            Field(6, "int32", tensor.scale.axis),
        )
        fields.append(Field(4, "offset", quantization))
    return tables.table(*fields)


def _operator(tables: Tables, entry: FileStep, code: int) -> int:
    fields = [
        Field(0, "uint32", code),
        Field(1, "offset", tables.numbers(np.array(entry.inputs, np.int32))),
        Field(2, "offset", tables.numbers(np.array([entry.output, *entry.more], np.int32))),
    ]
    if entry.custom:
        fields.append(Field(5, "offset", tables.numbers(np.frombuffer(entry.custom, np.uint8))))
    if options := _kind(entry.kind).options:
        fields.append(Field(3, "uint8", options))
        fields.append(Field(4, "offset", tables.table(*entry.options)))
    return tables.table(*fields)
