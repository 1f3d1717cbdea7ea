"""Core ML packages as data: the program's operations with their constants; the only reader that loads coremltools.

A package is a folder with a protobuf, the model, and one file of weights beside it. The weights file holds records of
64 bytes, each with a magic number, a type, a size and the offset of its values.
"""

import json
import logging
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import MissingExtra, WeightsError
from pocketvision.runtime.quiet import quiet

Value = Any
"""A constant: an array, a number, a text, or a tuple of them."""
_MODEL = "model.mlmodel"
_MAGIC = 0xDEADBEEF
_RECORD = struct.Struct("<IIQQ")
_DTYPES = {"BOOL": "?", "FLOAT16": "<f2", "FLOAT32": "<f4", "FLOAT64": "<f8", "INT8": "i1", "INT16": "<i2"} | {
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
}
"""MIL's names of types to numpy's."""
_NARROW = {"UINT1": 1, "UINT2": 2, "UINT4": 4, "UINT6": 6}
"""Whole numbers of fewer than 8 bits, stored one after the other, the lowest bit first."""


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation: constants by argument, or the names of earlier outputs."""

    kind: str
    arguments: dict[str, Value]
    sources: dict[str, tuple[str, ...]]
    """Arguments that are outputs of earlier operations."""
    outputs: tuple[str, ...]
    dtype: str | None
    """numpy's type of the first output; None where it is a text or a dictionary."""


@dataclass(frozen=True, eq=False)
class MilFile:
    """The one function of a program, and what the package says of itself."""

    operations: tuple[Operation, ...]
    input: str
    input_shape: tuple[int, ...]
    """[1, channels, height, width] of the image."""
    outputs: tuple[str, ...]
    metadata: dict[str, str]
    version: int
    """Core ML's specification version: 6 is iOS 15, 7 iOS 16, 8 iOS 17."""
    labels: tuple[str, ...] = ()
    """Of a detector: those of the suppressing model behind the program, which is not read any further."""


def read_mil(folder: Path) -> MilFile:
    """Read a package; raises WeightsError where it is damaged, or MissingExtra without coremltools."""
    schema = _schema()
    try:
        model = _model_path(folder)
        spec = schema.Model()
        spec.ParseFromString(model.read_bytes())
        return _file(spec, model.parent)
    except (OSError, KeyError, ValueError, IndexError, struct.error, schema.DecodeError) as error:
        raise WeightsError(f"{folder.name} is not a Core ML program that can be read ({error!r})") from error


def _schema() -> Any:
    logging.getLogger("coremltools").setLevel(logging.ERROR)  # it warns of parts that Apple's systems alone have
    try:
        with quiet():
            from coremltools.proto import Model_pb2
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise MissingExtra("coremltools", "coreml") from error
    Model_pb2.DecodeError = DecodeError
    return Model_pb2


def _model_path(folder: Path) -> Path:
    """Return the model that the package's own list names, inside the package."""
    entries = json.loads((folder / "Manifest.json").read_text(encoding="utf-8"))["itemInfoEntries"]
    for entry in entries.values():
        path = folder / "Data" / str(entry["path"])
        if path.name == _MODEL and path.resolve().is_relative_to(folder.resolve()):
            return path
    raise ValueError(f"the package lists no {_MODEL}")


def _file(spec: Any, folder: Path) -> MilFile:
    models = list(spec.pipeline.models)
    program = models[0].mlProgram if models else spec.mlProgram
    function = program.functions["main"]
    block = function.block_specializations[function.opset]
    source = function.inputs[0]
    reader = _Reader(folder)
    return MilFile(
        operations=tuple(reader.operation(operation) for operation in block.operations),
        input=source.name,
        input_shape=tuple(side.constant.size for side in source.type.tensorType.dimensions),
        outputs=tuple(block.outputs),
        metadata=dict(spec.description.metadata.userDefined),
        version=spec.specificationVersion,
        labels=tuple(models[1].nonMaximumSuppression.stringClassLabels.vector) if len(models) > 1 else (),
    )


class _Reader:
    """Turns protobuf messages into arrays; `folder` is where the weights lie."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.weights: dict[str, bytes] = {}

    def operation(self, message: Any) -> Operation:
        arguments = {name: self.value(value) for name, value in message.attributes.items()}
        sources: dict[str, tuple[str, ...]] = {}
        for name, argument in message.inputs.items():
            bound = argument.arguments
            if any(part.WhichOneof("binding") == "name" for part in bound):
                sources[name] = tuple(part.name for part in bound)
            else:
                values = tuple(self.value(part.value) for part in bound)
                arguments[name] = values[0] if len(values) == 1 else values
        kind = message.outputs[0].type
        tensor = kind.WhichOneof("type") == "tensorType"
        dtype = _DTYPES.get(_type_name(kind.tensorType.dataType)) if tensor else None
        return Operation(message.type, arguments, sources, tuple(part.name for part in message.outputs), dtype)

    def value(self, message: Any) -> Value:
        if message.WhichOneof("value") == "blobFileValue":
            return self._stored(message)
        immediate = message.immediateValue
        match immediate.WhichOneof("value"):
            case "tensor":
                return _tensor(immediate.tensor, message.type.tensorType)
            case "list":
                return tuple(self.value(part) for part in immediate.list.values)
            case "tuple":
                return tuple(self.value(part) for part in immediate.tuple.values)
        raise ValueError(f"a constant of an unknown kind: {immediate.WhichOneof('value')}")

    def _stored(self, message: Any) -> NDArray[Any]:
        path = message.blobFileValue.fileName.removeprefix("@model_path/")
        if path not in self.weights:
            file = self.folder / path
            if not file.resolve().is_relative_to(self.folder.resolve()):
                raise ValueError(f"weights outside the package: {path}")
            self.weights[path] = file.read_bytes()
        content = self.weights[path]
        magic, _, size, start = _RECORD.unpack_from(content, message.blobFileValue.offset)
        if magic != _MAGIC or start + size > len(content):
            raise ValueError(f"no weights at {message.blobFileValue.offset}")
        kind = message.type.tensorType
        return _values(content[start : start + size], kind)


def _values(content: bytes, kind: Any) -> NDArray[Any]:
    name, shape = _type_name(kind.dataType), _shape(kind)
    if name not in _NARROW:
        return np.frombuffer(content, np.dtype(_DTYPES[name])).reshape(shape)
    bits, count = _NARROW[name], int(np.prod(shape))
    ones = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")[: count * bits]
    numbers = ones.reshape(count, bits) @ (1 << np.arange(bits))
    return numbers.astype(np.uint8).reshape(shape)


def _type_name(number: int) -> str:
    from coremltools.proto import MIL_pb2

    return str(MIL_pb2.DataType.Name(number))


def _shape(kind: Any) -> tuple[int, ...]:
    return tuple(side.constant.size for side in kind.dimensions)


def _tensor(message: Any, kind: Any) -> Value:
    """Return an immediate constant: a text or texts, or an array of its shape, 0-d for one number."""
    field = message.WhichOneof("value")
    name = _type_name(kind.dataType)
    if field == "strings":
        texts = tuple(str(text) for text in message.strings.values)
        return texts if kind.rank else texts[0]
    values = getattr(message, field).values
    if field == "bytes":
        return _values(values, kind)
    return np.array(list(values), np.dtype(_DTYPES[name])).reshape(_shape(kind))
