"""Tables of the FlatBuffers format, written slot by slot; the only module that loads flatbuffers."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import MissingExtra

ALIGNMENT = 16
"""Of vectors of numbers: the schema of TensorFlow Lite asks for it where weights are stored."""


class Field(NamedTuple):
    """One field of a table: its place in the schema, counted from 0, what it is, and its value."""

    slot: int
    kind: Literal["bool", "int8", "uint8", "int32", "uint32", "float32", "offset"]
    value: Any
    """A number; of an offset what a method of `Tables` returned."""


class Tables:
    """A FlatBuffer in the making: it is written from its end, so that children come before what refers to them."""

    def __init__(self) -> None:
        try:
            import flatbuffers
        except ImportError as error:
            raise MissingExtra("flatbuffers", "litert") from error
        self._builder: Any = flatbuffers.Builder(1 << 16)
        self._texts: dict[str, int] = {}
        self._vectors: dict[tuple[str, bytes], int] = {}

    def table(self, *fields: Field) -> int:
        """Write a table; what is 0 or absent is left out, as the format asks."""
        self._builder.StartObject(1 + max((field.slot for field in fields), default=-1))
        for slot, kind, value in fields:
            if kind == "offset":
                self._builder.PrependUOffsetTRelativeSlot(slot, value, 0)
            else:
                getattr(self._builder, f"Prepend{kind.capitalize()}Slot")(slot, value, 0)
        return int(self._builder.EndObject())

    def text(self, value: str) -> int:
        """Write a text; equal texts are written once."""
        if value not in self._texts:
            self._texts[value] = int(self._builder.CreateString(value))
        return self._texts[value]

    def numbers(self, values: NDArray[np.generic]) -> int:
        """Write a vector of numbers, aligned for any processor; equal vectors are written once."""
        key = values.dtype.str, values.tobytes()
        if key not in self._vectors:
            item = values.dtype.itemsize
            self._builder.StartVector(item, values.size, ALIGNMENT)
            self._builder.head = start = self._builder.Head() - len(key[1])
            self._builder.Bytes[start : start + len(key[1])] = key[1]
            self._vectors[key] = int(self._builder.EndVector())
        return self._vectors[key]

    def offsets(self, values: Sequence[int]) -> int:
        """Write a vector of tables or texts."""
        self._builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            self._builder.PrependUOffsetTRelative(value)
        return int(self._builder.EndVector())

    def finish(self, root: int, identifier: bytes) -> bytes:
        """Return the whole buffer; `identifier` are the four letters that name its schema."""
        self._builder.Finish(root, file_identifier=identifier)
        return bytes(self._builder.Output())


def options_map(values: Mapping[str, bool | int | float]) -> bytes:
    """Return options of an operator that the schema does not know, as a map in the FlexBuffers format."""
    from flatbuffers import flexbuffers

    builder = flexbuffers.Builder()
    with builder.Map():
        for name, value in values.items():
            builder.Key(name)
            builder.Add(value)
    return bytes(builder.Finish())
