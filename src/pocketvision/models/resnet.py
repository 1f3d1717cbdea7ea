"""Deep residual learning for image recognition.

He et al., 2015, https://arxiv.org/abs/1512.03385
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from pocketvision.models.blocks import ConvNormAct, Net, initialize, scale
from pocketvision.values import ModelSpec

NAMES = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnet50_paper",
    "resnet101_paper",
    "resnet152_paper",
)
YEAR = 2015
IDEA = "shortcuts around every few layers"
IDEAS = (
    ("resnet50_paper", "stride in the first 1x1"),
    ("resnet101_paper", "stride in the first 1x1"),
    ("resnet152_paper", "stride in the first 1x1"),
)
IDEAS = (
    ("resnet50_paper", "stride on the first 1x1"),
    ("resnet101_paper", "stride on the first 1x1"),
    ("resnet152_paper", "stride on the first 1x1"),
)


class Cell(NamedTuple):
    """One cell of Table 1: the convolutions (side, channels) of a unit, and how many units."""

    convs: tuple[tuple[int, int], ...]
    units: int


class Row(NamedTuple):
    """One line of Table 1 from conv2_x on: output size, then a column for each depth."""

    layer_name: str
    output_size: int
    layers_18: Cell
    layers_34: Cell
    layers_50: Cell
    layers_101: Cell
    layers_152: Cell


def _basic(channels: int, *units: int) -> tuple[Cell, ...]:
    return tuple(Cell(((3, channels), (3, channels)), count) for count in units)


def _bottleneck(middle: int, outputs: int, *units: int) -> tuple[Cell, ...]:
    return tuple(Cell(((1, middle), (3, middle), (1, outputs)), count) for count in units)


# fmt: off
CONV1 = 64  # 7x7, stride 2; then a 3x3 max pool, stride 2
TABLE_1 = (
    Row("conv2_x", 56, *_basic(64,  2, 3), *_bottleneck(64,  256,  3, 3,  3)),
    Row("conv3_x", 28, *_basic(128, 2, 4), *_bottleneck(128, 512,  4, 4,  8)),
    Row("conv4_x", 14, *_basic(256, 2, 6), *_bottleneck(256, 1024, 6, 23, 36)),
    Row("conv5_x", 7,  *_basic(512, 2, 3), *_bottleneck(512, 2048, 3, 3,  3)),
)
# fmt: on


class Conv(NamedTuple):
    """A convolution of a unit; channels already scaled."""

    side: int
    channels: int
    stride: int = 1
    groups: int = 1


class Unit(nn.Module):
    """Convolutions with a shortcut around them, which is a projection where shapes differ (option B)."""

    def __init__(self, inputs: int, convs: Sequence[Conv]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, stride = inputs, 1
        for place, conv in enumerate(convs, 1):
            activation = nn.ReLU if place < len(convs) else None
            layers.append(
                ConvNormAct(channels, conv.channels, conv.side, conv.stride, groups=conv.groups, activation=activation)
            )
            channels, stride = conv.channels, stride * conv.stride
        self.main = nn.Sequential(*layers)
        same = stride == 1 and channels == inputs
        self.shortcut = nn.Identity() if same else ConvNormAct(inputs, channels, 1, stride, activation=None)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return [N, channels, H / stride, W / stride]."""
        out: Tensor = self.activation(self.main(batch_nchw) + self.shortcut(batch_nchw))
        return out


class ResNet(Net):
    """A stem, residual units, global average, linear: the frame of ResNet and ResNeXt.

    The papers have no width multiplier; here it scales every layer.
    """

    def __init__(self, spec: ModelSpec, units: Sequence[Sequence[Conv]]) -> None:
        super().__init__()
        channels = scale(CONV1, spec.width)
        stem = ConvNormAct(spec.in_channels, channels, 7, 2, activation=nn.ReLU)
        layers: list[nn.Module] = [stem, nn.MaxPool2d(3, 2, 1)]
        for convs in units:
            layers.append(Unit(channels, convs))
            channels = convs[-1].channels
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(spec.dropout or 0.0), nn.Linear(channels, spec.num_classes))
        initialize(self)


def build(spec: ModelSpec) -> ResNet:
    """Build the net.

    Deviates: a unit that halves the maps does so in its 3x3 convolution, as common weights do; the names that end in
    `_paper` do it in the first 1x1, as the paper's and Keras' nets (3.86 instead of 4.09 billion MACs for 50 layers).
    """
    depth, _, paper = spec.name.removeprefix("resnet").partition("_")
    units: list[list[Conv]] = []
    for row in TABLE_1:
        cell: Cell = getattr(row, f"layers_{depth}")
        halving = 0 if paper else [side for side, _ in cell.convs].index(3)
        for unit in range(cell.units):
            strided = unit == 0 and row is not TABLE_1[0]
            units.append(
                [
                    Conv(side, scale(channels, spec.width), 2 if strided and place == halving else 1)
                    for place, (side, channels) in enumerate(cell.convs)
                ]
            )
    return ResNet(spec, units)
