"""What a TFLite detector's layers are: its backbone's and its prediction layers, told apart by who reads whom.

TensorFlow's detectors end in one operator, `TFLite_Detection_PostProcess`, which reads the joined codes, the joined
scores and the anchors. Which convolution predicts what is walked back from there, so that the file's order, which is
the converter's, plays no part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.values import AnchorMap, DetectorSpec
from pocketvision.weights.tflite_file import TfliteFile

SUPPRESSION = "TFLite_Detection_PostProcess"
"""The operator that boxes come from."""
SCALES = {"y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0}
"""What codes are multiplied by, as everywhere here."""
STRIDES = (8, 16, 32, 64, 128, 256, 512)
_CODES = 4
_PASSED = ("DEQUANTIZE", "LOGISTIC", "QUANTIZE", "RESHAPE", "SQUEEZE", "STRIDED_SLICE")
"""What may stand between a prediction layer and the operator, beside joins."""
_NEAR = 0.02
"""How far anchors may stand beside the middle of their cell, as shares of the image: some files keep 8 bits of them."""
_DEEPEST = 64


class Predictor(NamedTuple):
    """Places of the layers that predict from one map; a depthwise one comes before in separable heads."""

    layers: tuple[int, ...]

    @property
    def last(self) -> int:
        """Return the place of the convolution that gives the values."""
        return self.layers[-1]


@dataclass(frozen=True, eq=False)
class TfliteDetector:
    """A detector's parts by the places of its layers."""

    spec: DetectorSpec
    order: tuple[int, ...]
    """Backbone and further maps, then what predicts boxes, then what predicts classes."""
    num_classes: int
    """Without a background."""
    background: Mapping[int, int]
    """Layers whose first of so many outputs an anchor is the background's."""


@dataclass(frozen=True, eq=False)
class Walked:
    """The layers of a file by their tensors."""

    file: TfliteFile
    resolution: int
    makers: Mapping[int, tuple[str, Any]]
    """Operator that makes each tensor."""
    made: Mapping[int, int]
    """Layer that gives each tensor, by its place."""
    sources: Sequence[int]
    """Tensor that each layer reads."""
    outputs: Sequence[int]
    """Values that each layer gives at a place."""
    depthwise: Sequence[bool]

    def detector(self, operator: Any) -> TfliteDetector:
        """Return what lies behind the suppressing operator; WeightsError where it is no SSD's."""
        classes = self._settings(operator)
        tensors = [self.file.index(operator.Inputs(place)) for place in range(3)]
        boxes, scores = (self._predictors(tensor) for tensor in tensors[:2])
        if len(boxes) != len(scores) or "LOGISTIC" not in self._kinds(tensors[1]):
            raise self.file.error(
                f"a detector of {len(boxes)} box and {len(scores)} class predictors; those that are read have as many "
                "of both, and a sigmoid for each class"
            )
        counts = [self.outputs[head.last] // _CODES for head in boxes]
        columns = {self.outputs[head.last] / count for head, count in zip(scores, counts, strict=True)}
        if columns not in ({classes}, {classes + 1}):
            raise self.file.error(f"predictors of {sorted(columns)} columns an anchor for {classes} classes")
        ones = {len(head.layers) for head in (*boxes, *scores)}
        if len(ones) > 1:
            raise self.file.error("some of its predictors are separable and some are not")
        maps = self._maps(self.file.constant(tensors[2]).real, boxes, counts)
        heads = [place for head in (*boxes, *scores) for place in head.layers]
        rest = [place for place in range(len(self.sources)) if place not in heads]
        whole = int(next(iter(columns)))
        background = {head.last: whole for head in scores} if whole > classes else {}
        spec = DetectorSpec(maps, "ssdlite" if ones == {2} else "ssd")
        return TfliteDetector(spec, (*rest, *heads), classes, background)

    def _settings(self, operator: Any) -> int:
        """Return the number of classes from the operator's options."""
        from flatbuffers import flexbuffers

        options = flexbuffers.GetRoot(operator.CustomOptionsAsNumpy().tobytes()).AsMap
        for name, scale in SCALES.items():
            if float(options[name].AsFloat) != scale:
                raise self.file.error(f"its codes have the {name} {options[name].AsFloat:g}; known is {scale:g}")
        return int(options["num_classes"].AsInt)

    def _predictors(self, tensor: int, depth: int = 0) -> list[Predictor]:
        """Return the prediction layers whose maps are joined in a tensor, in that order."""
        if tensor in self.made:
            last = self.made[tensor]
            before = self.made.get(self.sources[last])
            separable = before is not None and self.depthwise[before]
            return [Predictor((before, last) if separable and before is not None else (last,))]
        name, maker = self.makers.get(tensor, ("nothing", None))
        if maker is None or depth > _DEEPEST or name not in (*_PASSED, "CONCATENATION"):
            raise self.file.error(f"{name} stands between its predictors and {SUPPRESSION}; no known detector has it")
        inputs = range(maker.InputsLength() if name == "CONCATENATION" else 1)
        return [head for place in inputs for head in self._predictors(self.file.index(maker.Inputs(place)), depth + 1)]

    def _kinds(self, tensor: int) -> set[str]:
        """Return the operators between the first predictor and a tensor."""
        found: set[str] = set()
        while tensor not in self.made:
            name, maker = self.makers[tensor]
            found.add(name)
            tensor = self.file.index(maker.Inputs(0))
        return found

    def _maps(
        self, anchors: NDArray[np.float32], heads: Sequence[Predictor], counts: Sequence[int]
    ) -> tuple[AnchorMap, ...]:
        """Read strides and shapes off the anchors [A, 4]: center y, center x, height, width."""
        grids, found, start = {place: tensor for tensor, place in self.made.items()}, [], 0
        strides = iter(STRIDES)
        for head, count in zip(heads, counts, strict=True):
            side = self.file.shape(grids[head.last])[1]
            stride = next((one for one in strides if -(-self.resolution // one) == side), None)
            cells = anchors[start : start + side * side * count].reshape(side, side, count, 4)
            start += side * side * count
            middles = (np.arange(side) + 0.5) / side
            beside = max(np.abs(cells[..., 0] - middles[:, None, None]).max(), np.abs(cells[..., 1].mT - middles).max())
            if stride is None or beside > _NEAR or np.ptp(cells[..., 2:], axis=(0, 1)).max() > _NEAR:
                raise self.file.error(f"its anchors on the map of {side} x {side} cells are not alike in every cell")
            shapes = np.median(cells[..., 2:], axis=(0, 1))
            found.append(AnchorMap(stride, tuple((float(tall), float(wide)) for tall, wide in shapes)))
        if start != len(anchors):
            raise self.file.error(f"it has {len(anchors)} anchors, and its maps {start}")
        return tuple(found)
