"""EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks.

Tan and Le, 2019, https://arxiv.org/abs/1905.11946; lite0 to lite2 as released by the authors,
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
"""

import math
from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple

from torch import nn

from pocketvision.models.blocks import ConvNormAct, InvertedResidual, Net, SqueezeExcite, initialize, scale
from pocketvision.values import ModelSpec

NAMES = ("efficientnet_b0", "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
YEAR = 2019
IDEA = "width, depth, resolution scaled together"
IDEAS = (
    ("efficientnet_lite0", "EfficientNet with integers in mind"),
    ("efficientnet_lite1", "EfficientNet-lite0 with more layers"),
    ("efficientnet_lite2", "EfficientNet-lite0, deeper and wider"),
)
RESOLUTIONS = (("efficientnet_lite1", 240), ("efficientnet_lite2", 260))
PADDINGS = ("symmetric", "same")


class Row(NamedTuple):
    """One stage of Table 1; an operator `MBConv6, k3x3` stands here as MBConv, 6, 3.

    A stage's stride is its resolution over the next one's.
    """

    stage: int
    operator: Literal["Conv", "MBConv", "Conv & Pooling & FC"]
    expansion: int
    kernel: int
    resolution: int
    channels: int
    layers: int


# fmt: off
TABLE_1 = (
    Row(1, "Conv",                1, 3, 224, 32,   1),
    Row(2, "MBConv",              1, 3, 112, 16,   1),
    Row(3, "MBConv",              6, 3, 112, 24,   2),
    Row(4, "MBConv",              6, 5, 56,  40,   2),
    Row(5, "MBConv",              6, 3, 28,  80,   3),
    Row(6, "MBConv",              6, 5, 14,  112,  3),
    Row(7, "MBConv",              6, 5, 14,  192,  4),
    Row(8, "MBConv",              6, 3, 7,   320,  1),
    Row(9, "Conv & Pooling & FC", 1, 1, 7,   1280, 1),
)
# fmt: on


class Scaling(NamedTuple):
    """A line of the released code's table, its resolution apart (`RESOLUTIONS`)."""

    width: float
    depth: float
    dropout: float


# fmt: off
SCALINGS = {
    "efficientnet_b0":    Scaling(1.0, 1.0, 0.2),
    "efficientnet_lite0": Scaling(1.0, 1.0, 0.2),
    "efficientnet_lite1": Scaling(1.0, 1.1, 0.2),
    "efficientnet_lite2": Scaling(1.1, 1.2, 0.3),
}
# fmt: on


class EfficientNet(Net):
    """EfficientNet-B0, channels rounded to multiples of 8; the lite ones have ReLU6 for SiLU, no squeeze and
    excitation, a first and a last convolution that width leaves alone, and a first and a last stage that depth does.

    Deviates: no stochastic depth, which is a matter of training.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        lite, scaling = spec.name.startswith("efficientnet_lite"), SCALINGS[spec.name]
        layer = partial(ConvNormAct, activation=nn.ReLU6 if lite else nn.SiLU, padding=spec.padding)
        ends = 1.0 if lite else spec.width
        channels = scale(TABLE_1[0].channels, ends, 8)
        layers: list[nn.Module] = [layer(spec.in_channels, channels, TABLE_1[0].kernel, 2)]
        for row, following in pairwise(TABLE_1[1:]):
            outputs = scale(row.channels, scaling.width * spec.width, 8)
            for repeat in range(_repeats(row, scaling)):
                hidden = channels * row.expansion
                layers.append(
                    InvertedResidual(
                        channels,
                        outputs,
                        hidden=hidden,
                        kernel=row.kernel,
                        stride=row.resolution // following.resolution if repeat == 0 else 1,
                        layer=layer,
                        excite=None if lite else SqueezeExcite(hidden, scale(channels, 0.25), activation=nn.SiLU),
                    )
                )
                channels = outputs
        last = scale(TABLE_1[-1].channels, ends, 8)
        self.features = nn.Sequential(*layers, layer(channels, last, 1))
        dropout = scaling.dropout if spec.dropout is None else spec.dropout
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, spec.num_classes))
        initialize(self)


def _repeats(row: Row, scaling: Scaling) -> int:
    ends = (TABLE_1[1].stage, TABLE_1[-2].stage)
    return row.layers if row.stage in ends else math.ceil(row.layers * scaling.depth)


def build(spec: ModelSpec) -> EfficientNet:
    """Build the net."""
    return EfficientNet(spec)
