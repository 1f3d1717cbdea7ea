"""Aggregated residual transformations for deep neural networks.

Xie et al., 2016, https://arxiv.org/abs/1611.05431
"""

from typing import NamedTuple

from pocketvision.models.blocks import scale
from pocketvision.models.resnet import Conv, ResNet
from pocketvision.values import ModelSpec

NAMES = ("resnext50_32x4d", "resnext101_32x4d", "resnext101_32x8d", "resnext101_64x4d", "resnext152_32x4d")
YEAR = 2016
IDEA = "residual units of many paths"


class Row(NamedTuple):
    """One line of Table 1, right column: (side, channels) of a unit's convolutions, the middle one in C groups."""

    stage: str
    output: int
    convs: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    c: int
    units: int


class Variant(NamedTuple):
    """A net of sections 4 and 5 by cardinality C and bottleneck width d, with its units per stage."""

    name: str
    c: int
    d: int
    units: tuple[int, int, int, int]


# fmt: off
TABLE_1 = (
    Row("conv2", 56, ((1, 128),  (3, 128),  (1, 256)),  32, 3),
    Row("conv3", 28, ((1, 256),  (3, 256),  (1, 512)),  32, 4),
    Row("conv4", 14, ((1, 512),  (3, 512),  (1, 1024)), 32, 6),
    Row("conv5", 7,  ((1, 1024), (3, 1024), (1, 2048)), 32, 3),
)
# The last one is not in the paper: the same rule at ResNet-152's depth.
VARIANTS = (
    Variant("resnext50_32x4d",  32, 4, (3, 4, 6, 3)),
    Variant("resnext101_32x4d", 32, 4, (3, 4, 23, 3)),
    Variant("resnext101_32x8d", 32, 8, (3, 4, 23, 3)),
    Variant("resnext101_64x4d", 64, 4, (3, 4, 23, 3)),
    Variant("resnext152_32x4d", 32, 4, (3, 8, 36, 3)),
)
# fmt: on
PRINTED = VARIANTS[0]


def build(spec: ModelSpec) -> ResNet:
    """Build the net; grouped convolutions keep whole groups at any width."""
    variant = next(variant for variant in VARIANTS if variant.name == spec.name)
    units: list[tuple[Conv, ...]] = []
    for row, count in zip(TABLE_1, variant.units, strict=True):
        middle = scale(row.convs[1][1] * variant.c * variant.d // (PRINTED.c * PRINTED.d), spec.width, variant.c)
        outputs = scale(row.convs[2][1], spec.width)
        for unit in range(count):
            stride = 2 if unit == 0 and row is not TABLE_1[0] else 1
            units.append((Conv(1, middle), Conv(3, middle, stride, variant.c), Conv(1, outputs)))
    return ResNet(spec, units)
