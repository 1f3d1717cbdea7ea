"""The net of any LiteRT file, of whoever wrote it: its operators as an assembly takes them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pocketvision.graph.graph import Activation, Clamp
from pocketvision.latency.assembly import Assembly, FileNet, Window
from pocketvision.weights.tflite import opened
from pocketvision.weights.tflite_file import TfliteFile

_SAME = {"CAST", "DEQUANTIZE", "QUANTIZE", "RSQRT", "SQRT", "SQUEEZE", "EXPAND_DIMS"}
_ACTIVATIONS: dict[str, Activation] = {
    "HARD_SWISH": "hardswish",
    "LEAKY_RELU": "leaky_relu",
    "RELU": "relu",
    "RELU6": "relu6",
    "RELU_N1_TO_1": "relu6",
}
_UNLIKELY = {"ABS", "ELU", "EXP", "GELU", "NEG", "POW", "PRELU", "SQUARE", "TANH"}
"""Work on each value by itself, as a sigmoid does; no timed net has them."""
_FUSED: dict[int, Clamp] = {0: "none", 1: "relu", 2: "relu6", 3: "relu6"}
_INTEGERS = {3: "uint8", 7: "int16", 9: "int8"}
"""TensorType of schema.fbs."""
_BUILTIN = {
    "ADD": "AddOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
}


def read_litert(content: bytes, file: str) -> FileNet:
    """Read a file's net; raises WeightsError for no LiteRT file, or operators that no net of ours has."""
    return opened(content, file, lambda found: _Reader(found, Assembly(file)).net())


class _Reader:
    def __init__(self, file: TfliteFile, net: Assembly) -> None:
        self.file, self.to = file, net
        self.outputs = {file.graph.Outputs(place) for place in range(file.graph.OutputsLength())}
        self.takers: Mapping[str, Callable[[str, Any], None]] = {
            **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), self._conv),
            **dict.fromkeys(("ADD", "SUB"), self._sum),
            **dict.fromkeys(("MUL", "DIV"), self._product),
            **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D"), self._pool),
            **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), self._pad),
            **dict.fromkeys(("SLICE", "STRIDED_SLICE"), self._slice),
            **dict.fromkeys(("SPLIT", "SPLIT_V"), self._split),
            "CONCATENATION": self._concat,
            "FULLY_CONNECTED": self._linear,
            "LOGISTIC": self._logistic,
            "MEAN": self._mean,
            "RESHAPE": self._reshape,
            "SOFTMAX": self._softmax,
            "TRANSPOSE": self._transpose,
        }

    def net(self) -> FileNet:
        """Read all operators."""
        graph = self.file.graph
        if graph.InputsLength() != 1:
            raise self.to.error(f"expected one input, found {graph.InputsLength()}")
        self.to.image(str(graph.Inputs(0)), self.file.shape(graph.Inputs(0)))
        for kind, operator in self.file.operators():
            self._take(kind, operator)
        return self.to.finish("litert", "int8" if self._in_integers() else "float")

    def _in_integers(self) -> bool:
        """Tell whether most layers compute in integers, and note what no timed net had of it."""
        layers = [each for kind, each in self.file.operators() if kind in ("CONV_2D", "DEPTHWISE_CONV_2D")]
        maps, weights = ([self._type(each.Inputs(place)) for each in layers] for place in (0, 1))
        if "uint8" in maps:
            self.to.note("its levels are uint8")
        if "int16" in maps:
            self.to.note("its levels are int16")
        if any(whole and not real for whole, real in zip(weights, maps, strict=True)):
            self.to.note("its maps are quantized anew for every image")
        return sum(map(bool, maps)) > len(maps) / 2

    def _type(self, index: int) -> str:
        return _INTEGERS.get(self.file.graph.Tensors(self.file.index(index)).Type(), "")

    def _take(self, kind: str, operator: Any) -> None:
        maps = [name for name in self._inputs(operator) if name in self.to]
        if not maps or kind == "SHAPE":  # constants, sizes, and what is made of rows
            return
        out = str(operator.Outputs(0))
        if kind in _SAME:
            self.to.same(out, maps[0])
        elif kind in _ACTIVATIONS:
            self.to.activate(out, maps[0], _ACTIVATIONS[kind])
        elif kind in _UNLIKELY:
            self.to.note(f"its {kind}")
            self.to.activate(out, maps[0], "sigmoid")
        elif kind in self.takers:
            self.takers[kind](out, operator)
        else:
            raise self.to.error(f"its operator {kind} is none that can be predicted")

    def _inputs(self, operator: Any) -> list[str]:
        """Return the names of what an operator reads, but for constants."""
        places = [operator.Inputs(place) for place in range(operator.InputsLength())]
        return [str(place) for place in places if place >= 0 and not self.file.is_constant(place)]

    def _clamp(self, kind: str, operator: Any) -> Clamp:
        if operator.BuiltinOptions() is None:
            return "none"
        number = self.file.options(operator, _BUILTIN[kind]).FusedActivationFunction()
        if number not in _FUSED:
            self.to.note(f"its {kind} with activation number {number}")
        return _FUSED.get(number, "relu6")

    # ------------------------------------------------------------ kernels

    def _conv(self, out: str, operator: Any) -> None:
        outputs, tall, wide, inputs = self.file.shape(operator.Inputs(1))
        source = str(operator.Inputs(0))
        channels = self.to.shape(source)[0]
        kind = "DEPTHWISE_CONV_2D" if self._is_depthwise(operator) else "CONV_2D"
        options = self.file.options(operator, _BUILTIN[kind])
        window = self._window(options, (tall, wide))
        if options.DilationHFactor() != 1 or options.DilationWFactor() != 1:
            self.to.note("its dilated convolutions")
            window = window._replace(padding="same")
        clamp = self._clamp(kind, operator)
        if kind == "CONV_2D":
            shape, groups = (outputs, inputs, tall, wide), channels // inputs
        elif self._averages(operator, window):
            self.to.pool(out, source, window, largest=False)
            return
        else:
            shape, groups = (inputs, 1, tall, wide), channels
        self.to.conv(out, source, shape, window, groups=groups, clamp=clamp)

    def _is_depthwise(self, operator: Any) -> bool:
        return bool(operator.BuiltinOptionsType() == self.file.schema.BuiltinOptions.DepthwiseConv2DOptions)

    def _averages(self, operator: Any, window: Window) -> bool:
        """Tell whether a depthwise convolution is an average pool in integers: all its weights are 1."""
        index = self.file.stored_as.get(operator.Inputs(1), operator.Inputs(1))
        if window.kernel == (1, 1) or not self._type(index):
            return False
        return bool((self.file.stored(index) == 1).all())

    def _window(self, options: Any, kernel: tuple[int, int]) -> Window:
        stride = options.StrideH(), options.StrideW()
        return Window(kernel, stride, "same") if options.Padding() == 0 else Window(kernel, stride)

    def _linear(self, out: str, operator: Any) -> None:
        if str(operator.Inputs(1)) in self.to:
            raise self.to.error("a product of two maps is none that can be predicted")
        outputs, inputs = self.file.shape(operator.Inputs(1))
        clamp = self._clamp("FULLY_CONNECTED", operator)
        self.to.linear(out, str(operator.Inputs(0)), (outputs, inputs), clamp=clamp)

    def _sum(self, out: str, operator: Any) -> None:
        first, second = operator.Inputs(0), operator.Inputs(1)
        clamp = self._clamp("ADD", operator) if operator.BuiltinOptionsType() == self._kind("AddOptions") else "none"
        maps = self._inputs(operator)
        if len(maps) == 2:
            self.to.add(out, *maps, clamp=clamp)
            return
        value = self._number(second if self.file.is_constant(second) else first)
        if value is None:
            self.to.norm(out, maps[0], clamp=clamp)
        else:
            self.to.plus(out, maps[0], value, clamp=clamp)

    def _product(self, out: str, operator: Any) -> None:
        first, second = operator.Inputs(0), operator.Inputs(1)
        maps = self._inputs(operator)
        if len(maps) == 2:
            self.to.multiply(out, *maps)
            return
        value = self._number(second if self.file.is_constant(second) else first)
        if value is None:
            self.to.norm(out, maps[0])
        else:
            self.to.times(out, maps[0], value)

    def _kind(self, name: str) -> int:
        return int(getattr(self.file.schema.BuiltinOptions, name))

    def _number(self, index: int) -> float | None:
        """Return the one number that a constant holds; None of several."""
        if int(np.prod(self.file.shape(index), dtype=np.int64)) != 1:
            return None
        return float(self.file.constant(index).real.ravel()[0])

    def _pool(self, out: str, operator: Any) -> None:
        options = self.file.options(operator, "Pool2DOptions")
        window = self._window(options, (options.FilterHeight(), options.FilterWidth()))
        largest = self.file.operator_name(operator) == "MAX_POOL_2D"
        self.to.pool(out, str(operator.Inputs(0)), window, largest=largest)

    def _mean(self, out: str, operator: Any) -> None:
        keep = len(self.file.shape(operator.Outputs(0))) == 4
        self.to.mean(out, str(operator.Inputs(0)), keep=keep)

    def _logistic(self, out: str, operator: Any) -> None:
        source = str(operator.Inputs(0))
        if self._ends(int(out)) and len(self.to.shape(source)) == 1:
            self.to.end(out, source, together=False)
        else:
            self.to.activate(out, source, "sigmoid")

    def _ends(self, index: int) -> bool:
        readers = [
            (kind, each)
            for kind, each in self.file.operators()
            if index in [each.Inputs(place) for place in range(each.InputsLength())]
        ]
        shapes = ("QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE")
        return index in self.outputs or all(kind in shapes and self._ends(each.Outputs(0)) for kind, each in readers)

    def _softmax(self, out: str, operator: Any) -> None:
        self.to.end(out, str(operator.Inputs(0)), together=True)

    # ------------------------------------------------------------ moves

    def _concat(self, out: str, operator: Any) -> None:
        self.to.concat(out, self._inputs(operator))

    def _reshape(self, out: str, operator: Any) -> None:
        self.to.reshape(out, str(operator.Inputs(0)), self.file.shape(operator.Outputs(0)))

    def _transpose(self, out: str, operator: Any) -> None:
        self.to.transpose(out, str(operator.Inputs(0)), self.file.stored(operator.Inputs(1)).tolist())

    def _pad(self, out: str, operator: Any) -> None:
        (_, _), (top, bottom), (left, right), (_, _) = self.file.stored(operator.Inputs(1)).tolist()
        self.to.pad(out, str(operator.Inputs(0)), (top, left, bottom, right))

    def _slice(self, out: str, operator: Any) -> None:
        shape, start = self.file.shape(operator.Outputs(0)), int(self.file.stored(operator.Inputs(1))[-1])
        self._cut(out, str(operator.Inputs(0)), shape, start)

    def _split(self, _: str, operator: Any) -> None:
        source = next(name for name in self._inputs(operator) if name in self.to)
        start = 0
        for place in range(operator.OutputsLength()):
            shape = self.file.shape(operator.Outputs(place))
            self._cut(str(operator.Outputs(place)), source, shape, start)
            start += shape[-1]

    def _cut(self, out: str, source: str, shape: tuple[int, ...], start: int) -> None:
        if shape[1:-1] != self.to.shape(source)[1:]:
            raise self.to.error("a slice of a map's sides is none that can be predicted")
        self.to.cut(out, source, start, start + shape[-1])
