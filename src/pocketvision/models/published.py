"""The figures that papers and releases print for the nets of the catalogue: models/published.csv, as records."""

import csv
import re
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Literal, NamedTuple

from pocketvision.values import ModelSpec

Cell = Literal["params", "macs"]
CELLS: tuple[Cell, ...] = ("params", "macs")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


class Rule(StrEnum):
    """How a source counts, where it differs from all learned values and the multiply-adds of convolutions and
    linear layers; several may hold at once. `cost.conventions` has the formula of each."""

    LEARNED = "learned"
    """Nothing differs."""
    NO_NORMS = "no norms"
    ONE_MOVING = "one moving statistic"
    """Three values a normalized channel; fits TF-slim's MobileNet V1 sizes."""
    MOVING = "moving statistics"
    """Keras: the moving mean and variance count too."""
    CONV_BIASES = "conv biases"
    """Keras' ResNets have biases before their norms."""
    NO_GAMMA = "no gamma"
    """Keras' Inception v3 shifts only."""
    INPUT_NORM = "input normalization"
    """Keras' EfficientNet holds seven values that normalize its input."""
    NO_HEAD_PARAMS = "no classifier parameters"
    NO_HEAD_MACS = "no classifier multiply-adds"
    NO_HEAD_BIAS = "no classifier bias"
    AUXILIARY = "auxiliary head"
    """torchvision's Inception v3 counts the head that only training uses; nothing of it runs."""
    TWO_A_NORM = "2 a normalized value"
    """timm's gmacs (fvcore) count a norm as 2 a value."""
    ONE_A_CHANNEL = "1 a normalized channel"
    """d-li14's MobileNetV2 figures have one more for each channel of a norm."""
    HALF_OPERATIONS = "half of all operations"
    """imgclsmob's FLOPs/2: norms as 4 a value, activations, pools and shuffles too."""
    OPERATIONS = "2 a multiply-add"
    """FLOPs."""
    CONV10_PADDED = "conv10 padded"
    """SqueezeNet 1.0's Caffe file pads its last 1x1 convolution by one pixel."""


class Published(NamedTuple):
    """One printed line; `params` and `macs` as printed, so that their digits are the tolerance; empty: not printed."""

    name: str
    width: float
    resolution: int
    groups: int | None
    classes: int
    data: str
    """What the accuracy was measured on, `ImageNet` as a rule."""
    variant: str
    """What its source calls it, and what is special."""
    quantized: bool
    """Whether the accuracy is that of a quantized or compressed net."""
    params: str
    macs: str
    top1: float | None
    top5: float | None
    rules: tuple[Rule, ...]
    main: bool
    """Whether its accuracy stands for the float net at this setting: the authors' training, or the usual release."""
    source: str
    note: str
    """Why cells do not hold: 'params: ...', 'macs: ...', 'params and macs: ...'; or 'not computed: ...'."""

    @property
    def spec(self) -> ModelSpec:
        """The net this line is about."""
        return ModelSpec(self.name, self.width, self.resolution, self.classes, groups=self.groups)

    @property
    def computable(self) -> bool:
        """Whether the net of this line is known; if not, the note says why."""
        return not self.note.startswith("not computed:")

    @property
    def reason(self) -> str:
        """The note without the names of the cells it is about."""
        return self.note.partition(": ")[2]


class Figure(NamedTuple):
    """A printed number, and what one unit of its last digit is worth; 0 where every digit is printed."""

    value: float
    last_digit: float

    def holds(self, counted: float) -> bool:
        """Tell whether a count agrees: cut or rounded, within one unit of the last digit."""
        return abs(self.value - counted) <= self.last_digit * (1 + 1e-9)


def read_figure(printed: str) -> Figure:
    """Read '4.2M', '569M', '0.349G', '533.0k' or '3504872'."""
    match = re.fullmatch(r"(\d+)(?:\.(\d+))?([kMG]?)", printed)
    assert match, f"'{printed}' is no printed figure"
    unit = _UNITS[match[3]]
    exact = not match[3] and match[2] is None
    return Figure(float(printed.rstrip("kMG")) * unit, 0.0 if exact else unit / 10 ** len(match[2] or ""))


@cache
def published() -> tuple[Published, ...]:
    """Return every printed line of models/published.csv."""
    text = resources.files("pocketvision.models").joinpath("published.csv").read_text(encoding="utf-8")
    return tuple(_line(row) for row in csv.DictReader(text.splitlines()))


def main_figures(name: str | None = None) -> tuple[Published, ...]:
    """Return the lines whose accuracy stands for a net, of one net or of all; each has a top-1, not all on ImageNet."""
    return tuple(line for line in published() if line.main and name in (None, line.name))


def _line(row: dict[str, str]) -> Published:
    return Published(
        name=row["name"],
        width=float(row["width"]),
        resolution=int(row["resolution"]),
        groups=int(row["groups"]) if row["groups"] else None,
        classes=int(row["classes"]),
        data=row["data"] or "ImageNet",
        variant=row["variant"],
        quantized=row["quantized"] == "yes",
        params=row["params"],
        macs=row["macs"],
        top1=float(row["top1"]) if row["top1"] else None,
        top5=float(row["top5"]) if row["top5"] else None,
        rules=tuple(Rule(rule) for rule in row["rule"].split(", ")),
        main=row["main"] == "yes",
        source=row["source"],
        note=row["note"],
    )
