"""The TFLite reader: real files, files written here operator by operator, and damaged ones."""

import math
import sys
import time
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from pocketvision.errors import MissingExtra, WeightsError
from pocketvision.values import ModelSpec
from pocketvision.weights.recognize import Slot, _additions, _ordered, recognize_layers, slots
from pocketvision.weights.tflite import label_lines, parse_tflite, read_tflite

SMALL = "mobilenet_v1_0.25_128_quant.tflite"


def conv(weight, bias, *, scales=None, zero=None, padding=0, stride=1, activation=0, operator="CONV_2D"):
    """Describe one layer for `write`; `weight` as the file keeps it."""
    return {
        "weight": weight,
        "bias": bias,
        "scales": scales,
        "zero": zero,
        "padding": padding,
        "stride": stride,
        "activation": activation,
        "operator": operator,
    }


class Writer:
    """Writes the least a TFLite file needs, with flatbuffers' builder."""

    def __init__(self):
        import flatbuffers
        import tflite

        self.t, self.b = tflite, flatbuffers.Builder(1024)
        self.buffers, self.tensors, self.operators, self.codes = [], [], [], []
        self.buffer(b"")

    def vector(self, values, prepend):
        self.b.StartVector(4 if prepend != "Int64" else 8, len(values), 8)
        for value in reversed(values):
            getattr(self.b, f"Prepend{prepend}")(value)
        return self.b.EndVector()

    def buffer(self, data):
        place = self.b.CreateByteVector(data) if data else None
        self.t.BufferStart(self.b)
        if place is not None:
            self.t.BufferAddData(self.b, place)
        self.buffers.append(self.t.BufferEnd(self.b))
        return len(self.buffers) - 1

    def tensor(self, shape, kind, *, data=b"", scales=None, zero=None, axis=0):
        buffer = self.buffer(data) if data else 0
        name = self.b.CreateString(f"tensor {len(self.tensors)}")
        dims = self.vector(shape, "Int32")
        quantization = None
        if scales is not None:
            values, zeros = self.vector(scales, "Float32"), self.vector(zero or [0] * len(scales), "Int64")
            self.t.QuantizationParametersStart(self.b)
            self.t.QuantizationParametersAddScale(self.b, values)
            self.t.QuantizationParametersAddZeroPoint(self.b, zeros)
            self.t.QuantizationParametersAddQuantizedDimension(self.b, axis)
            quantization = self.t.QuantizationParametersEnd(self.b)
        self.t.TensorStart(self.b)
        self.t.TensorAddName(self.b, name)
        self.t.TensorAddShape(self.b, dims)
        self.t.TensorAddType(self.b, kind)
        self.t.TensorAddBuffer(self.b, buffer)
        if quantization is not None:
            self.t.TensorAddQuantization(self.b, quantization)
        self.tensors.append(self.t.TensorEnd(self.b))
        return len(self.tensors) - 1

    def operator(self, name, inputs, outputs, *, padding=0, stride=1, activation=0):
        number = getattr(self.t.BuiltinOperator, name)
        self.t.OperatorCodeStart(self.b)
        self.t.OperatorCodeAddDeprecatedBuiltinCode(self.b, min(number, 127))
        self.t.OperatorCodeAddBuiltinCode(self.b, number)
        self.codes.append(self.t.OperatorCodeEnd(self.b))
        kind, options = 0, None
        if name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            word = "Conv2DOptions" if name == "CONV_2D" else "DepthwiseConv2DOptions"
            kind = getattr(self.t.BuiltinOptions, word)
            getattr(self.t, f"{word}Start")(self.b)
            getattr(self.t, f"{word}AddPadding")(self.b, padding)
            getattr(self.t, f"{word}AddStrideW")(self.b, stride)
            getattr(self.t, f"{word}AddStrideH")(self.b, stride)
            getattr(self.t, f"{word}AddFusedActivationFunction")(self.b, activation)
            if name != "CONV_2D":
                self.t.DepthwiseConv2DOptionsAddDepthMultiplier(self.b, 1)
            options = getattr(self.t, f"{word}End")(self.b)
        elif name == "FULLY_CONNECTED":
            kind = self.t.BuiltinOptions.FullyConnectedOptions
            self.t.FullyConnectedOptionsStart(self.b)
            options = self.t.FullyConnectedOptionsEnd(self.b)
        entries, exits = self.vector(inputs, "Int32"), self.vector(outputs, "Int32")
        self.t.OperatorStart(self.b)
        self.t.OperatorAddOpcodeIndex(self.b, len(self.codes) - 1)
        self.t.OperatorAddInputs(self.b, entries)
        self.t.OperatorAddOutputs(self.b, exits)
        if options is not None:
            self.t.OperatorAddBuiltinOptionsType(self.b, kind)
            self.t.OperatorAddBuiltinOptions(self.b, options)
        self.operators.append(self.t.OperatorEnd(self.b))

    def finish(self, entry, out):
        tensors, operators = self.vector(self.tensors, "UOffsetTRelative"), None
        operators = self.vector(self.operators, "UOffsetTRelative")
        entries, exits = self.vector([entry], "Int32"), self.vector([out], "Int32")
        self.t.SubGraphStart(self.b)
        self.t.SubGraphAddTensors(self.b, tensors)
        self.t.SubGraphAddInputs(self.b, entries)
        self.t.SubGraphAddOutputs(self.b, exits)
        self.t.SubGraphAddOperators(self.b, operators)
        graphs = self.vector([self.t.SubGraphEnd(self.b)], "UOffsetTRelative")
        codes, buffers = self.vector(self.codes, "UOffsetTRelative"), self.vector(self.buffers, "UOffsetTRelative")
        self.t.ModelStart(self.b)
        self.t.ModelAddVersion(self.b, 3)
        self.t.ModelAddOperatorCodes(self.b, codes)
        self.t.ModelAddSubgraphs(self.b, graphs)
        self.t.ModelAddBuffers(self.b, buffers)
        self.b.Finish(self.t.ModelEnd(self.b), file_identifier=b"TFL3")
        return bytes(self.b.Output())


KINDS = {np.dtype("f4"): 0, np.dtype("f2"): 1, np.dtype("i4"): 2, np.dtype("u1"): 3, np.dtype("i1"): 9}


def write(layers, *, size=8, entry_scale=None, before=None, output=(1, 4, 4, 2), after=()):
    """Write layers one after another; `before` may add an operator that makes the layers' input, `after` names some
    behind the last."""
    writer = Writer()
    entry = last = writer.tensor([1, size, size, 3], 0 if entry_scale is None else 3, scales=entry_scale)
    if before:
        last = before(writer, entry)
    for layer in layers:
        weight, bias = np.asarray(layer["weight"]), np.asarray(layer["bias"])
        axis = 3 if layer["operator"] == "DEPTHWISE_CONV_2D" else 0
        stored = writer.tensor(
            weight.shape,
            KINDS[weight.dtype],
            data=weight.tobytes(),
            scales=layer["scales"],
            zero=layer["zero"],
            axis=axis,
        )
        added = writer.tensor(bias.shape, KINDS[bias.dtype], data=bias.tobytes())
        out = writer.tensor(output, 0)
        options = (
            {} if layer["operator"] == "FULLY_CONNECTED" else {k: layer[k] for k in ("padding", "stride", "activation")}
        )
        writer.operator(layer["operator"], [last, stored, added], [out], **options)
        last = out
    for name in after:
        out = writer.tensor(output, 0)
        writer.operator(name, [last], [out])
        last = out
    return writer.finish(entry, last)


RNG = np.random.default_rng(0)
PLAIN = conv(RNG.normal(size=(2, 3, 3, 3)).astype("f4"), np.array([1, -1], "f4"), stride=2, activation=3)


def test_float_convolution_is_read_as_it_was_written():
    (layer,) = parse_tflite(write([PLAIN]), "f").layers
    assert np.array_equal(layer.weight, PLAIN["weight"].transpose(0, 3, 1, 2))
    assert layer.bias.tolist() == [1, -1]
    assert (layer.kind, layer.stride, layer.activation, layer.padding) == ("conv", 2, "relu6", "same")


def test_whole_numbers_are_scaled_by_channel_and_the_bias_by_input_times_weight():
    weight = RNG.integers(-127, 128, (2, 1, 1, 3)).astype("i1")
    layer = conv(weight, np.array([10, 20], "i4"), scales=[0.5, 0.25])
    (read,) = parse_tflite(write([layer], entry_scale=[0.125]), "f").layers
    assert np.array_equal(read.weight[:, :, 0, 0], weight[:, 0, 0] * np.array([[0.5], [0.25]]))
    assert read.bias.tolist() == [10 * 0.125 * 0.5, 20 * 0.125 * 0.25]


def test_depthwise_weights_are_scaled_along_their_last_axis():
    weight = RNG.integers(-127, 128, (1, 3, 3, 3)).astype("i1")
    layer = conv(weight, np.zeros(3, "i4"), scales=[1.0, 2.0, 4.0], operator="DEPTHWISE_CONV_2D")
    (read,) = parse_tflite(write([layer], entry_scale=[1.0]), "f").layers
    assert read.weight.shape == (3, 1, 3, 3)
    assert np.array_equal(read.weight[2, 0], weight[0, :, :, 2] * 4.0)


def test_zero_point_of_old_unsigned_files():
    weight = np.array([0, 100, 255], "u1").reshape(1, 1, 1, 3)
    layer = conv(weight, np.zeros(1, "i4"), scales=[0.5], zero=[100])
    (read,) = parse_tflite(write([layer], entry_scale=[1.0]), "f").layers
    assert read.weight.ravel().tolist() == [-50, 0, 77.5]


def test_fully_connected_classifier():
    layer = conv(RNG.normal(size=(5, 7)).astype("f4"), np.zeros(5, "f4"), operator="FULLY_CONNECTED")
    net = parse_tflite(write([layer]), "f")
    assert net.layers[0].weight.shape == (5, 7)
    assert net.num_classes == 5


def test_a_convolution_that_loses_the_border_is_told_from_one_that_pads(shared_weights):
    (layer,) = parse_tflite(write([{**PLAIN, "padding": 1}]), "f").layers
    assert layer.padding == "none"
    found = read_tflite(shared_weights / SMALL)
    first = replace(found.layers[0], padding="none")
    with pytest.raises(WeightsError, match=r"width 0.25, but layer 0 .* pads nothing, unlike the net's"):
        recognize_layers(replace(found, layers=(first, *found.layers[1:])), "x")


def test_a_relu_that_stands_alone_belongs_to_the_layer_before_it():
    writer = Writer()
    entry = writer.tensor([1, 8, 8, 3], 0)
    weight = writer.tensor([2, 3, 3, 3], 0, data=PLAIN["weight"].tobytes())
    first, last = writer.tensor([1, 8, 8, 2], 0), writer.tensor([1, 8, 8, 2], 0)
    writer.operator("CONV_2D", [entry, weight], [first])
    writer.operator("RELU", [first], [last])
    (layer,) = parse_tflite(writer.finish(entry, last), "f").layers
    assert layer.activation == "relu"


@pytest.mark.parametrize(("amounts", "expected"), [((0, 1), "same"), ((1, 1), "symmetric")])
def test_explicit_padding_tells_the_rule(amounts, expected):
    def pad(writer, entry):
        table = np.array([(0, 0), amounts, amounts, (0, 0)], "i4")
        stored = writer.tensor([4, 2], 2, data=table.tobytes())
        size = 8 + sum(amounts)
        out = writer.tensor([1, size, size, 3], 0)
        writer.operator("PAD", [entry, stored], [out])
        return out

    (layer,) = parse_tflite(write([{**PLAIN, "padding": 1}], before=pad), "f").layers
    assert layer.padding == expected


def test_half_precision_weights_behind_a_dequantize():
    half = RNG.normal(size=(2, 3, 3, 3)).astype("f2")
    writer = Writer()
    entry = writer.tensor([1, 8, 8, 3], 0)
    stored, real = writer.tensor(half.shape, 1, data=half.tobytes()), writer.tensor(half.shape, 0)
    bias = writer.tensor([2], 0, data=np.zeros(2, "f4").tobytes())
    out = writer.tensor([1, 8, 8, 2], 0)
    writer.operator("DEQUANTIZE", [stored], [real])
    writer.operator("CONV_2D", [entry, real, bias], [out])
    (layer,) = parse_tflite(writer.finish(entry, out), "f").layers
    assert np.array_equal(layer.weight, half.astype("f4").transpose(0, 3, 1, 2))


# ---------------------------------------------------------------- what is refused, and how


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a TFLite file"),
        (b"PK\3\4" + bytes(100), "not a TFLite file"),
        (b"\x10\0\0\0TFL3", "damaged"),
        (b"\xff\xff\xff\xffTFL3" + bytes(64), "damaged"),
    ],
)
def test_no_tflite_file(content, message):
    with pytest.raises(WeightsError, match=message):
        parse_tflite(content, "x.tflite")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({**PLAIN, "activation": 4}, "activation number 4"),
        ({**PLAIN, "stride": 3}, "strides"),
        ({**PLAIN, "bias": np.zeros(3, "f4")}, "bias of shape"),
        ({**PLAIN, "bias": np.zeros(2, "i4")}, "input scale"),
        ({**PLAIN, "weight": np.ones((2, 3, 3, 3), "i1")}, "without a scale"),
        ({**PLAIN, "weight": np.ones((2, 3, 3, 3), "i1"), "scales": [1.0, 1.0, 1.0]}, "3 scales"),
        ({**PLAIN, "weight": np.full((2, 3, 3, 3), np.nan, "f4")}, "not finite"),
        ({**PLAIN, "weight": np.ones((2, 3), "f4")}, "weights of shape"),
    ],
)
def test_a_layer_that_no_net_has(layer, message):
    with pytest.raises(WeightsError, match=message):
        parse_tflite(write([layer]), "x.tflite")


@pytest.mark.parametrize(
    ("after", "ending"),
    [
        ((), "softmax"),
        (("SOFTMAX",), "softmax"),
        (("LOGISTIC",), "sigmoid"),
        (("LOGISTIC", "DEQUANTIZE"), "sigmoid"),
        (("RESHAPE", "LOGISTIC", "RESHAPE", "QUANTIZE"), "sigmoid"),
        (("LOGISTIC", "SOFTMAX"), "softmax"),
    ],
)
def test_what_makes_answers_of_the_last_layer(after, ending):
    assert parse_tflite(write([PLAIN], after=after), "f").ending == ending


def test_the_packed_labels_may_end_in_blank_lines():
    assert label_lines("a\r\nb c\n\n \n") == ("a", "b c")
    assert label_lines("a\n\nb\x85c\u2028d") == ("a", "", "b\x85c\u2028d")
    assert label_lines("\n") == ()


def test_an_unknown_operator_is_named():
    def softplus(writer, entry):
        out = writer.tensor([1, 8, 8, 3], 0)
        writer.operator("TRANSPOSE_CONV", [entry], [out])
        return out

    with pytest.raises(WeightsError, match=r"it holds TRANSPOSE_CONV.*Known operators: ADD"):
        parse_tflite(write([PLAIN], before=softplus), "x.tflite")


def test_a_shape_that_its_bytes_do_not_fill():
    writer = Writer()
    entry = writer.tensor([1, 8, 8, 3], 0)
    weight = writer.tensor([2**30, 2**30, 2**30, 2**30], 0, data=bytes(64))
    out = writer.tensor([1, 8, 8, 2], 0)
    writer.operator("CONV_2D", [entry, weight], [out])
    with pytest.raises(WeightsError, match="should hold"):
        parse_tflite(writer.finish(entry, out), "x.tflite")


def test_references_beyond_the_tables():
    writer = Writer()
    entry = writer.tensor([1, 8, 8, 3], 0)
    writer.operator("CONV_2D", [entry, 77], [entry])
    with pytest.raises(WeightsError, match="tensor 77 of 1"):
        parse_tflite(writer.finish(entry, entry), "x.tflite")


def test_every_cut_of_a_real_file_is_refused_or_loses_no_weight(shared_weights):
    content = (shared_weights / SMALL).read_bytes()
    whole = parse_tflite(content, SMALL)
    refused = 0
    for length in np.linspace(0, len(content) - 1, 60).astype(int):
        try:
            net = parse_tflite(content[:length], SMALL)
        except WeightsError:
            refused += 1
        else:
            # A cut in the label list, which lies behind the model.
            assert net.labels is None
            for layer, known in zip(net.layers, whole.layers, strict=True):
                assert np.array_equal(layer.weight, known.weight)
                assert np.array_equal(layer.bias, known.bias)
    assert refused > 50


def test_random_damage_never_raises_anything_else(shared_weights):
    content = (shared_weights / SMALL).read_bytes()
    # Tables and vectors' lengths lie before and behind the weights; weights themselves may change unseen.
    places = RNG.choice([*range(2000), *range(len(content) - 40000, len(content))], (30, 4))
    refused = 0
    for row in places:
        damaged = bytearray(content)
        for place in row:
            damaged[place] = int(RNG.integers(256))
        try:
            recognize_layers(parse_tflite(bytes(damaged), SMALL), SMALL)
        except WeightsError:
            refused += 1
    assert refused > 0


# ---------------------------------------------------------------- real files


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("mobilenet_v1_0.25_128_quant.tflite", ("mobilenet_v1", 0.25, 128, 1001, "tench, Tinca tinca")),
        ("mobilenet_v1_0.5_160_quant.tflite", ("mobilenet_v1", 0.5, 160, 1001, "tench, Tinca tinca")),
        ("mobilenet_v1_0.75_192_quant.tflite", ("mobilenet_v1", 0.75, 192, 1001, "tench, Tinca tinca")),
        ("mobilenet_v2_1.0_224_quant.tflite", ("mobilenet_v2", 1.0, 224, 1001, "tench, Tinca tinca")),
        ("tf2_mobilenet_v2_1.0_224_ptq.tflite", ("mobilenet_v2", 1.0, 224, 1001, "tench, Tinca tinca")),
        ("mobilenet_v2_1.0_224_inat_bird_quant.tflite", ("mobilenet_v2", 1.0, 224, 965, "Aramus guarauna (Limpkin)")),
    ],
)
def test_published_files_are_recognized(shared_weights, file, expected):
    *spec, labeled = expected
    found = read_tflite(shared_weights / file)
    known, tensors, levels = recognize_layers(found, file)
    assert (known.name, known.width, known.resolution, known.num_classes) == tuple(spec)
    assert known.padding == "same"
    assert found.labels is not None
    assert found.labels[1] == labeled
    assert tensors["classifier.1.weight"].shape[0] == spec[3]
    assert len(tensors) == 2 * len(found.layers) == 2 * len(levels)


def test_a_part_of_a_net_is_told_from_it(shared_weights):
    found = read_tflite(shared_weights / SMALL)
    short = type(found)((*found.layers[:-3], found.layers[-1]), 128, 1001, 0, None)
    with pytest.raises(WeightsError, match=r"nearest to mobilenet_v1 of width 0.25, but layer 25 .* has 1001x256x1x1"):
        recognize_layers(short, "x")
    lacking = type(found)(found.layers, 128, 1001, 3, None)
    with pytest.raises(WeightsError, match="3 additions, not 0"):
        recognize_layers(lacking, "x")


def test_a_net_that_the_catalogue_has_not_is_refused_soon(shared_weights):
    found = read_tflite(shared_weights / SMALL)
    layers = [
        replace(layer, weight=np.concatenate([layer.weight] * 2), bias=np.tile(layer.bias, 2)) for layer in found.layers
    ]
    started = time.process_time()
    with pytest.raises(WeightsError, match=r"x holds no net of the catalogue, .* It is nearest to \w+ of width"):
        recognize_layers(replace(found, layers=tuple(layers)), "x")
    assert time.process_time() - started < 20


def test_labels_are_only_taken_where_their_number_is_right(shared_weights, tmp_path):
    path = tmp_path / SMALL
    path.write_bytes((shared_weights / SMALL).read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("second.txt", "a\nb")
    assert read_tflite(path).labels is None


def test_the_reader_needs_no_torch(shared_weights):
    import subprocess

    code = (
        "import sys; from pathlib import Path; from pocketvision.weights import read, fetch; "
        "from pocketvision.weights.tflite import read_tflite; "
        f"read_tflite(Path({str(shared_weights / SMALL)!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite", None)
    with pytest.raises(MissingExtra, match=r"pip install 'pocketvision\[tflite\]'"):
        parse_tflite(b"\x10\0\0\0TFL3", "x.tflite")


# ---------------------------------------------------------------- other nets of the catalogue


def chain(name, width, *, relu_apart=False):
    """Write a net's layers one behind the other, with its number of additions: what recognition looks at."""
    writer = Writer()
    entry = last = writer.tensor([1, 8, 8, 3], 0)
    padded = {"none": 1, "same": 0}
    for slot in slots(name, width, 1000):
        outputs, inputs, *kernel = slot.shape
        depthwise = inputs == 1 and outputs > 1
        # The classifier is fully connected, and hidden layers before it are 1x1 convolutions, as TensorFlow has them.
        linear = slot.linear and slot.activation == "none"
        shape = [1, *kernel, outputs] if depthwise else [outputs, *kernel, inputs]
        weight = writer.tensor([outputs, inputs] if linear else shape, 0, data=bytes(4 * math.prod(slot.shape)))
        out = writer.tensor([1, 8, 8, outputs], 0)
        number = {"none": 0, "relu": 1, "relu6": 3}[slot.activation]
        operator = "FULLY_CONNECTED" if linear else "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        settings = {"stride": slot.stride, "activation": 0 if relu_apart else number}
        settings |= {"padding": padded["same" if slot.padded or kernel == [1, 1] else "none"]}
        writer.operator(operator, [last, weight], [out], **({} if linear else settings))
        if relu_apart and number:
            source, out = out, writer.tensor([1, 8, 8, outputs], 0)
            writer.operator("RELU6" if number == 3 else "RELU", [source], [out])
        last = out
    for _ in range(_additions(ModelSpec(name, width))):
        writer.operator("ADD", [last, last], [last])
    return writer.finish(entry, last)


@pytest.mark.parametrize("relu_apart", [False, True])
@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("squeezenet1_1", 1.0),
        ("squeezenet1_1_simple_bypass", 1.0),
        ("mobilenet_v3_small_minimalistic", 1.0),
        ("mobilenet_v3_small", 1.0),
        ("mobilenet_v2", 0.35),
        ("efficientnet_lite0", 1.0),
    ],
)
def test_nets_are_recognized_by_their_layers(name, width, relu_apart):
    found = recognize_layers(parse_tflite(chain(name, width, relu_apart=relu_apart), "x"), "x")
    assert (found.spec.name, found.spec.width) == (name, width)
    assert found.levels == {}


def test_a_padding_rule_that_the_net_has_not_is_refused():
    with pytest.raises(WeightsError, match="pads by the rule 'same', and fd_mobilenet is known with symmetric only"):
        recognize_layers(parse_tflite(chain("fd_mobilenet", 0.25), "x"), "x")


def test_the_inputs_of_a_layer_on_flattened_maps_are_put_in_our_order():
    slot = Slot("classifier.0", (2, 2 * 2 * 3, 1, 1), 1, "none", padded=False, linear=True)
    channels_last = np.arange(24).reshape(2, 2, 2, 3)
    ours = _ordered(channels_last.reshape(2, 12), slot, 3).reshape(2, 3, 2, 2)
    assert np.array_equal(ours, channels_last.transpose(0, 3, 1, 2))
    plain = np.arange(24).reshape(2, 12)
    assert np.array_equal(_ordered(plain, slot, 12), plain)
