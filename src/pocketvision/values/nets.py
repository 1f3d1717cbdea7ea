"""What a net is and eats."""

from dataclasses import dataclass, field
from typing import Literal

from pocketvision.values.records import UNSAID

CropMode = Literal["squash", "crop"]


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

    @property
    def dials(self) -> str:
        """Name, width and, of a cut net, depth in words: what tells which weights belong to it."""
        return f"{self.name} {self.width:g}" + (f" depth {self.depth}" if self.depth is not None else "")

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
    """Per attribute the probability from which on it counts as there; empty for tasks without."""


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
