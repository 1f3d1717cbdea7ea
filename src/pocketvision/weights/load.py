"""Weights files into records and records into nets, strictly: nothing missing, nothing left over, nothing misshapen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import WeightsError
from pocketvision.files import stand_in
from pocketvision.models.catalogue import build_spec, family_of
from pocketvision.progress import Progress
from pocketvision.values import ImageSpec, ModelSpec
from pocketvision.weights.answers import BOXES, NOTHING, SOFTMAX
from pocketvision.weights.checkpoint import WeightsCheckpoint, read_checkpoint, without_wrappers
from pocketvision.weights.copying import check_fit, check_padding, copy_into
from pocketvision.weights.deep_compression import read_deep_compression
from pocketvision.weights.depth import shortened
from pocketvision.weights.into_detectors import Names, backbone_into, detector_into, read_by
from pocketvision.weights.keras import read_keras
from pocketvision.weights.layouts import Renamed, rename
from pocketvision.weights.norms import FOLDED_EPS, unfold
from pocketvision.weights.numbers import check_numbers, state_of_reals
from pocketvision.weights.recognize import last_weight, recognize_layers, recognize_state, slots
from pocketvision.weights.safetensors import read_safetensors
from pocketvision.weights.sources import IMAGENET, published_file
from pocketvision.weights.tflite import Levels, read_tflite
from pocketvision.weights.tflite_file import FileScale
from pocketvision.weights.words import Words, check_named, config_beside, image_of

if TYPE_CHECKING:
    from pocketvision.models.blocks import Net
    from pocketvision.models.ssd import Detector

Array = NDArray[Any]
CHECKPOINTS = (".pth", ".pt", ".tar", ".bin", ".ckpt")
KERAS = (".h5", ".keras")
SUFFIXES = (*CHECKPOINTS, *KERAS, ".net", ".safetensors", ".tflite")
_HEAD = "classifier."
_COUNTER = "num_batches_tracked"
_BACKGROUND = 1001
"""Classes of TensorFlow's ImageNet files; class 0 stands for none of the thousand."""
_CAFFE = ImageSpec(
    224, "crop", 0.875, mean=(123.68 / 255, 116.779 / 255, 103.939 / 255), std=(1 / 255, 1 / 255, 1 / 255)
)
"""Caffe's preparation, as Keras kept it for VGG and ResNet: pixels less ImageNet's mean, blue first."""
_LITE = ImageSpec(224, "crop", 0.875, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
"""The EfficientNet-lites' preparation by their authors: pixels less 127, over 128."""
_BLUE_FIRST = ("vgg", "resnet")
_PORTED = ("googlenet_bn", "inception_v3", "xception")


@dataclass(frozen=True, eq=False)
class StoredLevels:
    """The whole numbers of a quantized file, with which its own runtime calculates."""

    image: FileScale
    layers: Mapping[str, Levels]
    """By the names of our convolutions and fully connected layers."""
    between: tuple[tuple[str, FileScale], ...]
    """Kind (add, mean, max, concat) and scale of the tensors in between, in running order."""


@dataclass(frozen=True, eq=False)
class Weights:
    """What one file holds: which net, how it wants its images, and arrays under our names."""

    spec: ModelSpec
    image: ImageSpec
    labels: tuple[str, ...] | None
    folded: bool
    """Batch norms are folded into the convolutions, which therefore have biases."""
    norm_eps: float
    """What batch norms add to the variance; it belongs to the weights."""
    tensors: dict[str, Array]
    levels: StoredLevels | None = None
    """Of a quantized file; `tensors` are the real values that they stand for."""
    ending: str = SOFTMAX
    """What makes answers of the last layer's outputs; `nothing` where the file has no classifier."""
    remarks: tuple[str, ...] = ()
    """What was taken for granted, or chosen, in reading the file: for the user."""

    @property
    def has_head(self) -> bool:
        """Whether the file has a classifier."""
        return self.ending != NOTHING

    def tell(self, progress: Progress) -> None:
        """Say the remarks."""
        for remark in self.remarks:
            progress.say(remark)


@dataclass(frozen=True)
class LoadReport:
    """What `load_into` did."""

    loaded: int
    """Number of tensors taken from the file."""
    fresh: tuple[str, ...]
    """Parameters that kept the net's own values: the classifier's last layer, unless it was kept."""
    dropped_background: bool
    labels: tuple[str, ...] | None
    """Of the net's outputs, where the head was kept and the file names them."""
    folded: bool
    """The batch norms are neutral now: call `restore_batch_norms` before training."""


# ---------------------------------------------------------------- reading


def read(path: Path, known: ModelSpec | None = None) -> Weights:
    """Read a weights file by its suffix: ours and others' `.safetensors`, PyTorch checkpoints, Keras' `.h5`
    and `.keras`, `.tflite`, and the `.net` of Deep Compression.

    `known` names the net of a `.tflite` file whose width is none of the published ones, and of a `.net`
    file of ours. Nothing in the file is run. `WeightsError` where it is damaged, holds no net of the catalogue, or
    numbers that are not finite.
    """
    weights = _read(path, known)
    check_numbers(weights.tensors, weights.norm_eps, path.name)
    return weights


def _read(path: Path, known: ModelSpec | None) -> Weights:
    if path.suffix not in SUFFIXES:
        raise WeightsError(f"'{path.name}' is no weights file by its suffix. Known: {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise WeightsError(f"there is no weights file at {path}")
    with path.open("rb") as stream:
        head = stream.read(64)
    if not head:
        raise WeightsError(f"{path.name} is empty (0 bytes); download it again")
    if foreign := stand_in(head):
        raise WeightsError(f"{path.name} is {foreign}")
    if path.suffix == ".tflite":
        return _read_tflite(path, known)
    if path.suffix == ".net":
        return _read_deep_compression(path) if known is None else _read_coded(path, known)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in KERAS:
        found = read_keras(path)
        return _foreign(WeightsCheckpoint(found.arrays, Words()), path, found.ending)
    return _foreign(read_checkpoint(path), path)


def _read_tflite(path: Path, known: ModelSpec | None) -> Weights:
    found = read_tflite(path, plain=known is not None)
    spec, tensors, layers = recognize_layers(found, path.name, known)
    # Values are from -1 to 1. The files' authors evaluate classifiers on the central 87.5% of the image.
    image = ImageSpec(spec.resolution, "crop", 0.875) if spec.detector is None else ImageSpec(spec.resolution)
    levels = None
    if found.image is not None and len(layers) == len(found.layers):
        levels = StoredLevels(found.image, layers, found.between)
    ending, eps = found.ending if spec.detector is None else BOXES, FOLDED_EPS
    return Weights(spec, image, found.labels, True, eps, dict(tensors), levels=levels, ending=ending)


def _read_safetensors(path: Path) -> Weights:
    header, tensors = read_safetensors(path)
    if header is None:
        return _foreign(WeightsCheckpoint(without_wrappers(tensors), Words()), path)
    ending = SOFTMAX if header.spec.detector is None else BOXES
    return Weights(header.spec, header.image, header.labels, False, header.norm_eps, tensors, ending=ending)


def _read_deep_compression(path: Path) -> Weights:
    """Read SqueezeNet 1.0, which this format does not name; it was trained in Caffe, blue first."""
    expected = slots("squeezenet1_0", 1.0, 1000)
    layers = read_deep_compression(path, [slot.shape for slot in expected])
    tensors = {f"{slot.name}.weight": layer.weight for slot, layer in zip(expected, layers, strict=True)}
    tensors |= {f"{slot.name}.bias": layer.bias for slot, layer in zip(expected, layers, strict=True)}
    mean = (123 / 255, 117 / 255, 104 / 255)
    image = ImageSpec(227, "squash", 227 / 256, mean=mean, std=(1 / 255, 1 / 255, 1 / 255))
    spec = ModelSpec("squeezenet1_0", resolution=227)
    red_first = _red_first(tensors, expected[0].name)
    return Weights(spec, image, None, folded=False, norm_eps=1e-5, tensors=red_first)


def _read_coded(path: Path, spec: ModelSpec) -> Weights:
    """Read a file of ours in the same layout: its net's layers, batch norms folded."""
    expected = slots(spec.name, spec.width, spec.num_classes, spec.groups, spec.depth)
    shapes = [slot.shape[:2] if slot.linear else slot.shape for slot in expected]
    tensors: dict[str, Array] = {}
    for slot, layer in zip(expected, read_deep_compression(path, shapes), strict=True):
        tensors |= {f"{slot.name}.weight": layer.weight, f"{slot.name}.bias": layer.bias}
    return Weights(spec, ImageSpec(spec.resolution), None, True, FOLDED_EPS, tensors)


def _red_first(tensors: Mapping[str, Array], first: str) -> dict[str, Array]:
    """Turn the input channels of the first convolution, which read blue, green, red."""
    key = f"{first}.weight"
    return {**tensors, key: np.ascontiguousarray(tensors[key][:, ::-1])}


def _foreign(found: WeightsCheckpoint, path: Path, ending: str = SOFTMAX) -> Weights:
    """Understand another project's state dict. How it wants its images, and which of two twins it is, tells the list of
    published files by the file's name, else the `config.json` beside it or the checkpoint's own words."""
    if not found.state:
        raise WeightsError(f"{path.name} holds no tensor")
    source = published_file(path.name)
    words = (config_beside(path) if source is None else None) or found.words
    renamed = rename(found.state, path.name, words.plain)
    values = state_of_reals(renamed.tensors, path.name)
    spec = recognize_state(renamed.name, {key: value.shape for key, value in values.items()}, path.name)
    if renamed.layout == "keras" and renamed.name.startswith(_BLUE_FIRST):
        values = _red_first(values, slots(spec.name, 1.0, spec.num_classes)[0].name)
    usual = _usual_image(renamed, family_of(spec.name).resolution)
    image = source.image if source is not None else image_of(words, usual, path.name)
    spec = replace(spec, resolution=image.resolution, padding=renamed.padding)
    remarks = [*found.remarks, check_named(words, spec.name, path.name)]
    if source is None and not words.normalizes:
        remarks.append(_guessed(image, renamed, path.name))
    labels = words.labels if len(words.labels or ()) == spec.num_classes else None
    ending = ending if last_weight(spec.name) in values else NOTHING
    said = tuple(remark for remark in remarks if remark)
    return Weights(spec, image, labels, False, renamed.norm_eps, values, ending=ending, remarks=said)


def _guessed(image: ImageSpec, renamed: Renamed, file: str) -> str:
    """Say which preparation was taken, as the file names none."""
    mean, std = (", ".join(f"{value:.3g}" for value in values) for values in (image.mean, image.std))
    return (
        f"{file} does not say how its images are prepared; taken is what is usual for {renamed.layout}'s "
        f"{renamed.name}: {image.resolution} pixels, mean {mean}, deviation {std}"
    )


def _usual_image(renamed: Renamed, resolution: int) -> ImageSpec:
    """Return how a project prepares images for most of its nets, for files that no list names."""
    if renamed.layout == "keras" and renamed.name.startswith(_BLUE_FIRST):
        return replace(_CAFFE, resolution=resolution)
    if renamed.layout == "lukemelas" and renamed.name != "efficientnet_b0":
        return replace(_LITE, resolution=resolution)
    # TensorFlow's nets see values from -1 to 1, and so do timm's later recipes for the first MobileNet; those of
    # Inception and Xception do in every project's port. EfficientNet-B0 was trained on ImageNet's mean.
    ported = renamed.padding == "same" or renamed.name in _PORTED
    if (ported and renamed.name != "efficientnet_b0") or (renamed.name, renamed.layout) == ("mobilenet_v1", "timm"):
        return ImageSpec(resolution, "crop", 0.875)
    return ImageSpec(resolution, "crop", 0.875, mean=IMAGENET[0], std=IMAGENET[1])


def without_predictors(weights: Weights) -> Weights:
    """Return a detector's weights as those of its backbone without a classifier; others as they are."""
    if weights.spec.detector is None:
        return weights
    tensors = {key: value for key, value in weights.tensors.items() if not key.startswith(_HEAD)}
    spec = replace(weights.spec, detector=None)
    return replace(weights, spec=spec, tensors=tensors, labels=None, levels=None, ending=NOTHING)


# ---------------------------------------------------------------- into a net


def load_into(net: "Net", weights: Weights, *, keep_head: bool, labels: Sequence[str] = ()) -> LoadReport:
    """Load weights into a net of the same family, width and padding, or into one that is cut after fewer layers.

    With `keep_head` the classifier is loaded too and must have as many outputs as the net's; of a 1001-class file
    the background class is dropped for a net of 1000. Without it the net keeps its own, fresh last layer, and what
    else of its classifier has another shape; a detector, whose classes are `labels`, takes what another one predicts
    by the same anchors, of boxes and of classes of one name. `WeightsError` names every missing, left-over and
    misshapen tensor.
    """
    if _is_detector(net) and not (keep_head and weights.spec.detector is not None):
        return _into_detector(net, weights, labels)
    weights = shortened(weights, _depth(net))
    check_padding(net, weights.spec)
    shapes = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    tensors, dropped = _head(weights, _last_layer(net)) if keep_head else (dict(weights.tensors), False)
    if _is_detector(net):
        tensors = read_by(net, tensors)
    if weights.folded:
        tensors = unfold(net, tensors, weights.norm_eps)
    fresh = () if keep_head else _fresh(tensors, shapes, _last_layer(net)[0])
    check_fit(tensors, shapes, fresh)
    taken = {key: value for key, value in tensors.items() if key not in fresh}
    copy_into(net, taken, weights.norm_eps)
    names = weights.labels if keep_head else None
    if names is not None and dropped:
        names = names[1:]
    return LoadReport(len(taken), fresh, dropped, names, weights.folded)


def _into_detector(net: "Net", weights: Weights, labels: Sequence[str]) -> LoadReport:
    """Load a classifier's features, or what fits of another detector's layers, into a detector of the same family."""
    check_padding(net, weights.spec)
    if weights.spec.detector is None:
        taken = backbone_into(net, weights.tensors, folded=weights.folded, eps=weights.norm_eps)
    else:
        donor = build_spec(weights.spec)
        load_into(donor, weights, keep_head=True)
        pair = cast("Detector", net), cast("Detector", donor)
        taken = detector_into(*pair, Names(tuple(labels), weights.labels or ()))
        copy_into(net, {}, weights.norm_eps)
    fresh = tuple(key for key in net.state_dict() if key not in taken and not key.endswith(_COUNTER))
    return LoadReport(len(taken), fresh, False, None, weights.folded)


def _is_detector(net: "Net") -> bool:
    from pocketvision.models.ssd import Detector

    return isinstance(net, Detector)


def _depth(net: "Net") -> int | None:
    from pocketvision.models.blocks import CutNet

    return len(net.features) if isinstance(net, CutNet) else None


def _last_layer(net: "Net") -> tuple[str, int]:
    """Return the name of the layer that answers, and its number of outputs."""
    from torch import nn

    layers = [(name, child) for name, child in net.named_modules() if isinstance(child, nn.Conv2d | nn.Linear)]
    name, last = layers[-1]
    return name, len(last.weight)


def _head(weights: Weights, last: tuple[str, int]) -> tuple[dict[str, Array], bool]:
    tensors, classes, (name, outputs) = dict(weights.tensors), weights.spec.num_classes, last
    if not weights.has_head:
        raise WeightsError("the file has no classifier; pass keep_head=False to start with a fresh one")
    if classes == outputs or weights.spec.detector is not None:
        return tensors, False  # a detector's layers have outputs for each anchor: their shapes tell
    if (classes, outputs) != (_BACKGROUND, _BACKGROUND - 1):
        raise WeightsError(
            f"the file's classifier has {classes} classes and the net {outputs}; "
            "pass keep_head=False to start with a fresh classifier"
        )
    for key in (f"{name}.weight", f"{name}.bias"):
        tensors[key] = tensors[key][1:]
    return tensors, True


def _fresh(tensors: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]], last: str) -> tuple[str, ...]:
    head = [key for key in shapes if key.startswith(_HEAD)]
    return tuple(
        key for key in head if key.startswith(f"{last}.") or key not in tensors or tensors[key].shape != shapes[key]
    )
