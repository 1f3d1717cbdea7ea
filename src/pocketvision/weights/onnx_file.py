"""Reads the layers of an ONNX file of this package back: float, float16 or int8, under our names.

Other ONNX files are refused: their layers and their preparation of images would have to be guessed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import WeightsError
from pocketvision.values import Manifest, from_json
from pocketvision.weights.answers import BOXES, SOFTMAX
from pocketvision.weights.load import StoredLevels, Weights
from pocketvision.weights.norms import FOLDED_EPS
from pocketvision.weights.numbers import check_numbers
from pocketvision.weights.onnx_nodes import OnnxFile
from pocketvision.weights.recognize import Slot, slots_of
from pocketvision.weights.tflite import Levels
from pocketvision.weights.tflite_file import FileScale

Array = NDArray[Any]
_LAYERS = ("Conv", "Gemm")
_BETWEEN = {
    "Add": "add",
    "AveragePool": "mean",
    "Concat": "concat",
    "GlobalAveragePool": "mean",
    "MaxPool": "max",
}
"""Kinds of `StoredLevels.between`."""
_CLAMPS = ("Relu", "Clip")


class OwnFile(NamedTuple):
    """What an ONNX file of this package holds."""

    weights: Weights
    manifest: Manifest


def read_own_onnx(path: Path) -> OwnFile:
    """Read a file that `export` wrote; WeightsError where it is damaged, of others, or of a net that is not known."""
    file = OnnxFile(path.read_bytes(), path.name)
    if "pocketvision" not in file.words:
        raise WeightsError(
            f"{path.name} was not written by pocketvision, and other ONNX files are not read. Name the weights that it "
            "was made of (.safetensors, .pth, .h5, .tflite), or the folder of the run"
        )
    try:
        manifest = from_json(Manifest, json.loads(file.words["pocketvision"]))
    except (ValueError, TypeError) as error:
        raise WeightsError(f"the manifest in {path.name} cannot be read ({error})") from error
    try:
        constants = {name: file.values(name) for name in file.stored}
        weights = _Reader(file.nodes, constants, path.name).weights(manifest)
    except LookupError as error:
        raise WeightsError(f"{path.name} is damaged ({error}); export the net again") from error
    check_numbers(weights.tensors, weights.norm_eps, path.name)
    return OwnFile(weights, manifest)


class _Reader:
    """Walks the nodes; `makers` are by output, `users` by input."""

    def __init__(self, nodes: Any, constants: Mapping[str, Array], file: str) -> None:
        self.nodes, self.constants, self.file = list(nodes), constants, file
        self.makers = {node.output[0]: node for node in self.nodes}
        self.users = {name: node for node in reversed(self.nodes) for name in node.input}

    def weights(self, manifest: Manifest) -> Weights:
        """Match the layers with the net's that the manifest names, in order."""
        spec = manifest.model
        expected = slots_of(spec)
        layers = [node for node in self.nodes if node.op_type in _LAYERS]
        shapes = [self.stored(node.input[1]).shape for node in layers]
        wanted = [slot.shape for slot in expected]
        if [shape + (1, 1) * (len(shape) == 2) for shape in shapes] != wanted:
            raise WeightsError(
                f"the layers of {self.file} are not those of {spec}: a net that was changed after training is not read "
                "back. Name the folder of the run"
            )
        tensors: dict[str, Array] = {}
        for node, slot in zip(layers, expected, strict=True):
            tensors[f"{slot.name}.weight"] = self.real(node.input[1])
            tensors[f"{slot.name}.bias"] = self.real(node.input[2])
        levels = self.levels(dict(zip(expected, layers, strict=True)))
        ending = SOFTMAX if spec.detector is None else BOXES
        return Weights(spec, manifest.image, manifest.labels, True, FOLDED_EPS, tensors, levels=levels, ending=ending)

    def net(self) -> list[Any]:
        """Return the nodes without those that make boxes of what a detector's layers give, in float."""
        if "probabilities" in self.makers:
            return self.nodes
        rounded = {node.input[0] for node in self.nodes if node.op_type == "QuantizeLinear"}
        rounded |= {node.input[0] for node in self.nodes if node.op_type in _CLAMPS and node.output[0] in rounded}
        return [node for node in self.nodes if node.output[0] in rounded]

    def stored(self, name: str) -> Array:
        """Return the numbers that the file holds for a weight or a bias."""
        maker = self.makers.get(name)
        return self.stored(maker.input[0]) if maker is not None else self.constants[name]

    def real(self, name: str) -> NDArray[np.float32]:
        """Return what these numbers stand for."""
        maker, stored = self.makers.get(name), self.stored(name)
        if maker is None or maker.op_type == "Cast":
            return stored.astype(np.float32)
        scale = self.constants[maker.input[1]].reshape(-1, *(1,) * (stored.ndim - 1))
        return (stored * scale).astype(np.float32)

    def levels(self, layers: Mapping[Slot, Any]) -> StoredLevels | None:
        """Return the whole numbers of an int8 file, None of a float one."""
        image = self.users["image"].output[0]
        if self.users[image].op_type != "DequantizeLinear":
            return None
        held = {}
        for slot, node in layers.items():
            scale = self.constants[self.makers[node.input[1]].input[1]]
            weight, bias = self.stored(node.input[1]).astype(np.int16), self.stored(node.input[2])
            held[slot.name] = Levels(weight, scale, bias, self.level(node.output[0]))
        between = [(kind, node) for node in self.net() if (kind := _BETWEEN.get(node.op_type)) is not None]
        scales = tuple((kind, self.level(node.output[0])) for kind, node in between)
        return StoredLevels(self.scale_of(self.users[image]), held, scales)

    def level(self, name: str) -> FileScale:
        """Return the levels to which a tensor is rounded, behind its clamp where it has one."""
        user = self.users.get(name)
        if user is not None and user.op_type in _CLAMPS:
            return self.level(user.output[0])
        if user is None or user.op_type != "QuantizeLinear":
            raise WeightsError(f"{self.file} computes in float in places; name the folder of the run")
        return self.scale_of(user)

    def scale_of(self, node: Any) -> FileScale:
        scale, zero_point = (self.constants[name] for name in node.input[1:3])
        return FileScale(float(scale), int(zero_point))
