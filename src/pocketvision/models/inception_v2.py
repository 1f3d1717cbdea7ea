"""Batch normalization: accelerating deep network training by reducing internal covariate shift (BN-Inception).

Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167
"""

from typing import Literal, NamedTuple

from torch import nn

from pocketvision.models.blocks import MaxPool2dSame, Net, initialize, scale
from pocketvision.models.googlenet import Branches
from pocketvision.values import ModelSpec

NAMES = ("inception_v2",)
YEAR = 2015
IDEA = "batch norm, 5x5 as two 3x3"


class Row(NamedTuple):
    """One line of figure 5."""

    type: str
    patch_stride: tuple[int, int] | None
    output_size: tuple[int, int, int]
    depth: int
    n1x1: int = 0
    reduce_3x3: int = 0
    n3x3: int = 0
    reduce_double: int = 0
    double_3x3: int = 0
    pool: Literal["", "avg", "max", "max + pass through"] = ""
    proj: int = 0


# Deviates: the output sizes of 4c to 4e are the sums of their branches, as in the released net; the paper prints less.
# fmt: off
FIGURE_5 = (
    Row("convolution",    (7, 2),  (112, 112, 64), 1),
    Row("max pool",       (3, 2),  (56, 56, 64),   0),
    Row("convolution",    (3, 1),  (56, 56, 192),  1, 0,   64,  192),
    Row("max pool",       (3, 2),  (28, 28, 192),  0),
    Row("inception (3a)", None,    (28, 28, 256),  3, 64,  64,  64,  64,  96,  "avg", 32),
    Row("inception (3b)", None,    (28, 28, 320),  3, 64,  64,  96,  64,  96,  "avg", 64),
    Row("inception (3c)", (0, 2),  (14, 14, 576),  3, 0,   128, 160, 64,  96,  "max + pass through"),
    Row("inception (4a)", None,    (14, 14, 576),  3, 224, 64,  96,  96,  128, "avg", 128),
    Row("inception (4b)", None,    (14, 14, 576),  3, 192, 96,  128, 96,  128, "avg", 128),
    Row("inception (4c)", None,    (14, 14, 608),  3, 160, 128, 160, 128, 160, "avg", 128),
    Row("inception (4d)", None,    (14, 14, 608),  3, 96,  128, 192, 160, 192, "avg", 128),
    Row("inception (4e)", (0, 2),  (7, 7, 1056),   3, 0,   128, 192, 192, 256, "max + pass through"),
    Row("inception (5a)", None,    (7, 7, 1024),   3, 352, 192, 320, 160, 224, "avg", 128),
    Row("inception (5b)", None,    (7, 7, 1024),   3, 352, 192, 320, 192, 224, "max", 128),
    Row("avg pool",       (7, 1),  (1, 1, 1024),   0),
)
# fmt: on


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Build a convolution, batch norm and ReLU.

    Deviates: the convolution keeps its bias, which the paper (section 3.2) calls needless, as the released net does.
    """
    layers = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.BatchNorm2d(outputs)
    return nn.Sequential(*layers, nn.ReLU(inplace=True))


def inception(inputs: int, row: Row, width: float) -> tuple[Branches, int]:
    """Build a module; return it with its channels."""
    n1x1, reduce, n3x3 = (scale(channels, width) for channels in row[4:7])
    reduce_double, double, proj = (scale(channels, width) for channels in (*row[7:9], row.proj))
    stride = row.patch_stride[1] if row.patch_stride else 1
    branches: list[nn.Module] = [conv(inputs, n1x1, 1)] if row.n1x1 else []
    branches += [
        nn.Sequential(conv(inputs, reduce, 1), conv(reduce, n3x3, 3, stride)),
        nn.Sequential(conv(inputs, reduce_double, 1), conv(reduce_double, double, 3), conv(double, double, 3, stride)),
    ]
    if row.pool == "max + pass through":
        # The release pads the far side of the even maps of 224 pixels; this rule does so, and fits odd maps too.
        return Branches(*branches, MaxPool2dSame(3, stride)), n3x3 + double + inputs
    pool = nn.MaxPool2d(3, 1, 1) if row.pool == "max" else nn.AvgPool2d(3, 1, 1)
    return Branches(*branches, nn.Sequential(pool, conv(inputs, proj, 1))), n1x1 + n3x3 + double + proj


class InceptionV2(Net):
    """BN-Inception without auxiliary classifiers. The paper has no width multiplier; here it scales every layer."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, width = spec.in_channels, spec.width
        for row in FIGURE_5:
            if row.type == "convolution" and row.patch_stride:
                if row.reduce_3x3:
                    layers.append(conv(channels, scale(row.reduce_3x3, width), 1))
                    channels = scale(row.reduce_3x3, width)
                layers.append(conv(channels, scale(row.output_size[2], width), *row.patch_stride))
                channels = scale(row.output_size[2], width)
            elif row.type == "max pool":
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            elif row.type.startswith("inception"):
                module, channels = inception(channels, row, width)
                layers.append(module)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(spec.dropout or 0.0), nn.Linear(channels, spec.num_classes))
        initialize(self)


def build(spec: ModelSpec) -> InceptionV2:
    """Build the net."""
    return InceptionV2(spec)
