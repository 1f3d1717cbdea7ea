"""What a detector's ONNX file ends in: boxes decoded in floats, suppressed class by class, the best of them in order.

All outputs have a fixed length, and any number of images goes in at once. `raw` ends with the boxes and scores of all
anchors.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from pocketvision.graph.boxes import LARGEST_GROWTH, SCALES
from pocketvision.graph.graph import Suppress, ToRows

if TYPE_CHECKING:
    from pocketvision.export.onnx import _Writer

Ends = list[tuple[str, str, list[int | str]]]
"""Name, type and shape of each output."""


def rows(writer: "_Writer", node: ToRows, tensor: str) -> str:
    """Write [N, C, H, W] as [N, L, values]."""
    last = writer.op("Transpose", [tensor], perm=[0, 2, 3, 1])
    values, count = writer.graph.shapes[node.name]
    return writer.op("Reshape", [last, writer.constant(np.array([0, count, values]))])


def suppressed(writer: "_Writer", node: Suppress, *, raw: bool) -> Ends:
    """Write what makes boxes of codes and scores [N, L, values]; return what comes out."""
    codes, scores = (writer.value(name) for name in node.inputs)
    count, classes = len(node.anchors), writer.graph.shapes[node.inputs[1]][0]
    boxes = _decoded(writer, node, codes, name="boxes" if raw else "")
    if raw:
        writer.op("Identity", [scores], name="scores")
        return [("boxes", "FLOAT", ["N", count, 4]), ("scores", "FLOAT", ["N", count, classes])]
    _best(writer, node, boxes, _unsuppressed(writer, node, boxes, scores))
    return [
        ("boxes", "FLOAT", ["N", node.most, 4]),
        ("classes", "INT64", ["N", node.most]),
        ("scores", "FLOAT", ["N", node.most]),
        ("count", "INT64", ["N"]),
    ]


def _decoded(writer: "_Writer", node: Suppress, codes: str, *, name: str) -> str:
    """Write y1, x1, y2, x2 of codes [N, A, 4], as `graph.boxes.decode` computes them."""
    anchors = np.asarray(node.anchors, np.float32)
    moves, growths = (writer.op("Slice", [codes, *map(writer.constant, _between(at))]) for at in (0, 2))
    moved = writer.op("Mul", [moves, writer.constant(anchors[:, 2:] / np.array(SCALES[:2], np.float32))])
    middle = writer.op("Add", [moved, writer.constant(anchors[:, :2].copy())])
    steps = writer.op("Mul", [growths, writer.constant(np.array(SCALES[2:], np.float32) ** -1)])
    grown = writer.op("Exp", [writer.op("Min", [steps, writer.constant(np.float32(LARGEST_GROWTH))])])
    half = writer.op("Mul", [grown, writer.constant(anchors[:, 2:] / 2)])
    ends = [writer.op(kind, [middle, half]) for kind in ("Sub", "Add")]
    return writer.op("Concat", ends, name=name, axis=2)


def _between(start: int) -> tuple[Any, ...]:
    return tuple(np.array([place]) for place in (start, start + 2, 2))


def _unsuppressed(writer: "_Writer", node: Suppress, boxes: str, scores: str) -> str:
    """Write the scores of boxes that no better one overlaps, 0 in place of the others: [N, classes, A]."""
    by_class = writer.op("Transpose", [scores], perm=[0, 2, 1])
    # The operator keeps what is above its threshold, and a score that equals ours counts.
    least = np.nextafter(np.float32(node.score_threshold), np.float32(0))
    rules = [np.int64(node.most), np.float32(node.iou_threshold), least]
    chosen = writer.op("NonMaxSuppression", [boxes, by_class, *(writer.constant(rule.reshape(1)) for rule in rules)])
    nothing = writer.op("Mul", [by_class, writer.constant(np.float32(0))])
    return writer.op("ScatterND", [nothing, chosen, writer.op("GatherND", [by_class, chosen])])


def _best(writer: "_Writer", node: Suppress, boxes: str, scores: str) -> None:
    """Write the best of the kept boxes in order, ones of class 0 without score behind the last."""
    count, classes = len(node.anchors), writer.graph.shapes[node.inputs[1]][0]
    flat = writer.op("Reshape", [scores, writer.constant(np.array([0, -1]))])
    if count * classes < node.most:
        missing = np.array([0, 0, 0, node.most - count * classes])
        flat = writer.op("Pad", [flat, writer.constant(missing)])
    _, places = writer.two("TopK", [flat, writer.constant(np.array([node.most]))], ("scores", ""), axis=1)
    there = writer.op("Greater", ["scores", writer.constant(np.float32(0))])
    whole = writer.op("Cast", [there], to=int(writer.onnx.TensorProto.INT64))
    places = writer.op("Mul", [places, whole])
    anchors = writer.constant(np.int64(count))
    writer.op("Div", [places, anchors], name="classes")
    place = writer.op("Unsqueeze", [writer.op("Mod", [places, anchors]), writer.constant(np.array([2]))])
    # By GatherND this would be shorter, but OpenVINO 2026.4 then gives other scores in int8.
    each = writer.op("Expand", [place, writer.constant(np.array([1, 1, 4]))])
    found = writer.op("GatherElements", [boxes, each], axis=1)
    shown = writer.op("Cast", [there], to=int(writer.onnx.TensorProto.FLOAT))
    writer.op("Mul", [found, writer.op("Unsqueeze", [shown, writer.constant(np.array([2]))])], name="boxes")
    writer.op("ReduceSum", [whole, writer.constant(np.array([1]))], name="count", keepdims=0)
