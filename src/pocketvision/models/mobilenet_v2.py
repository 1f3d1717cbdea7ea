"""MobileNetV2: Inverted Residuals and Linear Bottlenecks.

Sandler et al., 2018, https://arxiv.org/abs/1801.04381
"""

from typing import NamedTuple

from torch import Tensor, nn

from pocketvision.models.blocks import ConvNormAct, Net, Padding, initialize, scale
from pocketvision.values import ModelSpec

NAMES = ("mobilenet_v2",)
YEAR = 2018
IDEA = "inverted residuals with linear bottlenecks"
WIDTHS = (1.4, 1.3, 1.0, 0.75, 0.5, 0.35)
PADDINGS = ("symmetric", "same")


class Row(NamedTuple):
    """One line of Table 2: expansion t, output channels c, repeats n, stride s of the first repeat."""

    input: tuple[int, int]
    operator: str
    t: int | None
    c: int
    n: int
    s: int | None


# fmt: off
TABLE_2 = (
    Row((224, 3),    "conv2d",      None, 32,   1, 2),
    Row((112, 32),   "bottleneck",  1,    16,   1, 1),
    Row((112, 16),   "bottleneck",  6,    24,   2, 2),
    Row((56, 24),    "bottleneck",  6,    32,   3, 2),
    Row((28, 32),    "bottleneck",  6,    64,   4, 2),
    Row((14, 64),    "bottleneck",  6,    96,   3, 1),
    Row((14, 96),    "bottleneck",  6,    160,  3, 2),
    Row((7, 160),    "bottleneck",  6,    320,  1, 1),
    Row((7, 320),    "conv2d 1x1",  None, 1280, 1, 1),
    Row((7, 1280),   "avgpool 7x7", None, 0,    1, None),
    Row((1, 1280),   "conv2d 1x1",  None, 1000, 1, None),
)
# fmt: on


class InvertedResidual(nn.Module):
    """Expand t times with 1x1, depthwise 3x3, project with a linear 1x1; a shortcut where shapes allow (Table 1)."""

    def __init__(self, inputs: int, outputs: int, *, t: int, stride: int, padding: Padding) -> None:
        super().__init__()
        hidden = inputs * t
        layers: list[nn.Module] = [] if t == 1 else [ConvNormAct(inputs, hidden, 1)]
        layers.append(ConvNormAct(hidden, hidden, 3, stride, groups=hidden, padding=padding))
        layers.append(ConvNormAct(hidden, outputs, 1, activation=None))
        self.layers = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return [N, outputs, H / stride, W / stride]."""
        out: Tensor = self.layers(batch_nchw)
        return batch_nchw + out if self.shortcut else out


class MobileNetV2(Net):
    """MobileNetV2; channels are rounded to multiples of 8, and the last 1x1 convolution never narrows below 1280
    (section 4.1: the multiplier is applied to all layers except the very last convolution when below one)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, padding = spec.in_channels, spec.padding
        for row in TABLE_2[:-2]:
            last = row.operator == "conv2d 1x1"
            outputs = scale(row.c, max(1.0, spec.width) if last else spec.width, 8)
            for repeat in range(row.n):
                stride = row.s if repeat == 0 and row.s else 1
                if row.t is None:
                    layers.append(ConvNormAct(channels, outputs, 1 if last else 3, stride, padding=padding))
                else:
                    layers.append(InvertedResidual(channels, outputs, t=row.t, stride=stride, padding=padding))
                channels = outputs
        self.features = nn.Sequential(*layers)
        dropout = 0.2 if spec.dropout is None else spec.dropout
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, spec.num_classes))
        initialize(self)


def build(spec: ModelSpec) -> MobileNetV2:
    """Build the net."""
    return MobileNetV2(spec)
