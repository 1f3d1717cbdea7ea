"""The net of any ONNX file, of whoever wrote it: its operators as an assembly takes them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pocketvision.errors import WeightsError
from pocketvision.graph.graph import Activation, Pads
from pocketvision.latency.assembly import NO_PADS, Assembly, FileNet, Window
from pocketvision.weights.onnx_nodes import DAMAGE, OnnxFile

_SAME = {
    *("Cast", "DequantizeLinear", "Dropout", "Identity", "QuantizeLinear", "Squeeze", "Unsqueeze"),
    *("QLinearReshape", "DynamicQuantizeLinear"),
}
_ACTIVATIONS: dict[str, Activation] = {
    "Clip": "relu6",
    "HardSigmoid": "hardsigmoid",
    "HardSwish": "hardswish",
    "LeakyRelu": "leaky_relu",
    "QLinearLeakyRelu": "leaky_relu",
    "QLinearSigmoid": "sigmoid",
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Swish": "silu",
}
_UNLIKELY = ("Abs", "Elu", "Erf", "Exp", "Gelu", "Mish", "Neg", "PRelu", "Pow", "Selu", "Softplus", "Sqrt", "Tanh")
"""Work on each value by itself, as a sigmoid does; no timed net has them."""
_WHOLE = {"QuantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger"}
_OPERANDS = {
    "QLinearAdd": (0, 3),
    "QLinearMul": (0, 3),
    "QLinearConv": (0, 3),
    "QGemm": (0, 3),
    "QLinearMatMul": (0, 3),
    "QLinearConcat": None,
}
"""Places of maps and weights among the inputs, where scales stand between; None is every third from the third on."""


def read_onnx(content: bytes, file: str, *, resolution: int | None = None) -> FileNet:
    """Read a file's net; `resolution` is for one that takes images of any size.

    Raises WeightsError for no ONNX file, or operators that no net of ours has.
    """
    opened = OnnxFile(content, file)
    try:
        return _Reader(opened, Assembly(file)).net(resolution)
    except DAMAGE as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{file} is damaged, or holds what is not known: {type(error).__name__}, {error}") from error


class _Reader:
    def __init__(self, file: OnnxFile, net: Assembly) -> None:
        self.file, self.to = file, net
        self.takers: Mapping[str, Callable[[Any, list[str]], None]] = {
            **dict.fromkeys(("Conv", "QLinearConv", "ConvInteger"), self._conv),
            **dict.fromkeys(("Gemm", "MatMul", "QGemm", "QLinearMatMul", "MatMulInteger"), self._linear),
            **dict.fromkeys(("Add", "Sub", "Sum", "QLinearAdd"), self._sum),
            **dict.fromkeys(("Mul", "Div", "QLinearMul"), self._product),
            **dict.fromkeys(("MaxPool", "AveragePool"), self._pool),
            **dict.fromkeys(("GlobalAveragePool", "QLinearGlobalAveragePool", "ReduceMean"), self._mean),
            **dict.fromkeys(("Concat", "QLinearConcat"), self._concat),
            **dict.fromkeys(("Reshape", "Flatten"), self._reshape),
            **dict.fromkeys(("Softmax", "LogSoftmax", "QLinearSoftmax"), self._softmax),
            "BatchNormalization": lambda node, inputs: self.to.norm(node.output[0], inputs[0]),
            "LRN": self._norm,
            "Transpose": self._transpose,
            "Split": self._split,
            "Slice": self._slice,
            "Pad": self._pad,
        }

    def net(self, resolution: int | None) -> FileNet:
        """Read all operators."""
        given = self.file.inputs()
        if len(given) != 1:
            raise self.to.error(f"expected one input, found {len(given)}")
        for name, shape in given.items():
            sides = [*shape[:1], *(resolution if side is None else side for side in shape[1:])]
            self.to.image(name, sides)
            self.file.fix(name, sides)
        for node in self.file.nodes:
            self._take(node)
        kinds = {node.op_type for node in self.file.nodes}
        if kinds & {"ConvInteger", "MatMulInteger"}:
            self.to.note("its maps are quantized anew for every image")
        return self.to.finish("onnx", "int8" if kinds & _WHOLE else "float")

    def _take(self, node: Any) -> None:
        places = _OPERANDS.get(node.op_type, range(len(node.input)))
        named = node.input[2::3] if places is None else [node.input[at] for at in places if at < len(node.input)]
        maps = [name for name in named if name in self.to]
        kind, out = node.op_type, node.output[0]
        if not maps or kind == "Shape":  # constants, sizes, and what is made of rows
            return
        if kind in _SAME:
            self.to.same(out, maps[0])
            if kind == "QuantizeLinear":
                self._levels(node)
        elif kind == "Sigmoid" and self._ends(out):
            self.to.end(out, maps[0], together=False)
        elif kind in _ACTIVATIONS:
            self.to.activate(out, maps[0], _ACTIVATIONS[kind])
        elif kind in _UNLIKELY:
            self.to.note(f"its {kind}")
            self.to.activate(out, maps[0], "sigmoid")
        elif kind in self.takers:
            self.takers[kind](node, list(named))
        else:
            raise self.to.error(f"its operator {kind} is none that can be predicted")

    def _ends(self, name: str) -> bool:
        """Tell whether a tensor is what the file gives, at most in another shape or in rows of a detector."""
        users = [node for node in self.file.nodes if name in node.input]
        if name in self.file.outputs or not users:
            return True
        return all(node.op_type in (*_SAME, "Reshape", "Flatten") and self._ends(node.output[0]) for node in users)

    # ------------------------------------------------------------ kernels

    def _conv(self, node: Any, inputs: list[str]) -> None:
        weight, words = self.file.dims(inputs[1]), self.file.settings(node)
        if any(step != 1 for step in words.get("dilations", ())):
            self.to.note("its dilated convolutions")
            words["auto_pad"] = b"SAME_UPPER"
        window = _window(words, weight[2:])
        self.to.conv(node.output[0], inputs[0], weight, window, groups=int(words.get("group", 1)))

    def _linear(self, node: Any, inputs: list[str]) -> None:
        if not self.file.is_constant(inputs[1]) or len(self.to.shape(inputs[0])) == 3:
            raise self.to.error("a product of two maps is none that can be predicted")
        shape = self.file.dims(inputs[1])
        outputs, columns = shape if self.file.settings(node).get("transB") else shape[::-1]
        self.to.linear(node.output[0], inputs[0], (outputs, columns))

    def _sum(self, node: Any, inputs: list[str]) -> None:
        known = [name for name in inputs if self.file.is_constant(name)]
        maps = [name for name in inputs if name in self.to]
        if not known:
            total = maps[0]
            for place, other in enumerate(maps[1:], start=2):
                out = node.output[0] if place == len(maps) else f"{node.output[0]}.{place}"
                self.to.add(out, total, other)
                total = out
        elif np.prod(self.file.dims(known[0])) == 1 and node.op_type == "Add":
            self.to.plus(node.output[0], maps[0], float(self.file.values(known[0]).ravel()[0]))
        else:
            self.to.norm(node.output[0], maps[0])

    def _product(self, node: Any, inputs: list[str]) -> None:
        known = [name for name in inputs if self.file.is_constant(name)]
        maps = [name for name in inputs if name in self.to]
        if not known:
            self.to.multiply(node.output[0], *maps)
        elif np.prod(self.file.dims(known[0])) == 1:
            self.to.times(node.output[0], maps[0], float(self.file.values(known[0]).ravel()[0]))
        else:
            self.to.norm(node.output[0], maps[0])

    def _pool(self, node: Any, inputs: list[str]) -> None:
        words = self.file.settings(node)
        window = _window(words, words["kernel_shape"])
        largest, ceil = node.op_type == "MaxPool", bool(words.get("ceil_mode", 0))
        self.to.pool(node.output[0], inputs[0], window, largest=largest, ceil=ceil)

    def _mean(self, node: Any, inputs: list[str]) -> None:
        self.to.mean(node.output[0], inputs[0], keep=bool(self.file.settings(node).get("keepdims", 1)))

    def _norm(self, node: Any, inputs: list[str]) -> None:
        square = f"{node.output[0]}.square"
        self.to.multiply(square, inputs[0], inputs[0])
        self.to.multiply(node.output[0], inputs[0], square)

    def _softmax(self, node: Any, inputs: list[str]) -> None:
        self.to.end(node.output[0], inputs[0], together=True)

    # ------------------------------------------------------------ moves

    def _concat(self, node: Any, inputs: list[str]) -> None:
        self.to.concat(node.output[0], [name for name in inputs if name in self.to])

    def _reshape(self, node: Any, inputs: list[str]) -> None:
        if node.op_type == "Flatten":
            self.to.flatten(node.output[0], inputs[0])
            return
        whole = [1, *self.to.shape(inputs[0])]
        target = self._target(node)
        shape = [whole[at] if side == 0 and at < len(whole) else int(side) for at, side in enumerate(target)]
        shape[0] = 1
        if -1 in shape:
            known = -int(np.prod(shape))
            shape[shape.index(-1)] = max(int(np.prod(whole)) // max(known, 1), 1)
        self.to.reshape(node.output[0], inputs[0], shape)

    def _target(self, node: Any) -> Sequence[int]:
        if self.file.is_constant(node.input[1]):
            return [int(side) for side in self.file.values(node.input[1]).ravel()]
        found = self.file.inferred(node.output[0])
        if found is None:
            raise self.to.error("a reshape to a size that is computed is none that can be predicted")
        return found

    def _transpose(self, node: Any, inputs: list[str]) -> None:
        self.to.transpose(node.output[0], inputs[0], self.file.settings(node)["perm"])

    def _split(self, node: Any, inputs: list[str]) -> None:
        words, channels = self.file.settings(node), self.to.shape(inputs[0])[0]
        sizes = words.get("split")
        if sizes is None:
            named = len(node.input) > 1 and node.input[1]
            equal = [channels // len(node.output)] * len(node.output)
            sizes = self.file.values(node.input[1]).tolist() if named else equal
        for place, out in enumerate(node.output):
            start = int(sum(sizes[:place]))
            self.to.cut(out, inputs[0], start, start + int(sizes[place]))

    def _slice(self, node: Any, inputs: list[str]) -> None:
        words, channels = self.file.settings(node), self.to.shape(inputs[0])[0]
        starts, stops, axes = (
            words[name] if name in words else self.file.values(node.input[at]).tolist()
            for at, name in enumerate(("starts", "ends", "axes"), start=1)
            if name in words or at < len(node.input)
        )
        if len(axes) != 1 or axes[0] not in (1, 3, -1, -3):
            raise self.to.error("a slice of a map's sides is none that can be predicted")
        start, stop, _ = slice(int(starts[0]), int(stops[0])).indices(channels)
        self.to.cut(node.output[0], inputs[0], start, stop)

    def _pad(self, node: Any, inputs: list[str]) -> None:
        amounts = self.file.settings(node).get("pads")
        if amounts is None:
            amounts = self.file.values(node.input[1]).tolist()
        top, left, bottom, right = (int(amounts[at]) for at in (2, 3, 6, 7))
        self.to.pad(node.output[0], inputs[0], (top, left, bottom, right))

    def _levels(self, node: Any) -> None:
        """Let levels that begin at zero clamp."""
        if len(node.input) < 3 or not (self.file.is_constant(node.input[1]) and self.file.is_constant(node.input[2])):
            return
        scale, zero = self.file.values(node.input[1]), self.file.values(node.input[2])
        if zero.size == 1 and int(zero.ravel()[0]) == np.iinfo(zero.dtype).min:
            self.to.levels(node.output[0], largest=255 * float(scale.ravel()[0]))


def _window(words: Mapping[str, Any], kernel: Sequence[int]) -> Window:
    tall, wide = (int(side) for side in kernel)
    down, across = (int(step) for step in words.get("strides", (1, 1)))
    pads: Pads = tuple(words.get("pads", NO_PADS))
    same = words.get("auto_pad", b"NOTSET").startswith(b"SAME")
    return Window((tall, wide), (down, across), "same" if same else pads)
