"""A graph as a LiteRT file (`.tflite`), float or int8, written operator by operator in milliseconds.

Input `image` uint8 [1, R, R, C], output `probabilities` float32 [1, classes], or both in whole numbers, as the
manifest's `io` says; a detector's answers are boxes or, as `ends` says, codes and scores. Runtimes may resize the
batch of others. An int8 file computes in int8: the levels of the graph less 128.
Every operator is one that XNNPACK takes over where it has one for these types, so that the net runs as one part.
"""

from pathlib import Path

import numpy as np

from pocketvision.errors import GraphError, UsageError
from pocketvision.export.litert_boxes import Form, joined, suppressed, titles
from pocketvision.export.litert_file import LitertFile, TensorScale, require_ratio
from pocketvision.export.litert_io import ending, normalized, whole_ending
from pocketvision.export.litert_metadata import metadata, packed
from pocketvision.export.litert_pools import local_norm, pool
from pocketvision.export.tables import Field
from pocketvision.files import write_bytes
from pocketvision.graph.graph import (
    Activate,
    Add,
    Array,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Ending,
    Flatten,
    GlobalAvgPool,
    Graph,
    Input,
    JoinRows,
    Linear,
    LocalNorm,
    MaxPool,
    Mul,
    Node,
    Pads,
    Quant,
    Shape,
    Shuffle,
    Slice,
    Suppress,
    ToRows,
    same_pads,
)
from pocketvision.graph.integer import THREE, THREE_LEVEL, clamps, sixfold
from pocketvision.graph.lower import without_affines
from pocketvision.graph.moves import is_move
from pocketvision.graph.normalize import feeds_convolutions, in_half, with_deviation
from pocketvision.values import Io, Manifest

SIGMOID = Quant(1 / 256, 0)
"""The one range of probabilities that integer kernels of LOGISTIC give."""
_FUSED = {"none": 0, "relu": 1, "relu6": 3}
_SAME, _VALID = 0, 1


def write(graph: Graph, manifest: Manifest, path: Path) -> int:
    """Write the graph with its manifest; return the file's size in bytes."""
    content = to_bytes(graph, manifest)
    write_bytes(path, content)
    return len(content)


def to_bytes(graph: Graph, manifest: Manifest | None = None) -> bytes:
    """Return the content of the LiteRT file; without a manifest it can be timed, but not opened as an artefact."""
    writer = written(graph, manifest.io, ends=manifest.ends) if manifest else written(graph)
    places = writer.ends()
    if manifest is None:
        return writer.file.to_bytes(*places)
    levels = writer.file.tensors[places[0]]
    assert levels.scale is not None
    zero_point = levels.scale.zero_point + (128 if levels.dtype == "int8" else 0)
    content = writer.file.to_bytes(*places, metadata=metadata(manifest, levels.scale.scale[0], zero_point))
    return packed(content, manifest)


def written(graph: Graph, io: Io = "mixed", *, lean: bool = False, ends: Form = "boxes") -> "_Writer":
    """Return the writer of a graph with all its operators.

    `io` says in which types image and answer are, `ends` what a detector gives, and `lean` spares memory where an image
    in uint8 comes in; raises UsageError where a float graph or boxes should be whole numbers.
    """
    if io != "mixed" and isinstance(graph.nodes[-1], Suppress):
        raise UsageError(f"input and output in {io} are for classifiers: boxes are floats, leave --io away")
    if io != "mixed" and graph.quant is None:
        raise UsageError(f"input and output in {io} are for int8 nets: export with --precision int8")
    graph = without_affines(graph)
    if graph.quant is None and feeds_convolutions(graph) and not in_half(graph):
        graph = with_deviation(graph, 1 / 255)  # the pixels need no division then: one operator less
    writer = _Writer(graph, io, lean=lean or io == "uint8", form=ends)
    for node in graph.nodes:
        writer.add(node)
    return writer


class _Writer:
    """Turns nodes into operators; `places` names each tensor's place in the file, int8 where it is quantized.

    `values` names the float form of tensors that a float operator asked for.
    """

    def __init__(self, graph: Graph, io: Io, *, lean: bool, form: Form) -> None:
        self.graph = graph
        self.io = io
        self.form = form
        self.titles = titles(graph, form)
        self.boxes: tuple[int, ...] = ()
        self.lean = lean
        self.file = LitertFile()
        self.places: dict[str, int] = {}
        self.values: dict[str, int] = {}

    def ends(self) -> tuple[int, ...]:
        """Return the places of the image and of what comes out."""
        return 0, *(self.boxes or (self.value(self.graph.output),))

    def add(self, node: Node) -> None:
        """Write one kernel."""
        quant = self.quant(node.name)
        if isinstance(node, Input):
            self.places[node.name] = self._image(node, quant)
        elif isinstance(node, Ending) and self.io != "mixed":
            self.places[node.name] = whole_ending(self.file, node, self.places[node.inputs[0]], self.io)
        elif isinstance(node, Suppress):
            self.boxes = suppressed(self, node, self.form)
        elif isinstance(node, JoinRows):
            rows = [self.value(name) for name in node.inputs]
            self.places[node.name] = joined(self.file, rows, self.named(node, None))
        elif quant is None:
            self.places[node.name] = self._kernel(node, [self.value(name) for name in node.inputs], None)
        elif self._has_integers(node, quant):
            inputs = [self.places[name] for name in node.inputs]
            if is_move(node):
                inputs = [self.requantized(place, quant) for place in inputs]
            self.places[node.name] = self._kernel(node, inputs, quant)
        else:
            real = self._kernel(node, [self.value(name) for name in node.inputs], None)
            shape = self.graph.shapes[node.name]
            self.places[node.name] = self.file.operator("QUANTIZE", [real], self.result(shape, quant))

    def quant(self, name: str) -> Quant | None:
        """Return the levels of a tensor, None where it is float."""
        return (self.graph.quant or {}).get(name)

    def result(self, shape: Shape, quant: Quant | None, *, name: str = "") -> int:
        """Add a tensor for what is computed, of a graph's shape [C, H, W] or [C]."""
        dtype, scale = ("float32", None) if quant is None else ("int8", _scale(quant))
        return self.file.tensor(_laid_out(shape), dtype, scale, name=name)

    def value(self, name: str) -> int:
        """Return a tensor in float."""
        quant = self.quant(name)
        if quant is None:
            return self.places[name]
        if name not in self.values:
            out = self.result(self.graph.shapes[name], None, name=self.titles.get(name, ""))
            self.values[name] = self.file.operator("DEQUANTIZE", [self.places[name]], out)
        return self.values[name]

    def requantized(self, place: int, quant: Quant, out: int | None = None) -> int:
        """Return a tensor under other levels; the same one where they are equal.

        It is multiplied by one: XNNPACK's QUANTIZE from levels to levels keeps 8 bits of the factor only.
        """
        tensor = self.file.tensors[place]
        if out is None and tensor.scale == _scale(quant):
            return place
        one = self.file.constant(np.array([1], np.int8), TensorScale((1.0,)))
        out = self.file.tensor(tensor.shape, "int8", _scale(quant)) if out is None else out
        return self.file.operator("MUL", [place, one], out)

    def _has_integers(self, node: Node, quant: Quant) -> bool:
        match node:
            case LocalNorm() | Activate(activation="silu" | "hardswish"):
                return False
            case Activate(activation="hardsigmoid"):
                return clamps("hardsigmoid", quant)
            case Activate(activation="relu" | "relu6" as clamp):
                return clamps(clamp, quant)
        return True

    def _image(self, node: Input, quant: Quant | None) -> int:
        shape = self.graph.shapes[node.name]
        if quant and self.io == "int8":
            return self.file.tensor(_laid_out(shape), "int8", _scale(quant), name="image")
        source = quant or Quant(1.0, 0)
        pixels = self.file.tensor(
            _laid_out(shape), "uint8", TensorScale((source.scale,), source.zero_point), name="image"
        )
        if quant and self.lean:
            return self.file.operator("QUANTIZE", [pixels], self.result(shape, quant, name=node.name))
        value = self.file.operator("DEQUANTIZE", [pixels], self.result(shape, None))
        if quant:
            # XNNPACK has no kernel from uint8 to int8, and the runtime's own takes longer than these two together.
            return self.file.operator("QUANTIZE", [value], self.result(shape, quant, name=node.name))
        mean, std = (255 * np.array(values, np.float64) for values in (node.mean, node.std))
        return normalized(self.file, value, mean=mean, std=std)

    def _kernel(self, node: Node, inputs: list[int], quant: Quant | None) -> int:
        x, out = inputs[0], self.graph.shapes[node.name]
        match node:
            case Conv():
                return self._conv(node, x, quant)
            case Linear():
                weights = self._weights(node, node.weight, 0)
                fused = _fused(node.activation)
                return self.file.operator("FULLY_CONNECTED", [x, *weights], self.named(node, quant), fused)
            case Add():
                return self.file.operator("ADD", inputs, self.named(node, quant), _fused(node.activation))
            case Mul():
                return self.file.operator("MUL", inputs, self.named(node, quant))
            case Concat():
                axis = Field(0, "int32", len(out))
                return self.file.operator("CONCATENATION", inputs, self.named(node, quant), axis)
            case MaxPool() | AvgPool():
                return pool(self, node, x, quant)
            case GlobalAvgPool():
                axes = self.file.constant(np.array([1, 2], np.int32))
                return self.file.operator("MEAN", [x, axes], self.named(node, quant), Field(0, "bool", node.keep))
            case Ending():
                return ending(self.file, node, x, self.named(node, None))
            case Slice() | Shuffle() | Flatten() | ToRows():
                return self._moved(node, x, quant)
        return self._elementwise(node, x, quant)

    def named(self, node: Node, quant: Quant | None) -> int:
        """Add a tensor for what a node gives, under its name."""
        return self.result(self.graph.shapes[node.name], quant, name=self.titles.get(node.name, node.name))

    def _elementwise(self, node: Node, x: int, quant: Quant | None) -> int:
        match node:
            case Activate(activation="none" | "relu" | "relu6" as clamp):
                if quant:  # the levels clamp
                    return self.requantized(x, quant, self.named(node, quant))
                return x if clamp == "none" else self.file.operator(clamp.upper(), [x], self.named(node, None))
            case Activate(activation="leaky_relu"):
                return self.file.operator("LEAKY_RELU", [x], self.named(node, quant), Field(0, "float32", node.slope))
            case Activate(activation="hardswish"):
                return self.file.operator("HARD_SWISH", [x], self.named(node, None))
            case Activate(activation="hardsigmoid"):
                return self._hard_sigmoid(node, x, quant)
            case Activate(activation="sigmoid" | "silu"):
                return self._sigmoid(node, x, quant)
            case LocalNorm():
                return local_norm(self, node, x)
        raise GraphError(f"LiteRT and ExecuTorch files have no kernel for {type(node).__name__} ('{node.name}')")

    def _sigmoid(self, node: Activate, x: int, quant: Quant | None) -> int:
        shape = self.graph.shapes[node.name]
        if quant:
            return self.requantized(self.file.operator("LOGISTIC", [x], self.result(shape, SIGMOID)), quant)
        if node.activation == "sigmoid":
            return self.file.operator("LOGISTIC", [x], self.named(node, None))
        gate = self.file.operator("LOGISTIC", [x], self.result(shape, None))
        return self.file.operator("MUL", [x, gate], self.named(node, None))

    def _hard_sigmoid(self, node: Activate, x: int, quant: Quant | None) -> int:
        """Write relu6(x + 3) / 6: in integers the levels of the sum clamp, and the division moves none of them."""
        shape = self.graph.shapes[node.name]
        if quant is None:
            three, sixth = (self.file.constant(np.array([value], np.float32)) for value in (3, 1 / 6))
            total = self.file.operator("ADD", [x, three], self.result(shape, None), _fused("relu6"))
        else:
            three = self.file.constant(np.array([THREE_LEVEL], np.int8), TensorScale((THREE.scale,)))
            sixth = self.file.constant(np.array([1], np.int8), TensorScale((float(np.float32(1 / 6)),)))
            total = self.file.operator("ADD", [x, three], self.result(shape, sixfold(quant)))
        return self.file.operator("MUL", [total, sixth], self.named(node, quant))

    def _moved(self, node: Slice | Shuffle | Flatten | ToRows, x: int, quant: Quant | None) -> int:
        shape = self.graph.shapes[node.name]
        match node:
            case Slice():
                return self._sliced(node, x, quant)
            case Flatten():
                return self._flattened(node, x, quant)
            case ToRows():
                return self._reshaped(x, shape[::-1], self.named(node, quant))
        channels, *size = shape
        split = (*size, node.groups, channels // node.groups)
        mixed = self._transposed(self._reshaped(x, split), (*range(1 + len(size)), -1, -2))
        return self._reshaped(mixed, (*size, channels), self.named(node, quant))

    def _sliced(self, node: Slice, x: int, quant: Quant | None) -> int:
        axes = len(self.graph.shapes[node.name])
        places = [np.array([0] * axes + [end], np.int32) for end in (node.start, node.stop)]
        steps = np.ones(axes + 1, np.int32)
        whole = 2**axes - 1  # a bit for each axis that is taken whole
        inputs = [x, *(self.file.constant(values) for values in (*places, steps))]
        masks = [Field(slot, "int32", whole) for slot in (0, 1)]
        return self.file.operator("STRIDED_SLICE", inputs, self.named(node, quant), *masks)

    def _flattened(self, node: Flatten, x: int, quant: Quant | None) -> int:
        channels, *size = self.graph.shapes[node.inputs[0]]
        if size and max(size) > 1:
            x = self._transposed(x, (0, 3, 1, 2))
        return self._reshaped(x, (channels * int(np.prod(size)),), self.named(node, quant))

    def _reshaped(self, x: int, shape: Shape, out: int | None = None) -> int:
        if out is None:
            out = self._like(x, (1, *shape))
        return self.file.operator("RESHAPE", [x, self.file.constant(np.array([-1, *shape], np.int32))], out)

    def _transposed(self, x: int, order: tuple[int, ...]) -> int:
        shape = self.file.tensors[x].shape
        axes = [axis % len(shape) for axis in order]
        out = self._like(x, tuple(shape[axis] for axis in axes))
        return self.file.operator("TRANSPOSE", [x, self.file.constant(np.array(axes, np.int32))], out)

    def _like(self, place: int, shape: Shape) -> int:
        tensor = self.file.tensors[place]
        return self.file.tensor(shape, tensor.dtype, tensor.scale)

    def padded(self, x: int, pads: Pads, *, lowest: bool = False) -> int:
        """Write a border of zeros, or of the lowest value there is."""
        tensor = self.file.tensors[x]
        top, left, bottom, right = pads
        _, height, width, channels = tensor.shape
        amounts = self.file.constant(np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32))
        out = self._like(x, (1, height + top + bottom, width + left + right, channels))
        if not lowest:
            return self.file.operator("PAD", [x, amounts], out)
        value = np.array([-128], np.int8) if tensor.scale else np.array([np.finfo(np.float32).min], np.float32)
        return self.file.operator("PADV2", [x, amounts, self.file.constant(value, tensor.scale)], out)

    def _conv(self, node: Conv, x: int, quant: Quant | None) -> int:
        inputs, height, width = self.graph.shapes[node.inputs[0]]
        x, rule = self.window(x, self.graph.pads(node), (height, width), node.weight.shape[2:], node.stride)
        fields = [Field(0, "int8", rule), Field(1, "int32", node.stride[1]), Field(2, "int32", node.stride[0])]
        out = self.named(node, quant)
        if node.weight.shape[1] == 1 and node.groups == inputs > 1:
            weights = self._weights(node, node.weight.transpose(1, 2, 3, 0), 3)
            fields += [Field(3, "int32", len(node.weight) // inputs), Field(4, "int8", _FUSED[node.activation])]
            return self.file.operator("DEPTHWISE_CONV_2D", [x, *weights], out, *fields)
        fields.append(Field(3, "int8", _FUSED[node.activation]))
        weights = self._weights(node, node.weight.transpose(0, 2, 3, 1), 0)
        return self.file.operator("CONV_2D", [x, *weights], out, *fields)

    def window(
        self, x: int, pads: Pads, size: tuple[int, int], kernel: tuple[int, ...], stride: tuple[int, int]
    ) -> tuple[int, int]:
        """Return what a window slides over and the rule of padding: a border is written where no rule pads so."""
        if not any(pads):
            return x, _VALID
        if pads == same_pads(size, kernel, stride):
            return x, _SAME
        return self.padded(x, pads), _VALID

    def _weights(self, node: Conv | Linear, weight: Array, axis: int) -> list[int]:
        """Write weights, already in the file's order of axes, and bias; `axis` is that of the outputs."""
        weight = np.ascontiguousarray(weight)
        if node.weight_scale is None:
            return [self._real(weight), self._real(node.bias)]
        source, target = self.quant(node.inputs[0]), self.quant(node.name)
        assert source is not None
        assert target is not None
        if weight.dtype != np.int8:
            raise GraphError(f"the weights of '{node.name}' need more than 8 bits; quantize the float net anew")
        require_ratio(node.name, source.scale, node.weight_scale, target.scale)
        scales = node.weight_scale.astype(np.float32)
        if isinstance(node, Linear) and (scales == scales[0]).all():
            scales = scales[:1]
        # Without scales of its own a bias is right, but sends the layer to a kernel five times as slow.
        products = np.float32(source.scale) * scales
        return [
            self.file.constant(weight, TensorScale(tuple(scales.tolist()), axis=axis)),
            self.file.constant(node.bias.astype(np.int32), TensorScale(tuple(products.tolist()))),
        ]

    def _real(self, values: Array) -> int:
        place = self.file.constant(values)
        if values.dtype != np.float16:
            return place
        return self.file.operator("DEQUANTIZE", [place], self.file.tensor(values.shape, "float32"))


def _scale(quant: Quant) -> TensorScale:
    return TensorScale((quant.scale,), quant.zero_point - 128)


def _laid_out(shape: Shape) -> Shape:
    return (1, *shape[1:], shape[0])


def _fused(clamp: Clamp) -> Field:
    return Field(0, "int8", _FUSED[clamp])
