"""What a detector's LiteRT file ends in: an operator that suppresses boxes, or what is said of every anchor.

Rows of all maps are joined in float: joined levels would share one scale, and the coarse maps would lose bits.
The operator is TensorFlow Lite's own custom one, `TFLite_Detection_PostProcess`
(tensorflow/lite/kernels/detection_postprocess.cc); class by class, as `graph/boxes.py` does it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from pocketvision.export.litert_file import LitertFile
from pocketvision.export.tables import Field, options_map
from pocketvision.graph.boxes import LARGEST_GROWTH, SCALES
from pocketvision.graph.graph import Graph, Suppress

if TYPE_CHECKING:
    from pocketvision.export.litert import _Writer

Form = Literal["boxes", "raw", "decoded"]
"""`boxes` gives those that are kept, `raw` the code and scores of every anchor, `decoded` its box and scores."""
_INT32 = 2
_FIRST_LOST, _SPARE = 2, 17
"""With T threads the operator leaves out the class at place T, from 2 on (tensorflow/tensorflow#56058, still so in
LiteRT 2.3). Behind so many classes that are never there, all real ones are found with up to 16 threads."""
_MOST_JOINED = 5
"""Tensors that XNNPACK joins at once."""


def titles(graph: Graph, form: Form) -> dict[str, str]:
    """Return what tensors of a graph are called in the file, where they are what comes out of it."""
    node = graph.nodes[-1]
    if not isinstance(node, Suppress):
        return {graph.output: "probabilities"}
    codes, scores = node.inputs
    return {"boxes": {}, "raw": {codes: "location", scores: "score"}, "decoded": {scores: "scores"}}[form]


def joined(file: LitertFile, inputs: Sequence[int], out: int) -> int:
    """Join rows [1, L, values] of several maps: no more at once than XNNPACK takes."""
    if len(inputs) == 1:
        wanted = np.array([-1, *file.tensors[out].shape[1:]], np.int32)
        return file.operator("RESHAPE", [inputs[0], file.constant(wanted)], out)
    first, rest = list(inputs[:_MOST_JOINED]), inputs[_MOST_JOINED:]
    rows = sum(file.tensors[place].shape[1] for place in first)
    shape = (1, rows, file.tensors[first[0]].shape[2])
    target = file.tensor(shape, "float32") if rest else out
    place = file.operator("CONCATENATION", first, target, Field(0, "int32", 1))
    return joined(file, [place, *rest], out) if rest else place


def suppressed(writer: "_Writer", node: Suppress, form: Form) -> tuple[int, ...]:
    """Write what makes boxes of codes and scores; return the places of what comes out."""
    codes, scores = (writer.value(name) for name in node.inputs)
    if form == "raw":
        return codes, scores
    if form == "decoded":
        return _decoded(writer.file, codes, node), scores
    file, count = writer.file, node.most
    classes = file.tensors[scores].shape[-1]
    spare = _SPARE if classes > _FIRST_LOST else 0
    shapes = ((1, count, 4), (1, count), (1, count), (1,))
    names = ("boxes", "" if spare else "classes", "scores", "count")
    outputs = [file.tensor(shape, "float32", name=name) for shape, name in zip(shapes, names, strict=True)]
    anchors = file.constant(np.asarray(node.anchors, np.float32))
    inputs = [codes, _behind(file, scores, spare) if spare else scores, anchors]
    file.custom("TFLite_Detection_PostProcess", inputs, outputs, options_map(_options(node, spare + classes)))
    if spare:
        outputs[1] = _without(file, outputs[1], spare, classes)
    return tuple(outputs)


def _behind(file: LitertFile, scores: int, spare: int) -> int:
    """Write scores behind those of classes that are never there."""
    amounts = file.constant(np.array([[0, 0], [0, 0], [spare, 0]], np.int32))
    _, rows, classes = file.tensors[scores].shape
    return file.operator("PAD", [scores, amounts], file.tensor((1, rows, spare + classes), "float32"))


def _without(file: LitertFile, places: int, spare: int, classes: int) -> int:
    """Write the places of classes as they are counted without those that are never there."""
    shape = file.tensors[places].shape
    whole = file.operator("CAST", [places], file.tensor(shape, "int32"), Field(1, "int8", _INT32))
    table = file.constant(np.maximum(np.arange(spare + classes) - spare, 0).astype(np.float32))
    return file.operator("GATHER", [table, whole], file.tensor(shape, "float32", name="classes"))


def _options(node: Suppress, classes: int) -> dict[str, bool | int | float]:
    scales = dict(zip(("y_scale", "x_scale", "h_scale", "w_scale"), SCALES, strict=True))
    return {
        "max_detections": node.most,
        "max_classes_per_detection": 1,
        "detections_per_class": node.most,
        "use_regular_nms": True,
        "nms_score_threshold": node.score_threshold,
        "nms_iou_threshold": node.iou_threshold,
        "num_classes": classes,
        **scales,
    }


def _decoded(file: LitertFile, codes: int, node: Suppress) -> int:
    """Write y1, x1, y2, x2 of codes, as `graph.boxes.decode` computes them."""
    anchors = np.asarray(node.anchors, np.float32)[None]
    steps = anchors[..., 2:] / np.array(SCALES[:2], np.float32)
    shape = (1, anchors.shape[1], 2)

    def computed(kind: str, *inputs: int) -> int:
        return file.operator(kind, inputs, file.tensor(shape, "float32"))

    moved = computed("MUL", _half(file, codes, 0), file.constant(steps))
    middle = computed("ADD", moved, file.constant(anchors[..., :2].copy()))
    sizes = computed("MUL", _half(file, codes, 2), file.constant(np.array([1 / SCALES[2]], np.float32)))
    largest = file.constant(np.array([LARGEST_GROWTH], np.float32))
    grown = computed("EXP", computed("MINIMUM", sizes, largest))
    half = computed("MUL", grown, file.constant(anchors[..., 2:] / 2))
    corners = [computed("SUB", middle, half), computed("ADD", middle, half)]
    out = file.tensor((1, anchors.shape[1], 4), "float32", name="boxes")
    return file.operator("CONCATENATION", corners, out, Field(0, "int32", 2))


def _half(file: LitertFile, codes: int, start: int) -> int:
    """Write two of the four numbers of each code."""
    rows = file.tensors[codes].shape[1]
    places = [np.array(place, np.int32) for place in ([0, 0, start], [0, 0, start + 2], [1, 1, 1])]
    inputs = [codes, *(file.constant(values) for values in places)]
    masks = [Field(slot, "int32", 3) for slot in (0, 1)]
    return file.operator("STRIDED_SLICE", inputs, file.tensor((1, rows, 2), "float32"), *masks)
