"""Xception: deep learning with depthwise separable convolutions.

Chollet, 2016, https://arxiv.org/abs/1610.02357; released as https://keras.io/api/applications/xception
"""

from typing import Literal, NamedTuple

from torch import Tensor, nn

from pocketvision.models.blocks import MaxPool2dSame, Net, Padding, initialize, scale
from pocketvision.values import ModelSpec

NAMES = ("xception",)
YEAR = 2016
IDEA = "separable convolutions with linear shortcuts"
RESOLUTION = 299
PADDINGS = ("symmetric", "same")
"""The release pads its max pools by TensorFlow's rule, which differs where a map is even (at 299 pixels: the second
pool); timm's port of its weights pads both sides."""


class Row(NamedTuple):
    """One box of figure 5: its 3x3 convolutions' channels, how it halves the maps, and how often it is repeated."""

    flow: str
    kind: Literal["Conv", "SeparableConv"]
    channels: tuple[int, ...]
    halving: Literal["", "stride 2", "MaxPool"]
    shortcut: Literal["", "Conv 1x1", "identity"]
    repeats: int = 1


# fmt: off
FIGURE_5 = (
    Row("entry",  "Conv",          (32,),           "stride 2", ""),
    Row("entry",  "Conv",          (64,),           "",         ""),
    Row("entry",  "SeparableConv", (128, 128),      "MaxPool",  "Conv 1x1"),
    Row("entry",  "SeparableConv", (256, 256),      "MaxPool",  "Conv 1x1"),
    Row("entry",  "SeparableConv", (728, 728),      "MaxPool",  "Conv 1x1"),
    Row("middle", "SeparableConv", (728, 728, 728), "",         "identity", 8),
    Row("exit",   "SeparableConv", (728, 1024),     "MaxPool",  "Conv 1x1"),
    Row("exit",   "SeparableConv", (1536,),         "",         ""),
    Row("exit",   "SeparableConv", (2048,),         "",         ""),
)
# fmt: on


def norm(channels: int) -> nn.BatchNorm2d:
    """Build a batch norm with the release's epsilon."""
    return nn.BatchNorm2d(channels, eps=1e-3)


def separable(inputs: int, outputs: int) -> list[nn.Module]:
    """Build depthwise 3x3, 1x1 and batch norm; nothing stands between the first two (section 4.7)."""
    depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
    return [depthwise, nn.Conv2d(inputs, outputs, 1, bias=False), norm(outputs)]


class Unit(nn.Module):
    """Separable convolutions with ReLU before each, and a shortcut around them all."""

    def __init__(self, inputs: int, channels: list[int], row: Row, *, first_relu: bool, padding: Padding) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = inputs
        for place, outputs in enumerate(channels):
            if place or first_relu:
                # The shortcut reads what the first one reads.
                layers.append(nn.ReLU(inplace=place > 0))
            layers += separable(before, outputs)
            before = outputs
        if row.halving:
            layers.append(MaxPool2dSame(3, 2) if padding == "same" else nn.MaxPool2d(3, 2, 1))
        self.main = nn.Sequential(*layers)
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, before, 1, 2, bias=False), norm(before))
        if row.shortcut == "identity":
            self.shortcut = nn.Sequential()

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return [N, channels, H, W], or [N, channels, ceil(H / 2), ceil(W / 2)] where it pools."""
        out: Tensor = self.main(batch_nchw) + self.shortcut(batch_nchw)
        return out


class Xception(Net):
    """Xception. The paper has no width multiplier; here it scales every layer."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = spec.in_channels
        for row in FIGURE_5:
            for _ in range(row.repeats):
                channels = [scale(printed, spec.width) for printed in row.channels]
                if row.shortcut:
                    # The first unit follows a ReLU, so that it has none of its own.
                    first_relu = row.channels[0] != 128
                    layers.append(Unit(before, channels, row, first_relu=first_relu, padding=spec.padding))
                else:
                    layers.append(_plain(before, channels[0], row))
                before = channels[-1]
        self.features = nn.Sequential(*layers)
        dropout = 0.5 if spec.dropout is None else spec.dropout
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(before, spec.num_classes))
        initialize(self)


def _plain(inputs: int, outputs: int, row: Row) -> nn.Sequential:
    if row.kind == "SeparableConv":
        return nn.Sequential(*separable(inputs, outputs), nn.ReLU(inplace=True))
    # Neither is padded (299 to 149 to 147 pixels).
    conv = nn.Conv2d(inputs, outputs, 3, 2 if row.halving else 1, bias=False)
    return nn.Sequential(conv, norm(outputs), nn.ReLU(inplace=True))


def build(spec: ModelSpec) -> Xception:
    """Build the net."""
    return Xception(spec)
