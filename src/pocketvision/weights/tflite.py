"""Reads the layers of a TFLite classifier file, float or quantized, as float32 arrays; needs no torch.

The file is untrusted: every index, shape and type is checked, and whatever does not parse is a `WeightsError`.
"""

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import MissingExtra, WeightsError
from pocketvision.files import lines_of
from pocketvision.values import DetectorSpec
from pocketvision.weights.tflite_detector import SUPPRESSION, Walked
from pocketvision.weights.tflite_file import DAMAGE, Array, FileScale, TfliteFile

T = TypeVar("T")
LARGEST_FILE = 512 * 1024 * 1024
Activation = Literal["none", "relu", "relu6"]
Padding = Literal["same", "symmetric", "either", "none"]
_FUSED: dict[int, Activation] = {0: "none", 1: "relu", 3: "relu6"}
_ALONE: dict[str, Activation] = {"RELU": "relu", "RELU6": "relu6"}
_LAYERS = {"CONV_2D": "conv", "DEPTHWISE_CONV_2D": "depthwise", "FULLY_CONNECTED": "linear"}
_WHOLE = {"ADD": "add", "AVERAGE_POOL_2D": "mean", "MEAN": "mean", "MAX_POOL_2D": "max", "CONCATENATION": "concat"}
"""Operators between layers whose output has a scale of its own in a quantized file."""
_PASSED_OVER = {
    *_WHOLE,
    *_ALONE,
    *("DEQUANTIZE", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "MUL", "PAD", "QUANTIZE", "RESHAPE", "SOFTMAX"),
    *("SPLIT", "SQUEEZE", "STRIDED_SLICE", "SUB", "TRANSPOSE"),
    *("CAST", "GATHER", SUPPRESSION),
}
_ROWS = 3
"""Axes of rows, [1, L, values]."""
_SHAPES_ONLY = ("DEQUANTIZE", "QUANTIZE", "RESHAPE", "SQUEEZE")
"""What may stand behind the operator that gives the answers."""


@dataclass(frozen=True, eq=False)
class Levels:
    """The whole numbers of a layer, as the file's own runtime uses them."""

    weight: NDArray[np.int16]
    """Without the zero point, shaped as the real weights."""
    weight_scale: NDArray[np.float32]
    """[O]."""
    bias: NDArray[np.int32]
    """In units of input scale times weight scale."""
    output: FileScale


@dataclass(frozen=True, eq=False)
class TfliteLayer:
    """One convolution or fully connected layer, batch norm folded by whoever made the file."""

    name: str
    kind: Literal["conv", "depthwise", "linear"]
    weight: Array
    """[O, I / groups, kh, kw], or [O, I] of a fully connected layer."""
    bias: Array
    stride: int
    padding: Padding
    """`either` where both rules pad alike, as at stride 1; `none` where pixels are lost at the border."""
    activation: Activation
    levels: Levels | None = None


@dataclass(frozen=True, eq=False)
class TfliteNet:
    """The layers of one file, in its order."""

    layers: tuple[TfliteLayer, ...]
    resolution: int
    num_classes: int
    shortcuts: int
    """Number of additions of two maps."""
    labels: tuple[str, ...] | None
    """From the label file packed behind the model, where there is one of the right length."""
    image: FileScale | None = None
    """Of the input, in a quantized file."""
    between: tuple[tuple[str, FileScale], ...] = ()
    """Kind and scale of what else gives a tensor in a quantized file: add, mean, max, concat, in its order."""
    ending: str = "softmax"
    """What makes answers of the last layer's outputs: sigmoid, or softmax, also where the file leaves that out."""
    detector: DetectorSpec | None = None
    """Of a detector; its layers are then in the order backbone, further maps, boxes, classes, without a background."""


def read_tflite(path: Path, *, plain: bool = False) -> TfliteNet:
    """Read a file; `WeightsError` if it is damaged or no net of convolutions, `MissingExtra` without `tflite`.

    With `plain` a detector's layers are given as they stand, and nothing is asked of its ending.
    """
    if path.stat().st_size > LARGEST_FILE:
        raise WeightsError(f"{path.name} has over {LARGEST_FILE // 1024**2} MiB; no classifier for phones does")
    return parse_tflite(path.read_bytes(), path.name, plain=plain)


def parse_tflite(content: bytes, name: str, *, plain: bool = False) -> TfliteNet:
    """Parse a file's bytes; `name` is for messages. Raises as `read_tflite` does."""
    # Overflow is looked for where values are made real, so numpy need not warn of it.
    with np.errstate(all="ignore"):
        return opened(content, name, lambda file: _Reader(file).net(plain=plain))


def opened(content: bytes, name: str, read: Callable[[TfliteFile], T]) -> T:
    """Open a file's bytes and read them; raises WeightsError where they are damaged, MissingExtra without `tflite`."""
    if content[4:8] != b"TFL3":
        raise WeightsError(f"{name} is not a TFLite file: it does not carry the mark TFL3")
    schema = _schema()
    try:
        return read(TfliteFile(content, name, schema))
    except DAMAGE as error:
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
    """Walks the operators and collects what is a layer, and what lies between."""

    def __init__(self, file: TfliteFile) -> None:
        self.file = file
        self.padded: dict[int, tuple[int, tuple[int, int, int, int]]] = {}
        self.layers: list[TfliteLayer] = []
        self.sources: list[int] = []
        """Tensors that the layers read."""
        self.between: list[tuple[str, FileScale]] = []
        self.made: dict[int, int] = {}
        """Tensors that a layer gives -> the layer's place."""
        self.shortcuts = 0

    def net(self, *, plain: bool) -> TfliteNet:
        operators = self.file.operators()
        if unknown := sorted({name for name, _ in operators} - _PASSED_OVER - set(_LAYERS)):
            raise self.file.error(
                f"not a plain convolutional classifier; it holds {', '.join(unknown)}. "
                f"Known operators: {', '.join(sorted(_PASSED_OVER | set(_LAYERS)))}"
            )
        for name, operator in operators:
            self._take(name, operator)
        if not self.layers:
            raise self.file.error("expected convolutions, found none")
        classes = len(self.layers[-1].bias)
        entry = self.file.graph.Inputs(0)
        found = TfliteNet(
            tuple(self.layers),
            resolution=self._resolution(),
            num_classes=classes,
            shortcuts=self.shortcuts,
            labels=_labels(self.file.content, classes),
            image=self.file.level(entry),
            between=tuple(self.between),
            ending=self._ending(operators),
        )
        ends = [operator for name, operator in operators if name == SUPPRESSION]
        return found if plain or not ends else self._with_boxes(found, operators, ends[0])

    def _with_boxes(self, found: TfliteNet, operators: list[tuple[str, Any]], end: Any) -> TfliteNet:
        """Return a detector with its layers in our order."""
        makers = {self.file.index(one.Outputs(0)): (name, one) for name, one in operators if one.OutputsLength()}
        outputs = [len(layer.bias) for layer in self.layers]
        depthwise = [layer.kind == "depthwise" for layer in self.layers]
        walked = Walked(self.file, found.resolution, makers, self.made, self.sources, outputs, depthwise)
        detector = walked.detector(end)
        layers = (
            self.layers[place]
            if place not in detector.background
            else _without_background(self.layers[place], detector.background[place])
            for place in detector.order
        )
        classes, content = detector.num_classes, self.file.content
        return replace(
            found,
            layers=tuple(layers),
            num_classes=classes,
            labels=_labels(content, classes) or (_labels(content, classes + 1) or ())[1:] or None,
            between=tuple(pair for pair in self.between if pair[0] != "concat"),  # joined in float here
            detector=detector.spec,
        )

    def _ending(self, operators: list[tuple[str, Any]]) -> str:
        """Walk back from the output, over what changes no value, to what makes it."""
        makers = {self.file.index(made.Outputs(0)): (name, made) for name, made in operators if made.OutputsLength()}
        place = self.file.graph.Outputs(0) if self.file.graph.OutputsLength() else -1
        for _ in operators:
            name, maker = makers.get(place, ("", None))
            if maker is None or name not in _SHAPES_ONLY:
                return "sigmoid" if name == "LOGISTIC" else "softmax"
            place = self.file.index(maker.Inputs(0))
        return "softmax"

    def _take(self, name: str, operator: Any) -> None:
        if name in _LAYERS:
            layer = self._layer(name, operator)
            self.made[self.file.index(operator.Outputs(0))] = len(self.layers)
            self.layers.append(layer)
            self.sources.append(self.file.index(operator.Inputs(0)))
        elif name in _ALONE:
            self._activate(operator, _ALONE[name])
        elif name == "PAD":
            self._pad(operator)
        elif name == "DEQUANTIZE":
            self.file.stored_as[self.file.index(operator.Outputs(0))] = self.file.index(operator.Inputs(0))
        elif name in _WHOLE and not any(self.file.is_constant(operator.Inputs(i)) for i in _operands(name, operator)):
            self.shortcuts += name == "ADD"
            level = self.file.level(self.file.index(operator.Outputs(0)))
            if level is not None:
                self.between.append((_WHOLE[name], level))

    def _activate(self, operator: Any, activation: Activation) -> None:
        """Give a ReLU that stands alone to the layer before it."""
        source, out = self.file.index(operator.Inputs(0)), self.file.index(operator.Outputs(0))
        place = self.made.get(source)
        if place is None or self.layers[place].activation != "none":
            return
        layer, level = self.layers[place], self.file.level(out)
        levels = replace(layer.levels, output=level) if layer.levels and level else None
        self.layers[place] = replace(layer, activation=activation, levels=levels)
        self.made[out] = place

    def _resolution(self) -> int:
        graph = self.file.graph
        if graph.InputsLength() != 1:
            raise self.file.error(f"expected one input, found {graph.InputsLength()}")
        shape = self.file.shape(graph.Inputs(0))
        if len(shape) != 4 or shape[0] != 1 or shape[1] != shape[2] or shape[3] != 3:
            raise self.file.error(f"expected one square RGB image [1, R, R, 3] as input, found {list(shape)}")
        return shape[1]

    # ------------------------------------------------------------ layers

    def _layer(self, name: str, operator: Any) -> TfliteLayer:
        if operator.InputsLength() < 2 or operator.OutputsLength() != 1:
            raise self.file.error(f"{name} needs an input, weights and one output")
        index = operator.Inputs(1)
        found = self.file.constant(index)
        if found.real.ndim != (2 if name == "FULLY_CONNECTED" else 4):
            raise self.file.error(f"{name} has weights of shape {list(found.real.shape)}")
        axes = {"CONV_2D": (0, 3, 1, 2), "DEPTHWISE_CONV_2D": (3, 0, 1, 2)}.get(name, (0, 1))
        weight = np.ascontiguousarray(found.real.transpose(axes))
        stride, padding, activation = self._settings(name, operator, weight.shape)
        bias, stored = self._bias(operator, len(weight), found.scale)
        level = self.file.level(self.file.index(operator.Outputs(0)))
        levels = None
        if found.centerd is not None and found.scale is not None and stored is not None and level is not None:
            scale = np.broadcast_to(found.scale.astype(np.float32), (len(weight),))
            whole = np.ascontiguousarray(found.centerd.transpose(axes))
            levels = Levels(whole, scale.copy(), stored, level)
        kind = _LAYERS[name]
        label = self.file.label(index)
        return TfliteLayer(label, kind, weight, bias, stride, padding, activation, levels)  # type: ignore[arg-type]

    def _bias(
        self, operator: Any, outputs: int, scale: NDArray[np.float64] | None
    ) -> tuple[Array, NDArray[np.int32] | None]:
        index = operator.Inputs(2) if operator.InputsLength() > 2 else -1
        if index == -1:
            return np.zeros(outputs, np.float32), np.zeros(outputs, np.int32)
        stored = self.file.stored(index)
        if stored.shape != (outputs,):
            raise self.file.error(f"a bias of shape {list(stored.shape)} stands where {outputs} values are expected")
        if stored.dtype.kind == "f":
            return self.file.finite(stored, index), None
        entry = self.file.level(self.file.index(operator.Inputs(0)))
        if entry is None or scale is None:
            raise self.file.error("a bias in whole numbers needs one input scale and the weight's scales")
        # Runtimes use input scale x weight scale, whatever scale the bias itself names.
        return self.file.finite(stored * (entry.scale * scale), index), stored.astype(np.int32)

    def _settings(self, name: str, operator: Any, shape: tuple[int, ...]) -> tuple[int, Padding, Activation]:
        kinds = {"CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions"}
        options = self.file.options(operator, kinds.get(name, "FullyConnectedOptions"))
        number = options.FusedActivationFunction()
        if number not in _FUSED:
            raise self.file.error(f"{name} has activation number {number}; known are none, ReLU and ReLU6")
        if name == "FULLY_CONNECTED":
            return 1, "either", _FUSED[number]
        if name == "DEPTHWISE_CONV_2D" and options.DepthMultiplier() != 1:
            raise self.file.error(f"a depthwise convolution has multiplier {options.DepthMultiplier()}; expected 1")
        strides = options.StrideH(), options.StrideW()
        if strides[0] != strides[1] or strides[0] not in (1, 2, 4):
            raise self.file.error(f"{name} has strides {strides}; expected 1, 2 or 4 both ways")
        if options.DilationHFactor() != 1 or options.DilationWFactor() != 1 or shape[2] != shape[3]:
            raise self.file.error(f"{name} is dilated or not square")
        padding = self._padding(operator.Inputs(0), shape[2], strides[0], valid=options.Padding() == 1)
        return strides[0], padding, _FUSED[number]

    def _padding(self, source: int, kernel: int, stride: int, *, valid: bool) -> Padding:
        """Tell the padding rule of a convolution by the pixels it adds before and after each side."""
        size, added = self.padded.get(source, (0, (0, 0, 0, 0)))
        if source not in self.padded:
            shape = self.file.shape(source)
            size = shape[1] if len(shape) == 4 else 0
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        same = (total // 2, total - total // 2) * 2
        if not valid:
            if source in self.padded:
                raise self.file.error("a padded map goes into a convolution that pads again")
            added = same
        rules = [rule for rule, amounts in (("same", same), ("symmetric", (kernel // 2,) * 4)) if added == amounts]
        if not rules and not any(added):
            return "none"
        if not rules:
            raise self.file.error(f"a {kernel}x{kernel} convolution of stride {stride} pads {added}; no known net does")
        return "either" if len(rules) == 2 else rules[0]  # type: ignore[return-value]

    def _pad(self, operator: Any) -> None:
        amounts = self.file.stored(operator.Inputs(1))
        shape = self.file.shape(operator.Inputs(0))
        if len(shape) == _ROWS:
            return  # of a detector's scores: no layer is behind it
        if amounts.shape != (4, 2) or len(shape) != 4 or amounts[[0, 3]].any() or shape[1] != shape[2]:
            raise self.file.error(f"PAD by {amounts.tolist()} is not padding of a square map")
        top, bottom, left, right = (int(amount) for amount in amounts[1:3].ravel())
        self.padded[self.file.index(operator.Outputs(0))] = shape[1], (top, bottom, left, right)


def _without_background(layer: TfliteLayer, columns: int) -> TfliteLayer:
    """Return a class predictor without the first of so many outputs of each anchor."""
    kept = np.arange(len(layer.bias)) % columns > 0
    levels = layer.levels and replace(
        layer.levels,
        weight=layer.levels.weight[kept],
        weight_scale=layer.levels.weight_scale[kept],
        bias=layer.levels.bias[kept],
    )
    return replace(layer, weight=layer.weight[kept], bias=layer.bias[kept], levels=levels)


def _operands(name: str, operator: Any) -> list[int]:
    """Return the places of what an operator works on: the second input of a mean says along which axes."""
    return list(range(operator.InputsLength())) if name in ("ADD", "CONCATENATION") else [0]


def _labels(content: bytes, count: int) -> tuple[str, ...] | None:
    """Return the packed label list with `count` lines, if there is exactly one."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            texts = [item for item in archive.infolist() if item.filename.endswith(".txt")]
            if len(texts) != 1 or texts[0].file_size > 10_000_000:
                return None
            lines = label_lines(archive.read(texts[0]).decode("utf-8"))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError):
        return None
    return lines if len(lines) == count else None


def label_lines(text: str) -> tuple[str, ...]:
    """Return the labels of a text, one a line: split at line feeds only, without the blank lines at its end."""
    lines = [line.strip() for line in lines_of(text)]
    while lines and not lines[-1]:
        lines.pop()
    return tuple(lines)
