"""GhostNet: More Features from Cheap Operations.

Han et al., 2020, https://arxiv.org/abs/1911.11907
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from pocketvision.models.blocks import ConvNormAct, Net, SqueezeExcite, initialize, scale
from pocketvision.values import ModelSpec

NAMES = ("ghostnet",)
YEAR = 2020
IDEA = "half the maps from cheap depthwise"
WIDTHS = (1.3, 1.0, 0.5)


class Row(NamedTuple):
    """One line of Table 1: #exp and #out are channels.

    Deviates: a column for the depthwise kernel of strided blocks and shortcuts, which only the release tells.
    """

    input: tuple[int, int]
    operator: Literal["Conv2d", "G-bneck", "AvgPool", "FC"]
    kernel: int
    exp: int | None
    out: int
    se: bool
    stride: int


# fmt: off
TABLE_1 = (
    Row((224, 3),   "Conv2d",  3, None, 16,   False, 2),
    Row((112, 16),  "G-bneck", 3, 16,   16,   False, 1),
    Row((112, 16),  "G-bneck", 3, 48,   24,   False, 2),
    Row((56, 24),   "G-bneck", 3, 72,   24,   False, 1),
    Row((56, 24),   "G-bneck", 5, 72,   40,   True,  2),
    Row((28, 40),   "G-bneck", 5, 120,  40,   True,  1),
    Row((28, 40),   "G-bneck", 3, 240,  80,   False, 2),
    Row((14, 80),   "G-bneck", 3, 200,  80,   False, 1),
    Row((14, 80),   "G-bneck", 3, 184,  80,   False, 1),
    Row((14, 80),   "G-bneck", 3, 184,  80,   False, 1),
    Row((14, 80),   "G-bneck", 3, 480,  112,  True,  1),
    Row((14, 112),  "G-bneck", 3, 672,  112,  True,  1),
    Row((14, 112),  "G-bneck", 5, 672,  160,  True,  2),
    Row((7, 160),   "G-bneck", 5, 960,  160,  False, 1),
    Row((7, 160),   "G-bneck", 5, 960,  160,  True,  1),
    Row((7, 160),   "G-bneck", 5, 960,  160,  False, 1),
    Row((7, 160),   "G-bneck", 5, 960,  160,  True,  1),
    Row((7, 160),   "Conv2d",  1, None, 960,  False, 1),
    Row((7, 960),   "AvgPool", 7, None, 960,  False, 1),
    Row((1, 960),   "Conv2d",  1, None, 1280, False, 1),
    Row((1, 1280),  "FC",      1, None, 1000, False, 1),
)
# fmt: on


class GhostModule(nn.Module):
    """Half the output from a 1x1 convolution, the rest from a depthwise 3x3 over that half (section 3.1, s = 2)."""

    def __init__(self, inputs: int, outputs: int, *, activation: type[nn.Module] | None) -> None:
        super().__init__()
        half = outputs // 2
        self.primary = ConvNormAct(inputs, half, 1, activation=activation)
        self.cheap = ConvNormAct(half, half, 3, groups=half, activation=activation)

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return [N, outputs, H, W]."""
        intrinsic = self.primary(batch_nchw)
        return torch.cat([intrinsic, self.cheap(intrinsic)], 1)


class GhostBottleneck(nn.Module):
    """Two ghost modules, a depthwise between them where maps shrink, and a shortcut around all (section 3.2).

    Where shapes differ, the shortcut is a depthwise and a 1x1 convolution.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, row: Row) -> None:
        super().__init__()
        layers: list[nn.Module] = [GhostModule(inputs, hidden, activation=nn.ReLU)]
        if row.stride > 1:
            layers.append(ConvNormAct(hidden, hidden, row.kernel, row.stride, groups=hidden, activation=None))
        if row.se:
            layers.append(SqueezeExcite(hidden, scale(hidden, 0.25, 4), gate=nn.Hardsigmoid))
        layers.append(GhostModule(hidden, outputs, activation=None))
        self.layers = nn.Sequential(*layers)
        self.shortcut = nn.Sequential()
        if row.stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                ConvNormAct(inputs, inputs, row.kernel, row.stride, groups=inputs, activation=None),
                ConvNormAct(inputs, outputs, 1, activation=None),
            )

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return [N, outputs, H / stride, W / stride]."""
        out: Tensor = self.layers(batch_nchw) + self.shortcut(batch_nchw)
        return out


class GhostNet(Net):
    """GhostNet; channels are rounded to multiples of 4, and the last hidden layer keeps 1280 at every width."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = spec.in_channels
        for row in TABLE_1[:-3]:
            outputs = scale(row.out, spec.width, 4)
            if row.exp is None:
                layers.append(ConvNormAct(channels, outputs, row.kernel, row.stride, activation=nn.ReLU))
            else:
                layers.append(GhostBottleneck(channels, scale(row.exp, spec.width, 4), outputs, row))
            channels = outputs
        self.features = nn.Sequential(*layers)
        last = TABLE_1[-2].out
        self.classifier = nn.Sequential(
            nn.Linear(channels, last),
            nn.ReLU(),
            nn.Dropout(0.2 if spec.dropout is None else spec.dropout),
            nn.Linear(last, spec.num_classes),
        )
        initialize(self)


def build(spec: ModelSpec) -> GhostNet:
    """Build the net."""
    return GhostNet(spec)
