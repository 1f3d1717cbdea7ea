"""Rethinking the Inception architecture for computer vision.

Szegedy et al., 2015, https://arxiv.org/abs/1512.00567; filter counts, which the paper leaves open, as in the authors'
release, https://github.com/tensorflow/models/blob/master/research/slim/nets/inception_v3.py
"""

from typing import NamedTuple

from torch import nn

from pocketvision.models.blocks import Net, Padding, initialize, scale
from pocketvision.models.googlenet import Branches
from pocketvision.values import ModelSpec

NAMES = ("inception_v3",)
YEAR = 2015
IDEA = "convolutions factorized into smaller ones"
RESOLUTION = 299
SMALLEST = 75
PADDINGS = ("symmetric", "same")
"""`same`: at the border the padding is left out of an average, as TensorFlow does and its weights expect."""


class Conv(NamedTuple):
    """A convolution: filters, patch (height, width), stride; padded to keep its input's size unless told otherwise."""

    filters: int
    patch: tuple[int, int]
    stride: int = 1
    padded: bool = True


class Pool(NamedTuple):
    """A 3x3 pool: the average of a padded window at stride 1, the maximum of an unpadded one at stride 2."""

    kind: str
    stride: int


class Split(NamedTuple):
    """Convolutions abreast at the end of a branch (figure 7)."""

    convs: tuple[Conv, Conv]


Branch = tuple[Conv | Pool | Split, ...]


class Row(NamedTuple):
    """One line of Table 1, under the release's name; a plain layer is a module of one branch."""

    layer: str
    input_size: tuple[int, int, int]
    branches: tuple[Branch, ...]


AVG, MAX = Pool("avg", 1), Pool("max", 2)
ONE, WIDE, TALL = (1, 1), (1, 7), (7, 1)


def figure_5(proj: int) -> tuple[Branch, ...]:
    """Return the module at 35x35; `proj` filters follow its pool."""
    return (
        (Conv(64, ONE),),
        # Deviates: the release keeps one 5x5 here, which the figure replaces by two 3x3.
        (Conv(48, ONE), Conv(64, (5, 5))),
        (Conv(64, ONE), Conv(96, (3, 3)), Conv(96, (3, 3))),
        (AVG, Conv(proj, ONE)),
    )


def figure_6(n: int) -> tuple[Branch, ...]:
    """Return the module at 17x17; `n` filters inside its factorized 7x7 convolutions."""
    return (
        (Conv(192, ONE),),
        (Conv(n, ONE), Conv(n, WIDE), Conv(192, TALL)),
        (Conv(n, ONE), Conv(n, TALL), Conv(n, WIDE), Conv(n, TALL), Conv(192, WIDE)),
        (AVG, Conv(192, ONE)),
    )


SIDES = Split((Conv(384, (1, 3)), Conv(384, (3, 1))))
FIGURE_7: tuple[Branch, ...] = (
    (Conv(320, ONE),),
    (Conv(384, ONE), SIDES),
    (Conv(448, ONE), Conv(384, (3, 3)), SIDES),
    (AVG, Conv(192, ONE)),
)
FIGURE_10_AT_35: tuple[Branch, ...] = (
    (Conv(384, (3, 3), 2, False),),
    (Conv(64, ONE), Conv(96, (3, 3)), Conv(96, (3, 3), 2, False)),
    (MAX,),
)
FIGURE_10_AT_17: tuple[Branch, ...] = (
    (Conv(192, ONE), Conv(320, (3, 3), 2, False)),
    (Conv(192, ONE), Conv(192, WIDE), Conv(192, TALL), Conv(192, (3, 3), 2, False)),
    (MAX,),
)

# Deviates: the lines after the first pool are the release's; the paper prints 3x3 to 80 and 3x3/2 to 192 there.
# fmt: off
TABLE_1 = (
    Row("Conv2d_1a_3x3",  (299, 299, 3),  ((Conv(32, (3, 3), 2, False),),)),
    Row("Conv2d_2a_3x3",  (149, 149, 32), ((Conv(32, (3, 3), 1, False),),)),
    Row("Conv2d_2b_3x3",  (147, 147, 32), ((Conv(64, (3, 3)),),)),
    Row("MaxPool_3a_3x3", (147, 147, 64), ((MAX,),)),
    Row("Conv2d_3b_1x1",  (73, 73, 64),   ((Conv(80, ONE),),)),
    Row("Conv2d_4a_3x3",  (73, 73, 80),   ((Conv(192, (3, 3), 1, False),),)),
    Row("MaxPool_5a_3x3", (71, 71, 192),  ((MAX,),)),
    Row("Mixed_5b",       (35, 35, 192),  figure_5(32)),
    Row("Mixed_5c",       (35, 35, 256),  figure_5(64)),
    Row("Mixed_5d",       (35, 35, 288),  figure_5(64)),
    Row("Mixed_6a",       (35, 35, 288),  FIGURE_10_AT_35),
    Row("Mixed_6b",       (17, 17, 768),  figure_6(128)),
    Row("Mixed_6c",       (17, 17, 768),  figure_6(160)),
    Row("Mixed_6d",       (17, 17, 768),  figure_6(160)),
    Row("Mixed_6e",       (17, 17, 768),  figure_6(192)),
    Row("Mixed_7a",       (17, 17, 768),  FIGURE_10_AT_17),
    Row("Mixed_7b",       (8, 8, 1280),   FIGURE_7),
    Row("Mixed_7c",       (8, 8, 2048),   FIGURE_7),
)
# fmt: on


def conv(inputs: int, step: Conv, width: float) -> nn.Sequential:
    """Build a convolution without bias, batch norm and ReLU."""
    outputs = scale(step.filters, width)
    padding = (step.patch[0] // 2, step.patch[1] // 2) if step.padded else 0
    layer = nn.Conv2d(inputs, outputs, step.patch, step.stride, padding, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs, eps=1e-3), nn.ReLU(inplace=True))


def branch(inputs: int, steps: Branch, width: float, padding: Padding) -> tuple[nn.Sequential, int]:
    """Build a branch; return it with its channels."""
    layers: list[nn.Module] = []
    channels = inputs
    for step in steps:
        match step:
            case Conv():
                layers.append(conv(channels, step, width))
                channels = scale(step.filters, width)
            case Split():
                layers.append(Branches(*(conv(channels, each, width) for each in step.convs)))
                channels = sum(scale(each.filters, width) for each in step.convs)
            case Pool(kind="avg"):
                layers.append(nn.AvgPool2d(3, step.stride, 1, count_include_pad=padding == "symmetric"))
            case Pool():
                layers.append(nn.MaxPool2d(3, step.stride))
    return nn.Sequential(*layers), channels


class InceptionV3(Net):
    """Inception v3 without its auxiliary classifier. The paper has no width multiplier; here it scales every layer."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = spec.in_channels
        for row in TABLE_1:
            built = [branch(channels, steps, spec.width, spec.padding) for steps in row.branches]
            layers.append(built[0][0] if len(built) == 1 else Branches(*(module for module, _ in built)))
            channels = sum(outputs for _, outputs in built)
        self.features = nn.Sequential(*layers)
        dropout = 0.2 if spec.dropout is None else spec.dropout
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, spec.num_classes))
        initialize(self)


def build(spec: ModelSpec) -> InceptionV3:
    """Build the net."""
    return InceptionV3(spec)
