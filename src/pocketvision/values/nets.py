"""What a net is and eats."""

from dataclasses import dataclass, field
from typing import Literal

from pocketvision.values.records import UNSAID

CropMode = Literal["squash", "crop"]


@dataclass(frozen=True)
class AnchorMap:
    """One map of a detector: where its anchors stand, and their shapes."""

    stride: int
    """Pixels of the image for one step on the map; a side of it has ceil(resolution / stride) cells."""
    shapes: tuple[tuple[float, float], ...]
    """Height and width of each anchor of a cell, as shares of the image."""


@dataclass(frozen=True)
class DetectorSpec:
    """What a detector has in place of a classifier."""

    maps: tuple[AnchorMap, ...]
    """The finest first."""
    head: Literal["ssdlite", "ssd"] = "ssdlite"
    """`ssdlite`: depthwise separable layers behind the backbone (MobileNetV2, section 6.2). `ssd`: 1x1 heads and full
    3x3 layers, as the MobileNet V1 detectors were released."""


@dataclass(frozen=True)
class ModelSpec:
    """One net of the catalogue at one setting of its dials."""

    name: str
    """Name in the catalogue."""
    width: float = 1.0
    """Multiplier of the channels."""
    resolution: int = 224
    """Side of the input in pixels."""
    num_classes: int = 1000
    """Outputs of the classifier."""
    padding: Literal["symmetric", "same"] = "symmetric"
    """`same` is TensorFlow's rule, which pads an even input on the far side only; its weights need it."""
    groups: int | None = None
    """Of the pointwise convolutions, for the family that offers a choice; None is the paper's own."""
    in_channels: int = 3
    """Channels of the image."""
    dropout: float | None = None  # None is the paper's own
    """Share of dropped values in training; None is the paper's own."""
    depth: int | None = field(default=None, metadata=UNSAID)
    """Layers of `features` that are kept, from the stem on, before a mean and a linear layer; None is the whole net."""
    detector: DetectorSpec | None = field(default=None, metadata=UNSAID)
    """Maps and head of a detector, `num_classes` outputs an anchor; None is a classifier."""

    @property
    def dials(self) -> str:
        """Name, width, depth of a cut net and head of a detector in words: what tells which weights belong to it."""
        depth = f" depth {self.depth}" if self.depth is not None else ""
        return f"{self.name} {self.width:g}{depth}" + (f" {self.detector.head}" if self.detector else "")

    def __str__(self) -> str:
        return f"{self.dials} @ {self.resolution}px"


@dataclass(frozen=True)
class TaskSpec:
    """What is asked of a net, and how its outputs are read."""

    name: str
    """One of `tasks.names()`."""
    labels: tuple[str, ...]
    """Names of the outputs, in order."""
    thresholds: tuple[float, ...] = ()
    """Per label the probability from which on it counts as there; empty for tasks without."""
    maps: tuple[AnchorMap, ...] = ()
    """Of a detector, where its outputs stand in the image."""
    resolution: int = 0
    """Of a detector, the side of its images in pixels."""


CLASSES = TaskSpec("classify", ())
"""One class an image, whatever the labels are."""


@dataclass(frozen=True)
class ImageSpec:
    """How a decoded image becomes the net's input: resized to uint8 RGB [resolution, resolution, 3], then
    normalized as (pixel / 255 - mean) / std, which the file itself does."""

    resolution: int
    """Side of the input in pixels."""
    crop_mode: CropMode = "squash"
    """`squash` resizes the whole image to a square of resolution / crop_pct a side, `crop` its short side to as much;
    both take the center."""
    crop_pct: float = 1.0
    """Share of the resized side that is kept."""
    interpolation: Literal["bilinear"] = "bilinear"
    """Filter of the resizing."""
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Of each channel, subtracted from values in 0..1."""
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Of each channel, that the result is divided by."""
