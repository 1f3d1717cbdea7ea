"""PP-LCNet: A Lightweight CPU Convolutional Neural Network.

Cui et al., 2021, https://arxiv.org/abs/2109.15099
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pocketvision.models.blocks import ConvNormAct, Net, SqueezeExcite, initialize, scale
from pocketvision.values import ModelSpec

NAMES = ("lcnet",)
YEAR = 2021
IDEA = "MobileNet V1 tuned for CPUs"
WIDTHS = (1.0, 0.75, 0.5)


class Row(NamedTuple):
    """One line of Table 1: square kernels, input and output as (size, channels)."""

    operator: str
    kernel: int
    stride: int
    input: tuple[int, int]
    output: tuple[int, int]
    se: bool


# fmt: off
TABLE_1 = (
    Row("Conv2D",       3, 2, (224, 3),   (112, 16),  False),
    Row("DepthSepConv", 3, 1, (112, 16),  (112, 32),  False),
    Row("DepthSepConv", 3, 2, (112, 32),  (56, 64),   False),
    Row("DepthSepConv", 3, 1, (56, 64),   (56, 64),   False),
    Row("DepthSepConv", 3, 2, (56, 64),   (28, 128),  False),
    Row("DepthSepConv", 3, 1, (28, 128),  (28, 128),  False),
    Row("DepthSepConv", 3, 2, (28, 128),  (14, 256),  False),
    *(
    Row("DepthSepConv", 5, 1, (14, 256),  (14, 256),  False),
    ) * 5,
    Row("DepthSepConv", 5, 2, (14, 256),  (7, 512),   True),
    Row("DepthSepConv", 5, 1, (7, 512),   (7, 512),   True),
    Row("GAP",          7, 1, (7, 512),   (1, 512),   False),
    Row("Conv2d, NBN",  1, 1, (1, 512),   (1, 1280),  False),
    Row("FC",           1, 1, (1, 1280),  (1, 1000),  False),
)
# fmt: on


class DepthSepConv(nn.Sequential):
    """Depthwise convolution, squeeze-excite where the table says so, pointwise convolution; no shortcut (Figure 2)."""

    def __init__(self, inputs: int, outputs: int, row: Row) -> None:
        depthwise = ConvNormAct(inputs, inputs, row.kernel, row.stride, groups=inputs, activation=nn.Hardswish)
        excite = [SqueezeExcite(inputs, inputs // 4, gate=nn.Hardsigmoid)] if row.se else []
        super().__init__(depthwise, *excite, ConvNormAct(inputs, outputs, 1, activation=nn.Hardswish))


class LCNet(Net):
    """PP-LCNet; channels are rounded to multiples of 8, the last 1x1 convolution keeps its 1280."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = spec.in_channels
        for row in TABLE_1[:-3]:
            outputs = scale(row.output[1], spec.width, 8)
            if row.operator == "Conv2D":
                layers.append(ConvNormAct(channels, outputs, row.kernel, row.stride, activation=nn.Hardswish))
            else:
                layers.append(DepthSepConv(channels, outputs, row))
            channels = outputs
        self.features = nn.Sequential(*layers)
        hidden = TABLE_1[-2].output[1]
        self.head = nn.Sequential(nn.Linear(channels, hidden), nn.Hardswish())
        dropout = 0.2 if spec.dropout is None else spec.dropout
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, spec.num_classes))
        initialize(self)

    def embed(self, batch_nchw: Tensor) -> Tensor:
        """Return [N, 1280]: pooled, and through the last 1x1 convolution."""
        pooled = torch.flatten(nn.functional.adaptive_avg_pool2d(self.features(batch_nchw), 1), 1)
        vector: Tensor = self.head(pooled)
        return vector


def build(spec: ModelSpec) -> LCNet:
    """Build the net."""
    return LCNet(spec)
