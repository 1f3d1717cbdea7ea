"""FD-MobileNet: Improved MobileNet with a Fast Downsampling Strategy.

Qin et al., 2018, https://arxiv.org/abs/1802.03750; as released by the authors,
https://github.com/clavichord93/FD-MobileNet
"""

from typing import NamedTuple

from torch import nn

from pocketvision.models.blocks import ConvNormAct, Net, initialize, scale
from pocketvision.values import ModelSpec

NAMES = ("fd_mobilenet",)
YEAR = 2018
IDEA = "MobileNet with maps shrunk early"
WIDTHS = (1.0, 0.75, 0.5, 0.25)


class Row(NamedTuple):
    """One line of Table 1: `repeat` layers with these output channels, the stride is the first one's."""

    input_size: int
    layer: str
    stride: int
    repeat: int
    output_channels: int


# fmt: off
TABLE_1 = (
    Row(224, "3x3 Conv",          2, 1, 32),
    Row(112, "3x3 DWConv + 1x1",  2, 1, 64),
    Row(56,  "3x3 DWConv + 1x1",  2, 1, 128),
    Row(28,  "3x3 DWConv + 1x1",  1, 1, 128),
    Row(28,  "3x3 DWConv + 1x1",  2, 1, 256),
    Row(14,  "3x3 DWConv + 1x1",  1, 1, 256),
    Row(14,  "3x3 DWConv + 1x1",  2, 1, 512),
    Row(7,   "3x3 DWConv + 1x1",  1, 4, 512),
    Row(7,   "3x3 DWConv + 1x1",  1, 1, 1024),
    Row(7,   "Global AvgPool",    1, 1, 1024),
    Row(1,   "FC",                1, 1, 1000),
)
# fmt: on


class FDMobileNet(Net):
    """FD-MobileNet with width multiplier alpha, channels cut to int(c * alpha); ReLU, as in the released weights."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = spec.in_channels
        for row in TABLE_1[:-2]:
            outputs = scale(row.output_channels, spec.width)
            for repeat in range(row.repeat):
                stride = row.stride if repeat == 0 else 1
                if row.layer == "3x3 Conv":
                    layers.append(ConvNormAct(channels, outputs, 3, stride, activation=nn.ReLU))
                else:
                    layers.append(ConvNormAct(channels, channels, 3, stride, groups=channels, activation=nn.ReLU))
                    layers.append(ConvNormAct(channels, outputs, 1, activation=nn.ReLU))
                channels = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(spec.dropout or 0.0), nn.Linear(channels, spec.num_classes))
        initialize(self)


def build(spec: ModelSpec) -> FDMobileNet:
    """Build the net."""
    return FDMobileNet(spec)
