"""What a LiteRT file says of itself: TensorFlow Lite's metadata for phones' libraries, and the manifest.

Metadata follows metadata_schema.fbs of TensorFlow Lite Support (identifier M001). Labels and manifest are associated
files: a zip archive behind the model, unpacked as it is, which MediaPipe asks for. The archive holds a digest of the
model before it, so that a changed file is told from a whole one before a runtime reads it.
"""

import hashlib
import io
import zipfile

import numpy as np

from pocketvision.export.litert_box_metadata import RAW_SINCE, box_words
from pocketvision.export.tables import Field, Tables
from pocketvision.values import Io, Manifest, to_line

LABELS = "labels.txt"
MANIFEST = "manifest.json"
DIGEST = "model.sha256"
_RGB = 1
_IMAGE_PROPERTIES, _NORMALIZATION = 2, 1
_AXIS_LABELS, _VALUE_LABELS = 2, 3
"""Labels of the places along an axis, and of the values of a tensor."""
_PIXELS = "An image, RGB from 0 to 255; the model itself normalizes it."
_IMAGES: dict[Io, str] = {
    "mixed": _PIXELS,
    "uint8": _PIXELS,
    "int8": "An image, RGB from 0 to 255 less 128; the model itself normalizes it.",
}
_EARLIEST = (1980, 1, 1, 0, 0, 0)


def metadata(manifest: Manifest, scale: float, zero_point: int) -> dict[str, bytes]:
    """Return the entry for the model; `scale` and `zero_point` are those of the image's tensor, as uint8.

    The normalization named is the one after which these levels are the pixels themselves.
    """
    tables = Tables()
    image = _image(tables, 1 / scale, float(zero_point), _IMAGES[manifest.io])
    raw = manifest.model.detector is not None and manifest.ends == "raw"
    model = tables.table(
        Field(0, "offset", tables.text(manifest.name)),
        Field(1, "offset", tables.text(f"{manifest.model}, {manifest.precision}, written by pocketvision")),
        Field(2, "offset", tables.text(str(manifest.format_version))),
        Field(3, "offset", tables.offsets([_subgraph(tables, manifest, image)])),
        Field(7, "offset", tables.text(RAW_SINCE if raw else "1.0.0")),
    )
    return {"TFLITE_METADATA": tables.finish(model, b"M001")}


def _subgraph(tables: Tables, manifest: Manifest, image: int) -> int:
    fields = [Field(2, "offset", tables.offsets([image]))]
    if manifest.model.detector is not None:
        labels = _labels(tables, _AXIS_LABELS if manifest.ends == "raw" else _VALUE_LABELS)
        words = box_words(tables, manifest, labels)
        more = ((3, words.outputs), (8, words.groups), (9, words.custom))
        return tables.table(*fields, *(Field(slot, "offset", place) for slot, place in more if place is not None))
    answer = tables.table(
        Field(0, "offset", tables.text("probabilities")),
        Field(1, "offset", tables.text("Probability of each label, in the order of the labels.")),
        Field(6, "offset", tables.offsets([_labels(tables, _AXIS_LABELS)])),
    )
    return tables.table(*fields, Field(3, "offset", tables.offsets([answer])))


def packed(model: bytes, manifest: Manifest) -> bytes:
    """Return the model with labels, manifest and digest behind it."""
    stream = io.BytesIO(model)
    texts = {
        LABELS: "\n".join(manifest.labels),
        MANIFEST: to_line(manifest),
        DIGEST: hashlib.sha256(model).hexdigest(),
    }
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name, _EARLIEST), text)
    return stream.getvalue()


def _labels(tables: Tables, kind: int) -> int:
    return tables.table(
        Field(0, "offset", tables.text(LABELS)),
        Field(1, "offset", tables.text("Names of the outputs, one a line.")),
        Field(2, "int8", kind),
    )


def _image(tables: Tables, deviation: float, mean: float, words: str) -> int:
    normalization = tables.table(
        Field(0, "offset", tables.numbers(np.array([mean], np.float32))),
        Field(1, "offset", tables.numbers(np.array([deviation], np.float32))),
    )
    unit = tables.table(Field(0, "uint8", _NORMALIZATION), Field(1, "offset", normalization))
    properties = tables.table(Field(0, "int8", _RGB))
    content = tables.table(Field(0, "uint8", _IMAGE_PROPERTIES), Field(1, "offset", properties))
    return tables.table(
        Field(0, "offset", tables.text("image")),
        Field(1, "offset", tables.text(words)),
        Field(3, "offset", content),
        Field(4, "offset", tables.offsets([unit])),
    )
