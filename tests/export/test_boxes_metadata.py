"""What a detector's LiteRT file says of itself, read slot by slot: outputs, labels, threshold, anchors, options."""

from dataclasses import replace

import numpy as np
import pytest
from flatbuffers import flexbuffers
from flatbuffers.number_types import BoolFlags, Float32Flags, Int8Flags, Int32Flags, Uint8Flags
from flatbuffers.table import Table

from pocketvision.export import litert
from pocketvision.export.litert_box_metadata import anchors_table
from pocketvision.export.manifest import manifest_of_file
from pocketvision.graph.boxes import anchors
from pocketvision.graph.graph import Graph
from tests.export.detector import IMAGE, LABELS, MAPS, MODEL, SIDE, detector

schema = pytest.importorskip("tflite", reason="reading a file by the schema needs the extra 'tflite'")


class Slots:
    """A table of a FlatBuffer, read by the numbers of its fields."""

    def __init__(self, content, place=None):
        self.content = content
        self.table = Table(content, int.from_bytes(content[:4], "little") if place is None else place)

    def offset(self, slot):
        return self.table.Offset(4 + 2 * slot)

    def number(self, slot, flags):
        place = self.offset(slot)
        return self.table.Get(flags, place + self.table.Pos) if place else 0

    def text(self, slot):
        return self.table.String(self.offset(slot) + self.table.Pos).decode()

    def child(self, slot):
        return Slots(self.content, self.table.Indirect(self.offset(slot) + self.table.Pos))

    def children(self, slot):
        if not self.offset(slot):
            return []
        start, count = self.table.Vector(self.offset(slot)), self.table.VectorLen(self.offset(slot))
        return [Slots(self.content, self.table.Indirect(start + 4 * place)) for place in range(count)]

    def texts(self, slot):
        start, count = self.table.Vector(self.offset(slot)), self.table.VectorLen(self.offset(slot))
        return [self.table.String(start + 4 * place).decode() for place in range(count)]

    def numbers(self, slot, dtype):
        start, count = self.table.Vector(self.offset(slot)), self.table.VectorLen(self.offset(slot))
        return np.frombuffer(self.content, dtype, count, start).tolist()

    def content_of(self, slot):
        start, count = self.table.Vector(self.offset(slot)), self.table.VectorLen(self.offset(slot))
        return bytes(self.content[start : start + count])


@pytest.fixture(scope="module")
def graph() -> Graph:
    return detector()


def words(**changes):
    plain = replace(manifest_of_file(MODEL, IMAGE, LABELS), task="detection", thresholds=(0.42,) * 3)
    return replace(plain, **changes)


def told(graph, **changes):
    model = schema.Model.GetRootAsModel(litert.to_bytes(graph, words(**changes)), 0)
    content = model.Buffers(model.Metadata(0).Buffer()).DataAsNumpy().tobytes()
    assert content[4:8] == b"M001"
    return Slots(content)


def threshold_of(output):
    (unit,) = output.children(4)
    assert unit.number(0, Uint8Flags) == 3  # score thresholding
    return unit.child(1).number(0, Float32Flags)


def test_four_outputs_as_detectors_are_told(graph):
    (subgraph,) = told(graph).children(3)
    outputs = subgraph.children(3)
    assert [output.text(0) for output in outputs] == ["location", "category", "score", "number of detections"]
    location, category, score, count = outputs
    assert [output.child(3).number(0, Uint8Flags) for output in outputs] == [3, 1, 1, 1]
    boxes = location.child(3).child(1)
    assert boxes.numbers(0, np.uint32) == [1, 0, 3, 2]
    assert (boxes.number(1, Int8Flags), boxes.number(2, Int8Flags)) == (1, 0)  # boundaries, as shares
    for output in (location, category, score):
        values = output.child(3).child(2)
        assert (values.number(0, Int32Flags), values.number(1, Int32Flags)) == (2, 2)
    assert not count.child(3).offset(2)
    (labels,) = category.children(6)
    assert (labels.text(0), labels.number(2, Int8Flags)) == ("labels.txt", 3)  # of the values
    assert threshold_of(score) == pytest.approx(0.42)
    (group,) = subgraph.children(8)
    assert (group.text(0), group.texts(1)) == ("detection_result", ["location", "category", "score"])
    assert not subgraph.children(9)


def test_raw_outputs_come_with_their_anchors(graph):
    model = told(graph, ends="raw")
    assert model.text(7) == "1.5.0"
    (subgraph,) = model.children(3)
    location, score = subgraph.children(3)
    assert (location.text(0), score.text(0)) == ("location", "score")
    (labels,) = score.children(6)
    assert labels.number(2, Int8Flags) == 2  # along the axis
    assert threshold_of(score) == pytest.approx(0.42)
    (custom,) = subgraph.children(9)
    assert custom.text(0) == "DETECTOR_METADATA"
    assert custom.content_of(1) == anchors_table(words())
    options = Slots(anchors_table(words()))
    found = [
        [anchor.number(slot, Float32Flags) for slot in range(4)] for anchor in options.child(1).child(0).children(0)
    ]
    wanted = anchors(MAPS, SIDE)
    np.testing.assert_allclose(found, wanted[:, [1, 0, 3, 2]], rtol=1e-6)
    decoding = options.child(2)
    assert [decoding.number(slot, Int32Flags) for slot in range(6)] == [3, len(wanted), 4, 0, 0, 2]
    assert [decoding.number(slot, Float32Flags) for slot in range(6, 10)] == [10, 10, 5, 5]
    assert [decoding.number(slot, BoolFlags) for slot in (10, 11)] == [True, False]


def test_the_operator_has_the_options_of_the_graph(graph):
    model = schema.Model.GetRootAsModel(litert.to_bytes(graph, words()), 0)
    net = model.Subgraphs(0)
    found = [net.Operators(place) for place in range(net.OperatorsLength())]
    codes = [model.OperatorCodes(operator.OpcodeIndex()) for operator in found]
    (operator,) = (operator for operator, code in zip(found, codes, strict=True) if code.CustomCode())
    options = flexbuffers.Loads(operator.CustomOptionsAsNumpy().tobytes())
    spare = 17  # classes that are never there, before the file's own
    assert options == {
        "max_detections": 100,
        "max_classes_per_detection": 1,
        "detections_per_class": 100,
        "use_regular_nms": True,
        "nms_score_threshold": pytest.approx(0.05),
        "nms_iou_threshold": pytest.approx(0.5),
        "num_classes": spare + len(LABELS),
        "y_scale": 10.0,
        "x_scale": 10.0,
        "h_scale": 5.0,
        "w_scale": 5.0,
    }
    outputs = [net.Tensors(net.Outputs(place)).Name() for place in range(net.OutputsLength())]
    assert outputs == [b"boxes", b"classes", b"scores", b"count"]


def test_without_a_settled_threshold_none_is_told(graph):
    (subgraph,) = told(graph, thresholds=()).children(3)
    assert not subgraph.children(3)[2].children(4)
