"""An int8 graph as C source for TensorFlow Lite Micro: a LiteRT file as an array, and a header beside it.

The file has the integers of `model.tflite`, but no image in float, which would need four times its bytes of memory.

The header holds sizes, labels, the operators to register and an estimate of the arena. The array needs no file system
and stays in flash. Of what computes nothing is C of our own but the few lines that suppress a detector's boxes.
"""

import json
import re
from pathlib import Path

import numpy as np

from pocketvision.errors import GraphError, UsageError
from pocketvision.export import c_boxes, litert
from pocketvision.export.litert_file import LitertFile
from pocketvision.files import write_text
from pocketvision.graph.graph import Graph
from pocketvision.values import Io, Manifest

MICRO = {
    "ADD": "Add",
    "AVERAGE_POOL_2D": "AveragePool2D",
    "CONCATENATION": "Concatenation",
    "CONV_2D": "Conv2D",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "DEQUANTIZE": "Dequantize",
    "FULLY_CONNECTED": "FullyConnected",
    "HARD_SWISH": "HardSwish",
    "LEAKY_RELU": "LeakyRelu",
    "LOGISTIC": "Logistic",
    "MAX_POOL_2D": "MaxPool2D",
    "MEAN": "Mean",
    "MUL": "Mul",
    "PAD": "Pad",
    "PADV2": "PadV2",
    "QUANTIZE": "Quantize",
    "RELU": "Relu",
    "RELU6": "Relu6",
    "RESHAPE": "Reshape",
    "RSQRT": "Rsqrt",
    "SOFTMAX": "Softmax",
    "SQRT": "Sqrt",
    "STRIDED_SLICE": "StridedSlice",
    "SUB": "Sub",
    "TRANSPOSE": "Transpose",
}
"""LiteRT's operators to the names under which MicroMutableOpResolver adds them (`AddConv2D` and so on)."""
_ENDS: dict[Io, str] = {
    "mixed": "Input: uint8 [1, {side}, {side}, 3], red, green, blue, row by row. Output: float [1, {classes}].",
    "uint8": "Input: uint8 [1, {side}, {side}, 3], red, green, blue, row by row.\n"
    "   Output: uint8 [1, {classes}], in 1/256.",
    "int8": "Input: int8 [1, {side}, {side}, 3], red, green, blue, row by row, each less 128.\n"
    "   Output: int8 [1, {classes}]; plus 128 it is the probability in 1/256.",
}
_LINE = 20
_ALIGNED = 16
_TENSOR_BYTES, _OPERATOR_BYTES, _CHANNEL_BYTES = 64, 128, 8
"""What the interpreter keeps of each tensor and operator, roughly, and of each output channel: a factor and a shift."""


def write(graph: Graph, manifest: Manifest, path: Path) -> int:
    """Write `path`, a .c, and the header beside it; return the bytes of the array, which the device has to hold.

    Raises UsageError for a float graph, GraphError for an operator that TensorFlow Lite Micro lacks.
    """
    if graph.quant is None:
        raise UsageError("the C format is for int8 nets: export with --precision int8")
    writer = litert.written(graph, manifest.io, lean=True, ends="raw")
    file = writer.file
    unknown = sorted({step.kind for step in file.steps} - set(MICRO))
    if unknown:
        raise GraphError(
            f"TensorFlow Lite Micro has no {', '.join(unknown)}, which this net needs; choose a family without it"
        )
    content, name = file.to_bytes(*writer.ends()), symbol(path.stem)
    boxes = c_boxes.source(graph, manifest, name)
    write_text(path, _source(content, name, path.with_suffix(".h").name) + boxes)
    write_text(
        path.with_suffix(".h"), _header(file, manifest, (name, len(content)), c_boxes.declared(graph, manifest, name))
    )
    return len(content)


def symbol(stem: str) -> str:
    """Return a C identifier for a file's name."""
    return re.sub(r"\W", "_", stem, flags=re.ASCII) if re.match(r"[A-Za-z_]", stem) else symbol(f"net_{stem}")


def arena_bytes(file: LitertFile) -> int:
    """Estimate the arena: tensors alive at once in the file's order, and what the interpreter keeps of each part.

    Scratch room of optimized kernels, such as CMSIS-NN's, comes on top.
    """
    sizes = [
        _aligned(int(np.prod((1, *tensor.shape[1:]))) * np.dtype(tensor.dtype).itemsize) for tensor in file.tensors
    ]
    last = {place: number for number, step in enumerate(file.steps) for place in step.inputs}
    alive = {place for place in file.steps[0].inputs if file.tensors[place].content is None}
    peak = 0
    for number, step in enumerate(file.steps):
        alive.add(step.output)
        peak = max(peak, sum(sizes[place] for place in alive))
        alive = {place for place in alive if last.get(place, number + 1) > number}
    channels = sum(len(tensor.scale.scale) for tensor in file.tensors if tensor.scale and len(tensor.scale.scale) > 1)
    kept = len(file.tensors) * _TENSOR_BYTES + len(file.steps) * _OPERATOR_BYTES + channels * _CHANNEL_BYTES
    return _aligned(peak + kept)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _source(content: bytes, name: str, header: str) -> str:
    rows = (content[start : start + _LINE] for start in range(0, len(content), _LINE))
    body = "\n".join("  " + ", ".join(f"{byte}" for byte in row) + "," for row in rows)
    return (
        f'#include "{header}"\n\n'
        "#if defined(__GNUC__) || defined(__clang__)\n"
        f"#define {name.upper()}_ALIGNED __attribute__((aligned({_ALIGNED})))\n"
        "#else\n"
        f"#define {name.upper()}_ALIGNED\n"
        "#endif\n\n"
        f"const unsigned char {name}_data[{name.upper()}_BYTES] {name.upper()}_ALIGNED = {{\n{body}\n}};\n\n"
        f"const char *const {name}_labels[{name.upper()}_CLASSES] = {{{name.upper()}_LABELS}};\n"
    )


def _header(file: LitertFile, manifest: Manifest, array: tuple[str, int], boxes: tuple[str, str]) -> str:
    name, size = array
    sizes, function = boxes
    upper, side = name.upper(), manifest.image.resolution
    adders = [MICRO[kind] for kind in sorted({step.kind for step in file.steps})]
    calls = "\n".join(f"  resolver.Add{adder}();" for adder in adders)
    labels = ", ".join(_text(label) for label in manifest.labels)
    return f"""/* {_comment(manifest.name)}: {_comment(str(manifest.model))}, int8, for TensorFlow Lite Micro.
   {_ends(manifest)} */
#ifndef {upper}_H
#define {upper}_H

#define {upper}_BYTES {size}
#define {upper}_SIDE {side}
#define {upper}_CLASSES {len(manifest.labels)}
/* An estimate: give AllocateTensors more if it asks for it, and read arena_used_bytes() afterwards. */
#define {upper}_ARENA_BYTES {arena_bytes(file)}
#define {upper}_OPERATORS {len(adders)}
#define {upper}_LABELS {labels}
{sizes}
#ifdef __cplusplus
extern "C" {{
#endif

extern const unsigned char {name}_data[{upper}_BYTES];
extern const char *const {name}_labels[{upper}_CLASSES];
{function}
#ifdef __cplusplus
}}

/* For tflite::MicroMutableOpResolver<{upper}_OPERATORS>. */
template <typename Resolver>
void {name}_add_operators(Resolver &resolver) {{
{calls}
}}
#endif

#endif
"""


def _ends(manifest: Manifest) -> str:
    """Say what goes in and what comes out."""
    side, classes = manifest.image.resolution, len(manifest.labels)
    if manifest.model.detector is None:
        return _ENDS[manifest.io].format(side=side, classes=classes)
    image, _ = _ENDS["mixed"].format(side=side, classes=classes).split(" Output")
    return f"{image}\n   Outputs: float [1, anchors, 4], the codes of boxes, and float [1, anchors, {classes}], scores."


def _text(label: str) -> str:
    """Return a C string: JSON's escapes for what is ASCII, octal ones for each byte of what is not."""
    quoted = json.dumps(label, ensure_ascii=False).replace("?", "\\?")
    quoted = re.sub(r"\\u([0-9a-f]{4})", lambda code: f"\\{int(code[1], 16):03o}", quoted)
    return "".join(char if ord(char) < 127 else "".join(f"\\{byte:03o}" for byte in char.encode()) for char in quoted)


def _comment(text: str) -> str:
    return re.sub(r"[^ -~]", "?", text).replace("*/", "* /").replace("/*", "/ *").replace("\\", "/")
