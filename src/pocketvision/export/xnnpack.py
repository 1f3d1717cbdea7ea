"""The operators of a LiteRT file as nodes of XNNPACK, in the form that ExecuTorch's delegate reads.

Both files then hold the same integers, run the same kernels and answer alike. Tensors are [1, H, W, C] or [1, C], the
image uint8 pixels. `schema` is the module with ExecuTorch's own classes of nodes and values.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pocketvision.errors import GraphError
from pocketvision.export.litert_file import FileStep, LitertFile
from pocketvision.graph.graph import Array, same_pads

_NONE, _NAMED = 2**32 - 1, 2**64 - 1
_IMAGE = 0
_KEEP_SIZES = 0x40
_CLAMPS: Mapping[int, tuple[float | str, float | str]] = {1: (0.0, "inf"), 3: (0.0, 6.0)}
"""TensorFlow Lite's numbers of ReLU and ReLU6."""
_MOST_JOINED = 5
_ALONE = {
    "DEQUANTIZE": "XNNConvert",
    "EXP": "XNNExp",
    "HARD_SWISH": "XNNHardswish",
    "LOGISTIC": "XNNSigmoid",
    "RSQRT": "XNNReciprocalSquareRoot",
    "SOFTMAX": "XNNSoftmax",
    "SQRT": "XNNSquareRoot",
}
_PAIRS = {"ADD": "XNNAdd", "MINIMUM": "XNNMinimum", "MUL": "XNNMultiply", "SUB": "XNNSubtract"}


class Delegate:
    """Collects nodes, values and constants; a value's number is its tensor's place in the file, moved behind the ends.

    `ends` are the image's place in the file and the answers', which have the first numbers.
    """

    def __init__(self, file: LitertFile, ends: tuple[int, ...], schema: Any) -> None:
        self.schema = schema
        self._file = file
        self._numbers = {place: number for number, place in enumerate(ends)}
        self._ends = len(ends)
        self._nodes: list[Any] = []
        self._values: dict[int, Any] = {}
        self._offsets = [schema.ConstantDataOffset(0, 0)]  # stands for what is computed
        self.constants: dict[str, bytes] = {}
        """What the nodes name by their keys: in the delegate's own bytes it would be freed too early."""
        for step in file.steps:
            self._add(step)

    def graph(self) -> Any:
        """Return all nodes as an XNNGraph."""
        values = [self.schema.XValue(value) for value in self._values.values()]
        answers = list(range(1, self._ends))
        return self.schema.XNNGraph("0", self._nodes, values, self._ends, [_IMAGE], answers, self._offsets)

    def _add(self, step: FileStep) -> None:
        writers: Mapping[str, Callable[[FileStep], None]] = {
            "AVERAGE_POOL_2D": self._pool,
            "CONCATENATION": self._join,
            "CONV_2D": self._conv,
            "DEPTHWISE_CONV_2D": self._conv,
            "FULLY_CONNECTED": self._linear,
            "MAX_POOL_2D": self._pool,
            "MEAN": self._mean,
            "PAD": self._pad,
            "PADV2": self._pad,
            "QUANTIZE": self._quantize,
            "RESHAPE": self._reshape,
            "STRIDED_SLICE": self._slice,
            "TRANSPOSE": self._transpose,
        }
        if step.kind in writers:
            writers[step.kind](step)
        else:
            self._elementwise(step)

    def _elementwise(self, step: FileStep) -> None:
        x, y = self._value(step.inputs[0]), self._value(step.output)
        if step.kind in _PAIRS:
            self._node(
                _PAIRS[step.kind], _option(step, 0), input1_id=x, input2_id=self._value(step.inputs[1]), output_id=y
            )
        elif step.kind in ("RELU", "RELU6"):
            self._node("XNNClamp", 1 if step.kind == "RELU" else 3, input_id=x, output_id=y)
        elif step.kind == "LEAKY_RELU":
            self._node("XNNLeakyReLU", negative_slope=float(_option(step, 0)), input_id=x, output_id=y)
        elif step.kind in _ALONE:
            self._node(_ALONE[step.kind], input_id=x, output_id=y)
        else:
            raise GraphError(f"ExecuTorch files have no kernel for {step.kind}")

    def _node(self, kind: str, clamp: int = 0, *, flags: int = 0, **fields: Any) -> None:
        low, high = _CLAMPS.get(clamp, ("-inf", "inf"))
        node = getattr(self.schema, kind)(**fields, flags=flags)
        self._nodes.append(self.schema.XNode(node, 0, self.schema.OutputMinMax(low, high)))

    def _value(self, place: int) -> int:
        """Return the number of a tensor's value, described on first use."""
        number = self._numbers.setdefault(place, place + self._ends)
        if number not in self._values:
            tensor = self._file.tensors[place]
            if tensor.dtype == "float16":
                raise GraphError("ExecuTorch files hold no float16 weights; export with --precision float or int8")
            scales = tensor.scale.scale if tensor.scale else ()
            kind = _datatype(tensor.dtype, len(scales))
            base = self._base(number, kind, tensor.shape, tensor.content)
            if tensor.scale is None:
                self._values[number] = base
            else:
                levels = self._levels(scales, tensor.scale.zero_point, tensor.scale.axis)
                self._values[number] = self.schema.XNNQuantizedTensorValue(base, levels)
        return number

    def _base(self, number: int, kind: str, shape: tuple[int, ...], content: Array | None) -> Any:
        buffer = 0 if content is None else self._constant(content)
        outside = number if number < self._ends else _NONE
        flags = 0 if number >= self._ends else 1 if number == _IMAGE else 2
        datatype = self.schema.XNNDatatype[f"xnn_datatype_{kind}"]
        sizes = [int(size) for size in shape]
        return self.schema.XNNTensorValue(datatype, len(sizes), sizes, buffer, outside, flags, number)

    def _levels(self, scales: tuple[float, ...], zero_point: int, axis: int) -> Any:
        if len(scales) == 1:
            return self.schema.PerTensorQuant(scales[0], zero_point)
        buffer = self._constant(np.array(scales, np.float32))
        return self.schema.PerChannelQuant([], axis, buffer, len(scales))

    def _constant(self, values: Array) -> int:
        content = values.tobytes()
        key = hashlib.sha256(content).hexdigest()[:32]
        self.constants[key] = content
        self._offsets.append(self.schema.ConstantDataOffset(_NAMED, len(content), key))
        return len(self._offsets) - 1

    def _shape(self, place: int) -> tuple[int, ...]:
        return self._file.tensors[place].shape

    def _constant_values(self, place: int) -> list[int]:
        content = self._file.tensors[place].content
        assert content is not None
        return [int(value) for value in content.reshape(-1)]

    def _window(self, step: FileStep, kernel: tuple[int, ...]) -> dict[str, int]:
        """Return padding of a window; the file's rule is 0 for TensorFlow's own padding and 1 for none."""
        stride = _option(step, 2), _option(step, 1)
        pads = (0, 0, 0, 0) if _option(step, 0) else same_pads(self._shape(step.inputs[0])[1:3], kernel, stride)
        return {f"padding_{side}": pad for side, pad in zip(("top", "left", "bottom", "right"), pads, strict=True)}

    def _conv(self, step: FileStep) -> None:
        channels, (outputs, height, width, depth) = self._shape(step.inputs[0])[3], self._shape(step.inputs[1])
        alone = step.kind == "DEPTHWISE_CONV_2D"
        groups = channels if alone else channels // depth
        x, weight, bias = (self._value(place) for place in step.inputs)
        self._node(
            "XNNDepthwiseConv2d" if alone else "XNNConv2d",
            _option(step, 4 if alone else 3),
            **self._window(step, (height, width)),
            kernel_height=height,
            kernel_width=width,
            subsampling_height=_option(step, 2),
            subsampling_width=_option(step, 1),
            dilation_height=1,
            dilation_width=1,
            group_input_channels=1 if alone else depth,
            group_output_channels=(depth if alone else outputs) // groups,
            groups=groups,
            adjustment_height=0,
            adjustment_width=0,
            input1_id=x,
            filter_id=weight,
            bias_id=bias,
            output_id=self._value(step.output),
        )

    def _linear(self, step: FileStep) -> None:
        x, weight, bias = (self._value(place) for place in step.inputs)
        out = self._value(step.output)
        self._node("XNNFullyConnected", _option(step, 0), input1_id=x, filter_id=weight, bias_id=bias, output_id=out)

    def _pool(self, step: FileStep) -> None:
        height, width = kernel = _option(step, 4), _option(step, 3)
        self._node(
            "XNNMaxPooling2d" if step.kind == "MAX_POOL_2D" else "XNNAvgPooling2d",
            **self._window(step, kernel),
            pooling_height=height,
            pooling_width=width,
            stride_height=_option(step, 2),
            stride_width=_option(step, 1),
            dilation_height=1,
            dilation_width=1,
            input_id=self._value(step.inputs[0]),
            output_id=self._value(step.output),
        )

    def _join(self, step: FileStep) -> None:
        """Join along an axis; more than five tensors are not written, as no net has them."""
        count = len(step.inputs)
        if count > _MOST_JOINED:
            name = self._file.tensors[step.output].name
            raise GraphError(f"'{name}' joins {count} tensors; ExecuTorch files join {_MOST_JOINED} at most")
        found = [self._value(place) for place in step.inputs] + [_NONE] * (_MOST_JOINED - count)
        inputs = {f"input{number}_id": value for number, value in enumerate(found, start=1)}
        axis = int(_option(step, 0))
        self._node(f"XNNConcatenate{count}", axis=axis, output_id=self._value(step.output), **inputs)

    def _mean(self, step: FileStep) -> None:
        flags = _KEEP_SIZES if _option(step, 0) else 0
        x, y = self._value(step.inputs[0]), self._value(step.output)
        self._node("XNNGlobalAvgPooling2d", flags=flags, input_id=x, output_id=y)

    def _pad(self, step: FileStep) -> None:
        amounts = self._constant_values(step.inputs[1])
        value = 0.0
        if len(step.inputs) > 2:
            lowest = self._file.tensors[step.inputs[2]]
            assert lowest.content is not None
            zero, scale = (lowest.scale.zero_point, lowest.scale.scale[0]) if lowest.scale else (0, 1.0)
            value = (float(lowest.content[0]) - zero) * scale
        self._node(
            "XNNStaticConstantPad",
            pre_paddings=amounts[::2],
            post_paddings=amounts[1::2],
            padding_value=value,
            input_id=self._value(step.inputs[0]),
            output_id=self._value(step.output),
        )

    def _quantize(self, step: FileStep) -> None:
        """Write levels; those of pixels, which are uint8, by way of their values: XNNPACK has no shorter one."""
        source, target = step.inputs[0], step.output
        x = self._value(source)
        if self._file.tensors[source].dtype == "uint8":
            between = self._file.tensor(self._shape(source), "float32")
            self._node("XNNConvert", input_id=x, output_id=self._value(between))
            x = self._value(between)
        self._node("XNNConvert", input_id=x, output_id=self._value(target))

    def _reshape(self, step: FileStep) -> None:
        shape = [int(size) for size in self._shape(step.output)]
        x, y = self._value(step.inputs[0]), self._value(step.output)
        self._node("XNNStaticReshape", num_dims=len(shape), new_shape=shape, input_id=x, output_id=y)

    def _slice(self, step: FileStep) -> None:
        sizes = [int(size) for size in self._shape(step.output)]
        begin = self._constant_values(step.inputs[1])
        x, y = self._value(step.inputs[0]), self._value(step.output)
        self._node("XNNStaticSlice", num_dims=len(sizes), offsets=begin, sizes=sizes, input_id=x, output_id=y)

    def _transpose(self, step: FileStep) -> None:
        order = self._constant_values(step.inputs[1])
        x, y = self._value(step.inputs[0]), self._value(step.output)
        self._node("XNNStaticTranspose", num_dims=len(order), perm=order, input_id=x, output_id=y)


def _datatype(dtype: str, scales: int) -> str:
    many = "c" if scales > 1 else ""
    return {"float32": "fp32", "int8": f"q{many}int8", "int32": f"q{many}int32", "uint8": "quint8"}[dtype]


def _option(step: FileStep, slot: int) -> Any:
    """Return an option of an operator; what is absent is 0."""
    return next((field.value for field in step.options if field.slot == slot), 0)
