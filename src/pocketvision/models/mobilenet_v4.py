"""MobileNetV4: Universal Models for the Mobile Ecosystem.

Qin et al., 2024, https://arxiv.org/abs/2404.10518
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from pocketvision.models.blocks import ConvNormAct, Net, initialize, scale
from pocketvision.values import ModelSpec

NAMES = ("mobilenet_v4_conv_small",)
YEAR = 2024
IDEA = "one universal block, two depthwise places"
WIDTHS = (1.0, 0.5)


class Row(NamedTuple):
    """One line of the paper's table of MNv4-Conv-S: DW K1 is the depthwise kernel before the expansion, DW K2 the one
    after it (or the convolution's own kernel)."""

    input: tuple[int, int]
    block: Literal["Conv2D", "FusedIB", "ExtraDW", "IB", "ConvNext", "AvgPool"]
    dw_k1: int | None
    dw_k2: int | None
    expanded_dim: int | None
    output_dim: int
    stride: int


# fmt: off
CONV_S = (
    Row((224, 3),   "Conv2D",   None, 3,    None, 32,   2),
    Row((112, 32),  "FusedIB",  None, 3,    32,   32,   2),
    Row((56, 32),   "FusedIB",  None, 3,    96,   64,   2),
    Row((28, 64),   "ExtraDW",  5,    5,    192,  96,   2),
    Row((14, 96),   "IB",       None, 3,    192,  96,   1),
    Row((14, 96),   "IB",       None, 3,    192,  96,   1),
    Row((14, 96),   "IB",       None, 3,    192,  96,   1),
    Row((14, 96),   "IB",       None, 3,    192,  96,   1),
    Row((14, 96),   "ConvNext", 3,    None, 384,  96,   1),
    Row((14, 96),   "ExtraDW",  3,    3,    576,  128,  2),
    Row((7, 128),   "ExtraDW",  5,    5,    512,  128,  1),
    Row((7, 128),   "IB",       None, 5,    512,  128,  1),
    Row((7, 128),   "IB",       None, 5,    384,  128,  1),
    Row((7, 128),   "IB",       None, 3,    512,  128,  1),
    Row((7, 128),   "IB",       None, 3,    512,  128,  1),
    Row((7, 128),   "Conv2D",   None, 1,    None, 960,  1),
    Row((7, 960),   "AvgPool",  None, 7,    None, 960,  1),
    Row((1, 960),   "Conv2D",   None, 1,    None, 1280, 1),
    Row((1, 1280),  "Conv2D",   None, 1,    None, 1000, 1),
)
# fmt: on


class UniversalInvertedBottleneck(nn.Module):
    """Depthwise K1, expand with 1x1, depthwise K2, project with a linear 1x1; either depthwise may be absent, and a
    shortcut stands where shapes allow (section 3). The stride is the second depthwise's, where there are two."""

    def __init__(self, inputs: int, hidden: int, outputs: int, row: Row) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if row.dw_k1 is not None:
            stride = row.stride if row.dw_k2 is None else 1
            layers.append(ConvNormAct(inputs, inputs, row.dw_k1, stride, groups=inputs, activation=None))
        layers.append(ConvNormAct(inputs, hidden, 1, activation=nn.ReLU))
        if row.dw_k2 is not None:
            layers.append(ConvNormAct(hidden, hidden, row.dw_k2, row.stride, groups=hidden, activation=nn.ReLU))
        layers.append(ConvNormAct(hidden, outputs, 1, activation=None))
        self.layers = nn.Sequential(*layers)
        self.shortcut = row.stride == 1 and inputs == outputs

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return [N, outputs, H / stride, W / stride]."""
        out: Tensor = self.layers(batch_nchw)
        return batch_nchw + out if self.shortcut else out


class MobileNetV4(Net):
    """MNv4-Conv-S; channels are rounded to multiples of 8, and an expansion keeps the table's ratio to its input.

    `head` is the convolution after pooling; with its batch norm it belongs to the features, and below width 1 it and
    the first convolution stay as wide as in the table (the published 0.5).
    FusedIB is, as released, two plain convolutions, each with its ReLU; dropout is the released recipe's.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = spec.in_channels
        for row in CONV_S[:-3]:
            outputs = scale(row.output_dim, max(1.0, spec.width) if row.input[1] == 3 else spec.width, 8)
            if row.expanded_dim is None:
                assert row.dw_k2 is not None
                layers.append(ConvNormAct(channels, outputs, row.dw_k2, row.stride, activation=nn.ReLU))
            elif row.block == "FusedIB":
                assert row.dw_k2 is not None
                hidden = scale(row.expanded_dim, spec.width, 8)
                layers.append(
                    nn.Sequential(
                        ConvNormAct(channels, hidden, row.dw_k2, row.stride, activation=nn.ReLU),
                        ConvNormAct(hidden, outputs, 1, activation=nn.ReLU),
                    )
                )
            else:
                hidden = scale(row.expanded_dim, channels / row.input[1], 8)
                layers.append(UniversalInvertedBottleneck(channels, hidden, outputs, row))
            channels = outputs
        self.features = nn.Sequential(*layers)
        last = CONV_S[-2].output_dim
        self.head = ConvNormAct(channels, last, 1, activation=nn.ReLU)
        dropout = 0.3 if spec.dropout is None else spec.dropout
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, spec.num_classes))
        initialize(self)

    def embed(self, batch_nchw: Tensor) -> Tensor:
        """Return [N, 1280]: pooled, then through the last convolution."""
        pooled = nn.functional.adaptive_avg_pool2d(self.features(batch_nchw), 1)
        return torch.flatten(self.head(pooled), 1)


def build(spec: ModelSpec) -> MobileNetV4:
    """Build the net."""
    return MobileNetV4(spec)
