"""EffNet: An Efficient Structure for Convolutional Neural Networks.

Freeman et al., 2018, https://arxiv.org/abs/1801.06434; with the nets it is compared with on CIFAR-10
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.models.blocks import ChannelShuffle, Net, initialize, scale
from pocketvision.values import ModelSpec

NAMES = ("effnet", "effnet_baseline", "effnet_mobilenet", "effnet_shufflenet")
YEAR = 2018
IDEA = "depthwise convolutions split, pooled apart"
IDEAS = (
    ("effnet_baseline", "full convolutions, EffNet's yardstick"),
    ("effnet_mobilenet", "MobileNet blocks on EffNet's plan"),
    ("effnet_shufflenet", "ShuffleNet units on EffNet's plan"),
)
RESOLUTION = 32
SMALLEST = 8

Size = tuple[int, int]


class Row(NamedTuple):
    """One layer of the CIFAR-10 nets: what it is, kernel and stride (height, width), output channels, groups."""

    layer: str
    kernel: Size
    stride: Size
    output_channels: int | None
    groups: int = 1


# The paper's last convolution of a block has the stride that corresponds to its kernel. Many ports give it a 2x1
# kernel with stride (1, 2), which costs the same but never looks at every other column.
# fmt: off
EFFNET = (
    (
        Row("conv", (1, 1), (1, 1), 32),
        Row("dw",   (1, 3), (1, 1), None),
        Row("pool", (2, 1), (2, 1), None),
        Row("dw",   (3, 1), (1, 1), None),
        Row("conv", (1, 2), (1, 2), 64),
    ),
    (
        Row("conv", (1, 1), (1, 1), 64),
        Row("dw",   (1, 3), (1, 1), None),
        Row("pool", (2, 1), (2, 1), None),
        Row("dw",   (3, 1), (1, 1), None),
        Row("conv", (1, 2), (1, 2), 128),
    ),
    (
        Row("conv", (1, 1), (1, 1), 128),
        Row("dw",   (1, 3), (1, 1), None),
        Row("pool", (2, 1), (2, 1), None),
        Row("dw",   (3, 1), (1, 1), None),
        Row("conv", (1, 2), (1, 2), 256),
    ),
)
FIRST = (Row("conv", (3, 3), (1, 1), 64), Row("pool", (2, 2), (2, 2), None))
BASELINE = (
    FIRST,
    (Row("conv", (3, 3), (1, 1), 128), Row("pool", (2, 2), (2, 2), None)),
    (Row("conv", (3, 3), (1, 1), 256), Row("pool", (2, 2), (2, 2), None)),
)
MOBILENET = (
    FIRST,
    (Row("dw", (3, 3), (2, 2), None), Row("conv", (1, 1), (1, 1), 128)),
    (Row("dw", (3, 3), (2, 2), None), Row("conv", (1, 1), (1, 1), 256)),
)
SHUFFLENET = (
    FIRST,
    (
        Row("conv",    (1, 1), (1, 1), 32, 4),
        Row("shuffle", (1, 1), (1, 1), None, 4),
        Row("dw",      (3, 3), (2, 2), None),
        Row("conv",    (1, 1), (1, 1), 128, 4),
    ),
    (
        Row("conv",    (1, 1), (1, 1), 64, 4),
        Row("shuffle", (1, 1), (1, 1), None, 4),
        Row("dw",      (3, 3), (2, 2), None),
        Row("conv",    (1, 1), (1, 1), 256, 4),
    ),
)
# fmt: on
TABLES = dict(zip(NAMES, (EFFNET, BASELINE, MOBILENET, SHUFFLENET), strict=True))
SHRINKS = 8
"""Every net halves its maps three times."""


class ConvActNorm(nn.Sequential):
    """Convolution without bias, leaky ReLU, then batch norm: in this order."""

    def __init__(self, inputs: int, outputs: int, row: Row, groups: int) -> None:
        # Odd sides are padded to keep the size; the 1x2 convolution strides over pairs and needs none.
        padding = (row.kernel[0] // 2 if row.kernel[0] % 2 else 0, row.kernel[1] // 2 if row.kernel[1] % 2 else 0)
        super().__init__(
            nn.Conv2d(inputs, outputs, row.kernel, row.stride, padding, groups=groups, bias=False),
            nn.LeakyReLU(0.3),
            nn.BatchNorm2d(outputs),
        )


class EffNet(Net):
    """EffNet, or one of its rivals, for CIFAR-10; the maps are flattened, so a net is built for one resolution.

    Deviates: the paper has no width multiplier; here it scales every layer, to a multiple of 4 where groups need it.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        if spec.resolution % SHRINKS:
            raise UsageError(
                f"{spec.name} halves its maps three times and flattens them: its resolution must be a multiple of "
                f"{SHRINKS}, not {spec.resolution}"
            )
        table = TABLES[spec.name]
        divisor = max(row.groups for block in table for row in block)
        channels = spec.in_channels
        blocks: list[nn.Module] = []
        for block in table:
            layers: list[nn.Module] = []
            for row in block:
                outputs = scale(row.output_channels, spec.width, divisor) if row.output_channels else channels
                layers.append(_layer(row, channels, outputs))
                channels = outputs
            blocks.append(nn.Sequential(*layers))
        self.features = nn.Sequential(*blocks)
        pixels = (spec.resolution // SHRINKS) ** 2
        dropout = nn.Dropout(spec.dropout or 0.0)
        self.classifier = nn.Sequential(dropout, nn.Linear(channels * pixels, spec.num_classes))
        initialize(self)

    def embed(self, batch_nchw: Tensor) -> Tensor:
        """Return the flattened maps [N, C * h * w], at the resolution the net was built for."""
        return torch.flatten(self.features(batch_nchw), 1)


def _layer(row: Row, inputs: int, outputs: int) -> nn.Module:
    if row.layer == "pool":
        return nn.MaxPool2d(row.kernel, row.stride)
    if row.layer == "shuffle":
        return ChannelShuffle(row.groups)
    return ConvActNorm(inputs, outputs, row, groups=inputs if row.layer == "dw" else row.groups)


def build(spec: ModelSpec) -> EffNet:
    """Build the net; raises UsageError for a resolution that its strides do not divide."""
    return EffNet(spec)
