"""Detectors' files in the layout that TensorFlow's exporter gave its SSDs, float or in uint8, with drawn weights.

Predictors follow their map at once, classes have a background in front, all codes and all scores are joined before one
sigmoid, and the operator's anchors are a constant.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from pocketvision.compress.measure import measure
from pocketvision.export.litert_file import LitertFile, TensorScale
from pocketvision.export.tables import Field, options_map
from pocketvision.graph.boxes import SCALES, anchors
from pocketvision.graph.graph import Conv, Graph, Node, Sigmoid, Suppress
from pocketvision.graph.trace import trace
from pocketvision.models.catalogue import build_spec
from pocketvision.models.ssd import last_of
from pocketvision.values import AnchorMap, DetectorSpec, ImageSpec, ModelSpec

SIDE, CLASSES, MOST = 128, 5, 100
SHAPES = ((0.15, 0.15), (0.2, 0.3), (0.35, 0.25), (0.5, 0.5), (0.7, 0.6), (0.9, 0.8))
MAPS = tuple(
    AnchorMap(16 * 2**place, ((tall, wide), (wide, tall))[: 1 + (place > 0)])
    for place, (tall, wide) in enumerate(SHAPES)
)
IMAGE = ImageSpec(SIDE)
_ACTIVATIONS = {"none": 0, "relu": 1, "relu6": 3}


class Written(NamedTuple):
    """A file, and the net that it was written of: a logit of the background first."""

    content: bytes
    graph: Graph
    spec: ModelSpec


def images(count: int = 4) -> np.ndarray:
    """Return coarse noise, uint8 [N, 128, 128, 3]."""
    noise = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return noise.repeat(SIDE // 8, axis=1).repeat(SIDE // 8, axis=2)


def detector(name: str, head: str, *, quantized: bool, width: float = 0.25) -> Written:
    """Write a detector; `quantized` in uint8 with one scale a tensor."""
    spec = ModelSpec(name, width, SIDE, CLASSES + 1, "same", detector=DetectorSpec(MAPS, head))  # type: ignore[arg-type]
    graph = _drawn(spec)
    return Written(_Layout(graph, quantized=quantized).content(), graph, spec)


def _drawn(spec: ModelSpec) -> Graph:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = build_spec(spec)
        batch = torch.from_numpy(images(16)).permute(0, 3, 1, 2).float().div(127.5).sub(1)
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
                torch.nn.init.normal_(module.bias, 0.3, 0.3)
        with torch.no_grad():
            net.train()(batch)
            head = net.eval().classifier
            for branch, values, spread in ((head.boxes, slice(4), 1.5), (head.classes, slice(4, None), 1.5)):
                factor = spread / net(batch)[..., values].std()
                for predictor in branch:
                    last_of(predictor).weight.mul_(factor)
            for predictor in head.classes:
                last_of(predictor).bias.sub_(3.0)
    boxes = Suppress("boxes", ("codes", "scores"), anchors(MAPS, SIDE), 0.3, 0.5, MOST)
    return trace(net, IMAGE, lambda ends: (Sigmoid("scores", ends[1:]), replace(boxes, inputs=(ends[0], "scores"))))


class _Layout:
    """Writes the nodes of a graph under TensorFlow's rules."""

    def __init__(self, graph: Graph, *, quantized: bool) -> None:
        self.graph, self.quantized, self.file = graph, quantized, LitertFile()
        spread = measure(graph, images()) if quantized else {}
        self.ranges = {name: seen.range for name, seen in spread.items()}
        self.ends: dict[str, tuple[float, float]] = {}
        for half in ("boxes", "classes") if quantized else ():
            ends = np.array([ends for name, ends in self.ranges.items() if self._joins(name, half)])
            self.ends[half] = float(ends[:, 0].min()), float(ends[:, 1].max())
        dtype = "uint8" if quantized else "float32"
        scale = TensorScale((1 / 128,), 128) if quantized else None
        self.places = {
            "image": self.file.tensor((1, SIDE, SIDE, 3), dtype, scale, name="normalized_input_image_tensor")
        }

    def content(self) -> bytes:
        rows: dict[str, list[int]] = {"boxes": [], "classes": []}
        for node in self._as_converted():
            if isinstance(node, Conv):
                self.places[node.name] = self._conv(node)
                half = next((half for half in rows if f"classifier.{half}." in node.name), "")
                if half and node.activation == "none":
                    rows[half].append(self._rows(self.places[node.name], 4 if half == "boxes" else CLASSES + 1))
            elif type(node).__name__ == "Add":
                out = self._tensor(node.name, self.graph.shapes[node.name])
                self.places[node.name] = self.file.operator("ADD", [self.places[name] for name in node.inputs], out)
        return self._ending(self._joined(rows["boxes"]), self._joined(rows["classes"]))

    def _as_converted(self) -> list[Node]:
        """Return the layers with the predictors of a map behind it."""
        heads = [node for node in self.graph.nodes if ".boxes." in node.name or ".classes." in node.name]
        found: list[Node] = []
        for node in self.graph.nodes[1:]:
            if node in heads or (not isinstance(node, Conv) and type(node).__name__ != "Add"):
                continue
            found.append(node)
            waiting = [one for one in heads if one not in found and isinstance(one, Conv)]
            for one in waiting:
                if one.inputs[0] in {other.name for other in found}:
                    found.append(one)
        return found

    @staticmethod
    def _joins(name: str, half: str) -> bool:
        return f"classifier.{half}." in name and not name.endswith("0.0")

    def _scale(self, name: str) -> TensorScale | None:
        if not self.quantized:
            return None
        half = next((half for half in self.ends if self._joins(name, half)), "")
        low, high = self.ends[half] if half else self.ranges[name]
        low, high = min(low, 0.0), max(high, 0.1)
        return TensorScale((float(np.float32((high - low) / 255)),), round(-low / (high - low) * 255))

    def _tensor(self, name: str, shape: tuple[int, ...]) -> int:
        channels, height, width = shape
        return self.file.tensor(
            (1, height, width, channels), "uint8" if self.quantized else "float32", self._scale(name)
        )

    def _conv(self, node: Conv) -> int:
        depthwise = node.groups > 1
        weight = node.weight.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1)).astype(np.float32)
        source, bias, scale, unit = self.places[node.inputs[0]], node.bias.astype(np.float32), None, None
        if self.quantized:
            step, zero = float(np.float32(np.abs(weight).max() / 127)), 128
            weight = (np.rint(weight / step) + zero).astype(np.uint8)
            scale, entry = TensorScale((step,), zero), self.file.tensors[source].scale
            unit = TensorScale((float(np.float32(entry.scale[0] * step)),))
            bias = np.rint(bias / unit.scale[0]).astype(np.int32)
        options = [Field(1, "int32", node.stride[1]), Field(2, "int32", node.stride[0])]
        options += [Field(3, "int32", 1)] if depthwise else []
        options += [Field(3 + depthwise, "int8", _ACTIVATIONS[node.activation])]
        out = self._tensor(node.name, self.graph.shapes[node.name])
        kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        inputs = [source, self.file.constant(weight, scale), self.file.constant(bias, unit)]
        return self.file.operator(kind, inputs, out, *options)

    def _rows(self, place: int, values: int) -> int:
        tensor = self.file.tensors[place]
        shape = (1, int(np.prod(tensor.shape)) // values, values)
        out = self.file.tensor(shape, tensor.dtype, tensor.scale)
        return self.file.operator("RESHAPE", [place, self.file.constant(np.array(shape, np.int32))], out)

    def _joined(self, rows: list[int]) -> int:
        first = self.file.tensors[rows[0]]
        shape = (1, sum(self.file.tensors[place].shape[1] for place in rows), first.shape[2])
        out = self.file.tensor(shape, first.dtype, first.scale)
        return self.file.operator("CONCATENATION", rows, out, Field(0, "int32", 1))

    def _ending(self, codes: int, logits: int) -> bytes:
        dtype, scale = ("uint8", TensorScale((1 / 256,), 0)) if self.quantized else ("float32", None)
        scores = self.file.operator(
            "LOGISTIC", [logits], self.file.tensor(self.file.tensors[logits].shape, dtype, scale)
        )
        spots, scale = anchors(MAPS, SIDE), None
        if self.quantized:
            scale = TensorScale((float(np.float32(spots.max() / 255)),), 0)
            spots = np.rint(spots / scale.scale[0]).astype(np.uint8)
        options = dict(zip(("y_scale", "x_scale", "h_scale", "w_scale"), SCALES, strict=True)) | {
            "max_detections": MOST,
            "max_classes_per_detection": 1,
            "detections_per_class": MOST,
            "use_regular_nms": True,
            "nms_score_threshold": 0.3,
            "nms_iou_threshold": 0.5,
            "num_classes": CLASSES,
        }
        shapes = ((1, MOST, 4), (1, MOST), (1, MOST), (1,))
        outputs = [self.file.tensor(shape, "float32") for shape in shapes]
        inputs = [codes, scores, self.file.constant(spots, scale)]
        self.file.custom("TFLite_Detection_PostProcess", inputs, outputs, options_map(options))
        return self.file.to_bytes(0, *outputs)
