"""What a detector's LiteRT file says of its outputs, in the forms that MediaPipe's ObjectDetector reads.

Four outputs of the suppressing operator, by their names; or codes and scores of all anchors, with the anchors in a
table of its own: object_detector_metadata_schema.fbs of MediaPipe (identifier V001).
"""

from typing import NamedTuple

import numpy as np

from pocketvision.export.tables import Field, Tables
from pocketvision.graph.boxes import SCALES, anchors
from pocketvision.values import Manifest

_FEATURE, _BOXES = 1, 3
"""What an output is."""
_BOUNDARIES = 1
_LEFT_TOP_RIGHT_BOTTOM = (1, 0, 3, 2)
"""Places in y1, x1, y2, x2."""
_SCORE_THRESHOLD = 3
_POINT_VALUES = 2
"""What the schema gives key points, of which there are none."""
RAW_SINCE = "1.5.0"
"""First version of the metadata's readers that knows codes and scores."""


class BoxWords(NamedTuple):
    """Places of what the metadata holds of a detector's outputs."""

    outputs: int
    groups: int | None
    custom: int | None


def box_words(tables: Tables, manifest: Manifest, labels: int) -> BoxWords:
    """Write what each output is; `labels` is the place of the file of labels."""
    if manifest.ends == "raw":
        outputs = [
            _output(tables, "location", "Code of each anchor's box: y, x, height, width.", _located(tables)),
            _output(
                tables, "score", "Score of each class at each anchor.", labels=labels, unit=_least(tables, manifest)
            ),
        ]
        return BoxWords(tables.offsets(outputs), None, _custom(tables, manifest))
    one = tables.table(Field(0, "int32", 2), Field(1, "int32", 2))
    outputs = [
        _output(tables, "location", "Boxes: y1, x1, y2, x2 as shares of the image.", _located(tables, one)),
        _output(tables, "category", "Place of each box's class among the labels.", _plain(tables, one), labels=labels),
        _output(tables, "score", "Score of each box.", _plain(tables, one), unit=_least(tables, manifest)),
        _output(tables, "number of detections", "How many boxes there are.", _plain(tables)),
    ]
    names = tables.offsets([tables.text(name) for name in ("location", "category", "score")])
    group = tables.table(Field(0, "offset", tables.text("detection_result")), Field(1, "offset", names))
    return BoxWords(tables.offsets(outputs), tables.offsets([group]), None)


def _output(
    tables: Tables, name: str, words: str, content: int | None = None, *, labels: int | None = None, unit: int = 0
) -> int:
    fields = [Field(0, "offset", tables.text(name)), Field(1, "offset", tables.text(words))]
    if content is not None:
        fields.append(Field(3, "offset", content))
    if unit:
        fields.append(Field(4, "offset", tables.offsets([unit])))
    if labels is not None:
        fields.append(Field(6, "offset", tables.offsets([labels])))
    return tables.table(*fields)


def _located(tables: Tables, values: int | None = None) -> int:
    """Write that an output holds boxes, and how their numbers are read; `values` says which axis counts them."""
    order = tables.numbers(np.array(_LEFT_TOP_RIGHT_BOTTOM, np.uint32))
    properties = tables.table(Field(0, "offset", order), Field(1, "int8", _BOUNDARIES))
    fields = [Field(0, "uint8", _BOXES), Field(1, "offset", properties)]
    return tables.table(*fields, *([Field(2, "offset", values)] if values is not None else []))


def _plain(tables: Tables, values: int | None = None) -> int:
    fields = [Field(0, "uint8", _FEATURE), Field(1, "offset", tables.table())]
    return tables.table(*fields, *([Field(2, "offset", values)] if values is not None else []))


def _least(tables: Tables, manifest: Manifest) -> int:
    """Write the score from which on boxes count; 0 where none was settled."""
    if not manifest.thresholds:
        return 0
    options = tables.table(Field(0, "float32", manifest.thresholds[0]))
    return tables.table(Field(0, "uint8", _SCORE_THRESHOLD), Field(1, "offset", options))


def _custom(tables: Tables, manifest: Manifest) -> int:
    data = tables.numbers(np.frombuffer(anchors_table(manifest), np.uint8))
    entry = tables.table(Field(0, "offset", tables.text("DETECTOR_METADATA")), Field(1, "offset", data))
    return tables.offsets([entry])


def anchors_table(manifest: Manifest) -> bytes:
    """Return the table of anchors and of how codes are read, for apps that suppress by themselves."""
    assert manifest.model.detector is not None
    found = anchors(manifest.model.detector.maps, manifest.image.resolution)
    tables = Tables()
    each = [
        tables.table(*(Field(slot, "float32", float(row[axis])) for slot, axis in enumerate((1, 0, 3, 2))))
        for row in found
    ]
    schema = tables.table(Field(0, "offset", tables.offsets(each)))
    ssd = tables.table(Field(0, "offset", schema))
    counts = (len(manifest.labels), len(found), 4, 0, 0, _POINT_VALUES)
    scales = (SCALES[1], SCALES[0], SCALES[3], SCALES[2])  # x, y, width, height
    decoding = tables.table(
        *(Field(slot, "int32", count) for slot, count in enumerate(counts)),
        *(Field(slot, "float32", scale) for slot, scale in enumerate(scales, start=len(counts))),
        Field(10, "bool", True),
        Field(11, "bool", False),
    )
    return tables.finish(tables.table(Field(1, "offset", ssd), Field(2, "offset", decoding)), b"V001")
