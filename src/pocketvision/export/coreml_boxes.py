"""A detector as a Core ML pipeline: the network, and Apple's NonMaximumSuppression model behind it.

Vision answers with objects for this form only. The network gives for each anchor its box, center and size as shares of
the image, and the score of its best class; the scores of others are 0, as Vision takes their sum for the sureness that
there is an object. Classes are filled up to a multiple of 80: with other numbers, suppression behind an ML Program was
seen to give wrong boxes (ultralytics/ultralytics#22309). None of this can be run outside Apple's systems.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from pocketvision.graph.boxes import LARGEST_GROWTH, SCALES
from pocketvision.graph.graph import Suppress
from pocketvision.runtime.mil import BOXES, SCORES
from pocketvision.values import Manifest

if TYPE_CHECKING:
    from pocketvision.export.coreml import _Writer

_SIZES = 80
"""The number of classes is a multiple of it."""
_BEST = "best_scores"


def padded(classes: int) -> int:
    """Return the number of classes that the suppressing model has."""
    return -(-classes // _SIZES) * _SIZES


def located(writer: "_Writer", node: Suppress, codes: Any, scores: Any) -> tuple[Any, Any]:
    """Write what the suppressing model takes: scores [A, classes] and boxes x, y, width, height [A, 4]."""
    mb, count = writer.mb, len(node.anchors)
    flat = mb.reshape(x=codes, shape=[count, 4])
    columns = [mb.slice_by_index(x=flat, begin=[0, place], end=[count, place + 1]) for place in range(4)]
    anchors = np.asarray(node.anchors, np.float64).T[:, :, None]
    middles = [
        mb.add(x=mb.mul(x=columns[axis], y=_half(anchors[axis + 2] / SCALES[axis])), y=_half(anchors[axis]))
        for axis in (1, 0)
    ]
    sizes = []
    for axis in (3, 2):
        steps = mb.mul(x=columns[axis], y=_half(1 / SCALES[axis]))
        sizes.append(mb.mul(x=mb.exp(x=mb.minimum(x=steps, y=_half(LARGEST_GROWTH))), y=_half(anchors[axis])))
    boxes = mb.cast(x=mb.concat(values=[*middles, *sizes], axis=1), dtype="fp32", name=BOXES)
    classes = writer.graph.shapes[node.inputs[1]][0]
    every = mb.cast(x=mb.reshape(x=scores, shape=[count, classes]), dtype="fp32", name=SCORES)
    top = mb.reduce_max(x=every, axes=[1], keep_dims=True)
    best = mb.mul(x=every, y=mb.cast(x=mb.greater_equal(x=every, y=top), dtype="fp32"))
    spare = np.zeros((count, padded(classes) - classes), np.float32)
    if not spare.size:
        return mb.identity(x=best, name=_BEST), boxes
    return mb.concat(values=[best, spare], axis=1, name=_BEST), boxes


def pipeline(ct: Any, net: Any, node: Suppress, manifest: Manifest) -> Any:
    """Return coremltools' model of a network with the suppression behind it."""
    classes = padded(len(manifest.labels))
    sizes = {_BEST: classes, BOXES: 4}
    spec = net.get_spec()
    for feature in spec.description.output:
        _shaped(ct, feature, (len(node.anchors), sizes[feature.name]))
    whole = ct.proto.Model_pb2.Model()
    whole.specificationVersion = spec.specificationVersion
    whole.description.input.add().CopyFrom(spec.description.input[0])
    for name, words in _THRESHOLDS.items():
        feature = whole.description.input.add(name=name, shortDescription=words)
        feature.type.doubleType.MergeFromString(b"")
        feature.type.isOptional = True
    suppression = _suppression(ct, spec, node, manifest, sizes)
    whole.description.output.extend(suppression.description.output)
    whole.pipeline.models.extend([spec, suppression])
    whole.pipeline.names.extend(["network", "suppression"])
    return ct.models.MLModel(whole, weights_dir=net.weights_dir, skip_model_load=True)


_THRESHOLDS = {
    "iouThreshold": "Largest overlap with a better box of the same class, as intersection over union.",
    "confidenceThreshold": "Least score of a box.",
}
_OUTPUTS = {
    "confidence": "Boxes by classes: the score of each box's class.",
    "coordinates": "Boxes by x, y, width, height: center and size as shares of the image.",
}


def _suppression(ct: Any, net: Any, node: Suppress, manifest: Manifest, sizes: dict[str, int]) -> Any:
    spec = ct.proto.Model_pb2.Model()
    spec.specificationVersion = net.specificationVersion
    by_name = {feature.name: feature for feature in net.description.output}
    spec.description.input.extend([by_name[name] for name in sizes])
    for (name, words), size in zip(_OUTPUTS.items(), sizes.values(), strict=True):
        feature = spec.description.output.add(name=name, shortDescription=words)
        _shaped(ct, feature, (0, size))
        ranges = feature.type.multiArrayType.shapeRange.sizeRanges
        ranges.add(lowerBound=0, upperBound=-1)
        ranges.add(lowerBound=size, upperBound=size)
        del feature.type.multiArrayType.shape[:]
    rule = spec.nonMaximumSuppression
    rule.confidenceInputFeatureName, rule.coordinatesInputFeatureName = sizes
    rule.confidenceOutputFeatureName, rule.coordinatesOutputFeatureName = _OUTPUTS
    rule.iouThresholdInputFeatureName, rule.confidenceThresholdInputFeatureName = _THRESHOLDS
    rule.iouThreshold = node.iou_threshold
    rule.confidenceThreshold = manifest.thresholds[0] if manifest.thresholds else node.score_threshold
    rule.pickTop.perClass = True
    rule.stringClassLabels.vector.extend([*manifest.labels, *[""] * (sizes[_BEST] - len(manifest.labels))])
    return spec


def _shaped(ct: Any, feature: Any, shape: tuple[int, int]) -> None:
    array = feature.type.multiArrayType
    del array.shape[:]
    array.shape.extend(shape)
    array.dataType = ct.proto.FeatureTypes_pb2.ArrayFeatureType.FLOAT32


def _half(values: Any) -> Any:
    return np.asarray(values).astype(np.float16)
