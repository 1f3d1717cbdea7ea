"""ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices.

Zhang et al., 2017, https://arxiv.org/abs/1707.01083; stems as in the authors' release,
https://github.com/megvii-model/ShuffleNet-Series
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.models.blocks import ChannelShuffle, ConvNormAct, Net, SqueezeExcite, initialize, scale
from pocketvision.values import ModelSpec

NAMES = ("shufflenet_v1", "shufflenet_v1_shallow", "shufflenet_v1_se")
YEAR = 2017
IDEA = "grouped 1x1 convolutions, channels shuffled"
IDEAS = (
    ("shufflenet_v1_shallow", "ShuffleNet without part of stage 3"),
    ("shufflenet_v1_se", "ShuffleNet with squeeze-excite"),
)
WIDTHS = (2.0, 1.5, 1.0, 0.5, 0.25)
GROUPS = (3, 1, 2, 4, 8)


class Row(NamedTuple):
    """One line of Table 1; the output channels under g = 1, 2, 3, 4 and 8 groups."""

    layer: str
    output_size: int
    ksize: int | None
    stride: int | None
    repeat: int | None
    output_channels: tuple[int, int, int, int, int] | None


class Stem(NamedTuple):
    """Channels of Conv1 in ShuffleNet s x, under g = 1, 2, 3, 4 and 8 groups."""

    s: float
    output_channels: tuple[int, int, int, int, int]


# fmt: off
COLUMNS = (1, 2, 3, 4, 8)
TABLE_1 = (
    Row("Conv1",      112, 3,    2,    1,    (24,   24,   24,   24,   24)),
    Row("MaxPool",    56,  3,    2,    None, None),
    Row("Stage2",     28,  None, 2,    1,    (144,  200,  240,  272,  384)),
    Row("Stage2",     28,  None, 1,    3,    (144,  200,  240,  272,  384)),
    Row("Stage3",     14,  None, 2,    1,    (288,  400,  480,  544,  768)),
    Row("Stage3",     14,  None, 1,    7,    (288,  400,  480,  544,  768)),
    Row("Stage4",     7,   None, 2,    1,    (576,  800,  960,  1088, 1536)),
    Row("Stage4",     7,   None, 1,    3,    (576,  800,  960,  1088, 1536)),
    Row("GlobalPool", 1,   7,    None, None, None),
    Row("FC",         1,   None, None, None, (1000, 1000, 1000, 1000, 1000)),
)
COMPLEXITY = (143, 140, 137, 133, 137)  # in millions; these leave out FC, those of Table 5 do not
# Deviates: Conv1 is not always s times 24. At 1.5x and 2x, and with 3 or 8 groups at 0.5x, it is that of the authors'
# release; at 1.5x Table 5's 292M hold only for 24. At 0.25x six channels would cost 11M, not the 13M of Table 2;
# twelve cost 13.2M to 13.4M. With 8 groups the concatenation needs a multiple of 8, and eight channels come nearest.
STEMS = (
    Stem(2.0,  (48, 48, 48, 48, 48)),
    Stem(1.5,  (24, 24, 24, 24, 24)),
    Stem(1.0,  (24, 24, 24, 24, 24)),
    Stem(0.5,  (12, 12, 12, 12, 16)),
    Stem(0.25, (12, 12, 12, 12, 8)),
)
# fmt: on
TABLE_2_SCALES = (1.0, 0.5, 0.25)
"""The scales that Table 2 prints for every number of groups."""


class ShuffleUnit(nn.Module):
    """Grouped 1x1 to a bottleneck, channel shuffle, depthwise 3x3, grouped 1x1 (Figure 2 b and c).

    At stride 1 the input is added; at stride 2 it is pooled and put behind the channels that the unit makes, which are
    only those missing. The figure leaves their order open; this is the one of pytorchcv's weights.
    """

    def __init__(
        self, inputs: int, outputs: int, bottleneck: int, *, stride: int, groups: int, first: bool, excite: bool
    ) -> None:
        super().__init__()
        made = outputs - inputs if stride == 2 else outputs
        # Stage 2 starts without groups: its input has too few channels (section 3.3).
        layers: list[nn.Module] = [
            ConvNormAct(inputs, bottleneck, 1, groups=1 if first else groups, activation=nn.ReLU),
            ConvNormAct(bottleneck, bottleneck, 3, stride, groups=bottleneck, activation=None),
            ConvNormAct(bottleneck, made, 1, groups=groups, activation=None),
        ]
        if groups > 1:
            layers.insert(1, ChannelShuffle(groups))
        if excite:
            layers.append(SqueezeExcite(made, max(1, made // 16)))
        self.layers = nn.Sequential(*layers)
        self.pool = nn.AvgPool2d(3, 2, 1) if stride == 2 else None
        self.activation = nn.ReLU()

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return [N, outputs, ceil(H / stride), ceil(W / stride)]."""
        made = self.layers(batch_nchw)
        joined = batch_nchw + made if self.pool is None else torch.cat([made, self.pool(batch_nchw)], 1)
        out: Tensor = self.activation(joined)
        return out


class ShuffleNetV1(Net):
    """ShuffleNet s x with g groups (section 3.3); s is the width.

    `_shallow` keeps half of the units of each stage, 26 layers in all (section 4.3). Table 5 calls its own "0.5x",
    with 40M multiply-adds, without its channels; such a net costs 21.6M at 0.5x, and 39.8M at 0.7x.
    `_se` weighs the channels that each unit makes (Table 5).

    Deviates: the paper does not give squeeze-and-excitation's reduction; SENet's own 16 costs 526.5M, printed 527M.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        groups = spec.groups or GROUPS[0]
        check(spec, groups)
        column = COLUMNS.index(groups)
        shallow, excite = spec.name.endswith("_shallow"), spec.name.endswith("_se")
        layers: list[nn.Module] = []
        channels = spec.in_channels
        for row in TABLE_1[:-2]:
            if row.layer == "Conv1":
                layers.append(ConvNormAct(channels, stem(spec.width, groups), 3, 2, activation=nn.ReLU))
                channels = stem(spec.width, groups)
            elif row.layer == "MaxPool":
                layers.append(nn.MaxPool2d(3, 2, 1))
            elif row.output_channels and row.stride and row.repeat:
                outputs = scale(row.output_channels[column], spec.width)
                bottleneck = scale(row.output_channels[column] // 4, spec.width, groups)
                for _ in range(row.repeat // 2 if shallow and row.stride == 1 else row.repeat):
                    first = len(layers) == 2
                    layers.append(
                        ShuffleUnit(
                            channels, outputs, bottleneck, stride=row.stride, groups=groups, first=first, excite=excite
                        )
                    )
                    channels = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(spec.dropout or 0.0), nn.Linear(channels, spec.num_classes))
        initialize(self)


def stem(width: float, groups: int) -> int:
    """Return the channels of Conv1 at a scale s, which is the width.

    Deviates: where neither paper nor release tells them, s times 24 is rounded to a multiple of the groups.
    """
    told = [row.output_channels for row in STEMS if row.s == width]
    return told[0][COLUMNS.index(groups)] if told else scale(24, width, groups)


def defined(width: float, groups: int) -> bool:
    """Tell whether the paper says what the net at this scale is: every group gets a whole number of channels.

    Deviates: for the scales of Table 2 the bottleneck is rounded to a multiple of the groups where s times it is none
    (0.5x and 0.25x with 2 and with 4 groups).
    """
    assert TABLE_1[2].output_channels is not None
    # Stages 3 and 4 double stage 2, and four bottlenecks make an output.
    bottleneck = TABLE_1[2].output_channels[COLUMNS.index(groups)] // 4
    return width in TABLE_2_SCALES or scale(bottleneck, width, groups) == round(bottleneck * width, 6)


def check(spec: ModelSpec, groups: int) -> None:
    """Raise UsageError where the paper does not define the net, with what it does define."""
    if not defined(spec.width, groups):
        widths = ", ".join(f"{width:g}" for width in WIDTHS if defined(width, groups))
        raise UsageError(
            f"ShuffleNet {spec.width:g}x with groups {groups} is not defined by its paper: its channels do not divide "
            f"evenly. Defined with groups {groups}: the widths {widths}, and others at which they do"
        )


def build(spec: ModelSpec) -> ShuffleNetV1:
    """Build the net; raises UsageError for widths and groups that the paper does not define together."""
    return ShuffleNetV1(spec)
