"""ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design.

Ma et al., 2018, https://arxiv.org/abs/1807.11164
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pocketvision.models.blocks import ChannelShuffle, ChannelSlice, ConvNormAct, Net, initialize, scale
from pocketvision.values import ModelSpec

NAMES = ("shufflenet_v2",)
YEAR = 2018
IDEA = "split the channels, shuffle, few branches"
WIDTHS = (2.0, 1.5, 1.0, 0.5)


class Row(NamedTuple):
    """One line of Table 5; the output channels under 0.5x, 1x, 1.5x and 2x."""

    layer: str
    output_size: int
    ksize: int | None
    stride: int | None
    repeat: int | None
    output_channels: tuple[int, int, int, int] | None


# fmt: off
COLUMNS = (0.5, 1.0, 1.5, 2.0)
TABLE_5 = (
    Row("Conv1",      112, 3,    2,    1,    (24,   24,   24,   24)),
    Row("MaxPool",    56,  3,    2,    1,    (24,   24,   24,   24)),
    Row("Stage2",     28,  None, 2,    1,    (48,   116,  176,  244)),
    Row("Stage2",     28,  None, 1,    3,    (48,   116,  176,  244)),
    Row("Stage3",     14,  None, 2,    1,    (96,   232,  352,  488)),
    Row("Stage3",     14,  None, 1,    7,    (96,   232,  352,  488)),
    Row("Stage4",     7,   None, 2,    1,    (192,  464,  704,  976)),
    Row("Stage4",     7,   None, 1,    3,    (192,  464,  704,  976)),
    Row("Conv5",      7,   1,    1,    1,    (1024, 1024, 1024, 2048)),
    Row("GlobalPool", 1,   7,    None, None, None),
    Row("FC",         1,   None, None, None, (1000, 1000, 1000, 1000)),
)
# fmt: on


class ShuffleUnit(nn.Module):
    """Half of the channels pass by, half go through 1x1, depthwise 3x3, 1x1; then both are shuffled (Figure 3 c)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.passed = ChannelSlice(0, half)
        self.taken = ChannelSlice(half, channels)
        self.main = _main(half, half, stride=1)
        self.shuffle = ChannelShuffle(2)

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return the same shape."""
        out: Tensor = self.shuffle(torch.cat([self.passed(batch_nchw), self.main(self.taken(batch_nchw))], 1))
        return out


class DownsamplingUnit(nn.Module):
    """Both branches read all channels and halve the maps, so that the channels grow to `outputs` (Figure 3 d)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(
            ConvNormAct(inputs, inputs, 3, 2, groups=inputs, activation=None),
            ConvNormAct(inputs, outputs // 2, 1, activation=nn.ReLU),
        )
        self.main = _main(inputs, outputs // 2, stride=2)
        self.shuffle = ChannelShuffle(2)

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return [N, outputs, ceil(H / 2), ceil(W / 2)]."""
        out: Tensor = self.shuffle(torch.cat([self.shortcut(batch_nchw), self.main(batch_nchw)], 1))
        return out


def _main(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        ConvNormAct(inputs, outputs, 1, activation=nn.ReLU),
        ConvNormAct(outputs, outputs, 3, stride, groups=outputs, activation=None),
        ConvNormAct(outputs, outputs, 1, activation=nn.ReLU),
    )


class ShuffleNetV2(Net):
    """ShuffleNet V2; the widths of Table 5 are exact.

    Deviates: the paper has no rule for other widths. Here they take the next narrower net of Table 5 (below 0.5x that
    one) and scale its stages to even numbers; the first and last convolution stay.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        column = max((index for index, width in enumerate(COLUMNS) if width <= spec.width), default=0)
        width = spec.width / COLUMNS[column]
        layers: list[nn.Module] = []
        channels = spec.in_channels
        for row in TABLE_5[:-2]:
            assert row.output_channels is not None
            outputs = row.output_channels[column]
            if row.layer.startswith("Conv") and row.ksize and row.stride:
                layers.append(ConvNormAct(channels, outputs, row.ksize, row.stride, activation=nn.ReLU))
            elif row.layer == "MaxPool":
                layers.append(nn.MaxPool2d(3, 2, 1))
            else:
                outputs = scale(outputs, width, 2)
                units = [ShuffleUnit(outputs) if row.stride == 1 else DownsamplingUnit(channels, outputs)]
                layers += units + [ShuffleUnit(outputs) for _ in range((row.repeat or 1) - 1)]
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(spec.dropout or 0.0), nn.Linear(channels, spec.num_classes))
        initialize(self)


def build(spec: ModelSpec) -> ShuffleNetV2:
    """Build the net."""
    return ShuffleNetV2(spec)
