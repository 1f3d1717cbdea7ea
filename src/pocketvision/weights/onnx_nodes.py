"""One ONNX file opened: its operators with their settings, its constants, and the shapes of what is between."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import MissingExtra, WeightsError

Array = NDArray[Any]
DAMAGE = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
"""What reading a damaged file may raise."""


class OnnxFile:
    """A file's graph; whatever does not hold is a `WeightsError`."""

    def __init__(self, content: bytes, name: str) -> None:
        try:
            import onnx
        except ImportError as error:
            raise MissingExtra("onnx", "onnx") from error
        self.name, self._onnx = name, onnx
        try:
            self.model = onnx.load_model_from_string(content)
            self.words = {entry.key: entry.value for entry in self.model.metadata_props}
        except Exception as error:  # protobuf's own classes
            raise WeightsError(f"{name} is no ONNX file, or was cut short ({type(error).__name__})") from error
        self.nodes: list[Any] = list(self.model.graph.node)
        self.stored = {entry.name: entry for entry in self.model.graph.initializer}
        self.makers = {name: node for node in self.nodes for name in node.output}
        self.outputs = {entry.name for entry in self.model.graph.output}

    def inputs(self) -> dict[str, list[int | None]]:
        """Return the shape of each input, None for a side that may be any."""
        entries = [entry for entry in self.model.graph.input if entry.name not in self.stored]
        return {entry.name: [dim.dim_value or None for dim in entry.type.tensor_type.shape.dim] for entry in entries}

    def fix(self, name: str, shape: Sequence[int | None]) -> None:
        """Say which size an input has, before the shapes of others are inferred."""
        entry = next(entry for entry in self.model.graph.input if entry.name == name)
        for dim, side in zip(entry.type.tensor_type.shape.dim, shape, strict=True):
            dim.dim_value = side or 1

    def settings(self, node: Any) -> dict[str, Any]:
        """Return an operator's attributes by name."""
        return {entry.name: self._onnx.helper.get_attribute_value(entry) for entry in node.attribute}

    def is_constant(self, name: str) -> bool:
        """Tell whether a tensor's values are in the file, perhaps to be cast or dequantized."""
        if name in self.stored:
            return True
        maker = self.makers.get(name)
        if maker is None:
            return False
        return maker.op_type == "Constant" or (len(maker.input) > 0 and self.is_constant(maker.input[0]))

    def dims(self, name: str) -> tuple[int, ...]:
        """Return a constant's shape."""
        if name in self.stored:
            return tuple(self.stored[name].dims)
        maker = self.makers[name]
        if maker.op_type == "Constant":
            return tuple(self.values(name).shape)
        if maker.op_type == "ConstantOfShape":
            return tuple(int(side) for side in self.values(maker.input[0]))
        if maker.op_type == "Reshape" and self.is_constant(maker.input[1]):
            return tuple(np.broadcast_to(0, self.dims(maker.input[0])).reshape(self.values(maker.input[1])).shape)
        found = self.dims(maker.input[0])
        return tuple(found[axis] for axis in self.settings(maker)["perm"]) if maker.op_type == "Transpose" else found

    def values(self, name: str) -> Array:
        """Return a constant's values, as stored or, where the file dequantizes them, what they stand for."""
        if name in self.stored:
            return np.asarray(self._onnx.numpy_helper.to_array(self.stored[name]))
        maker = self.makers[name]
        if maker.op_type == "Constant":
            (held,) = self.settings(maker).values()
            return self._array(held)
        if maker.op_type == "ConstantOfShape":
            (held,) = self.settings(maker).values() or (np.float32(0),)
            return np.broadcast_to(self._array(held).ravel()[0], self.dims(name))
        found = self.values(maker.input[0])
        return np.asarray(found * self.values(maker.input[1])) if maker.op_type == "DequantizeLinear" else found

    def _array(self, held: Any) -> Array:
        return np.asarray(self._onnx.numpy_helper.to_array(held) if hasattr(held, "dims") else held)

    def inferred(self, name: str) -> Sequence[int] | None:
        """Return the shape of a tensor as ONNX's own rules tell it, 0 for a side that may be any; None where they do
        not."""
        return self._shapes.get(name)

    @cached_property
    def _shapes(self) -> dict[str, list[int]]:
        found = self._onnx.shape_inference.infer_shapes(self.model, data_prop=True).graph.value_info
        return {entry.name: [dim.dim_value for dim in entry.type.tensor_type.shape.dim] for entry in found}
