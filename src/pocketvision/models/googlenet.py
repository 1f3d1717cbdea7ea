"""Going deeper with convolutions.

Szegedy et al., 2014, https://arxiv.org/abs/1409.4842; settings the paper leaves open as in the reference release,
https://github.com/BVLC/caffe/tree/master/models/bvlc_googlenet
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from pocketvision.models.alexnet import keep_signal
from pocketvision.models.blocks import Net, initialize, scale
from pocketvision.values import ModelSpec

NAMES = ("googlenet",)
YEAR = 2014
IDEA = "filters of several sizes abreast"
NORMS = False
SMALLEST = 47  # leaves the last max pool one whole window
NARROWS = False  # local response norms mix neighboring channels


class Row(NamedTuple):
    """One line of Table 1 (its columns for parameters and operations left out)."""

    type: str
    patch_stride: tuple[int, int] | None
    output_size: tuple[int, int, int]
    depth: int
    n1x1: int = 0
    reduce_3x3: int = 0
    n3x3: int = 0
    reduce_5x5: int = 0
    n5x5: int = 0
    pool_proj: int = 0


# The two norms stand in figure 3 only.
# fmt: off
TABLE_1 = (
    Row("convolution",    (7, 2), (112, 112, 64), 1),
    Row("max pool",       (3, 2), (56, 56, 64),   0),
    Row("LocalRespNorm",  None,   (56, 56, 64),   0),
    Row("convolution",    (3, 1), (56, 56, 192),  2, 0,   64,  192),
    Row("LocalRespNorm",  None,   (56, 56, 192),  0),
    Row("max pool",       (3, 2), (28, 28, 192),  0),
    Row("inception (3a)", None,   (28, 28, 256),  2, 64,  96,  128, 16, 32,  32),
    Row("inception (3b)", None,   (28, 28, 480),  2, 128, 128, 192, 32, 96,  64),
    Row("max pool",       (3, 2), (14, 14, 480),  0),
    Row("inception (4a)", None,   (14, 14, 512),  2, 192, 96,  208, 16, 48,  64),
    Row("inception (4b)", None,   (14, 14, 512),  2, 160, 112, 224, 24, 64,  64),
    Row("inception (4c)", None,   (14, 14, 512),  2, 128, 128, 256, 24, 64,  64),
    Row("inception (4d)", None,   (14, 14, 528),  2, 112, 144, 288, 32, 64,  64),
    Row("inception (4e)", None,   (14, 14, 832),  2, 256, 160, 320, 32, 128, 128),
    Row("max pool",       (3, 2), (7, 7, 832),    0),
    Row("inception (5a)", None,   (7, 7, 832),    2, 256, 160, 320, 32, 128, 128),
    Row("inception (5b)", None,   (7, 7, 1024),   2, 384, 192, 384, 48, 128, 128),
    Row("avg pool",       (7, 1), (1, 1, 1024),   0),
    Row("dropout (40%)",  None,   (1, 1, 1024),   0),
    Row("linear",         None,   (1, 1, 1000),   1),
    Row("softmax",        None,   (1, 1, 1000),   0),
)
# fmt: on


class Branches(nn.Module):
    """Runs branches abreast on the same maps and joins their channels (figure 2b)."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return the channels of all branches, in order."""
        return torch.cat([branch(batch_nchw) for branch in self.branches], 1)


class MakeConv(Protocol):
    """Builds a convolution with what follows it; pads so that the output is ceil(input / stride)."""

    def __call__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
        """Return the layers."""
        ...


def biased(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Build a convolution with bias, and ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.ReLU(inplace=True))


def inception(inputs: int, row: Row, width: float, *, conv: MakeConv, wide: int) -> Branches:
    """Build a module with dimension reductions (figure 2b); `wide` is the side of the filters called 5x5."""
    n1x1, reduce_3x3, n3x3, reduce_5x5, n5x5, proj = (scale(channels, width) for channels in row[4:])
    return Branches(
        conv(inputs, n1x1, 1),
        nn.Sequential(conv(inputs, reduce_3x3, 1), conv(reduce_3x3, n3x3, 3)),
        nn.Sequential(conv(inputs, reduce_5x5, 1), conv(reduce_5x5, n5x5, wide)),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(inputs, proj, 1)),
    )


def joined(row: Row, width: float) -> int:
    """Return the channels of all branches together."""
    return sum(scale(channels, width) for channels in (row.n1x1, row.n3x3, row.n5x5, row.pool_proj))


class GoogLeNet(Net):
    """GoogLeNet without its auxiliary classifiers. The paper has no width multiplier; here it scales every layer."""

    def __init__(
        self,
        spec: ModelSpec,
        table: tuple[Row, ...] = TABLE_1,
        *,
        conv: MakeConv = biased,
        wide: int = 5,
        dropout: float = 0.4,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, width = spec.in_channels, spec.width
        for row in table:
            if row.type == "convolution" and row.patch_stride:
                if row.reduce_3x3:
                    layers.append(conv(channels, scale(row.reduce_3x3, width), 1))
                    channels = scale(row.reduce_3x3, width)
                layers.append(conv(channels, scale(row.output_size[2], width), *row.patch_stride))
                channels = scale(row.output_size[2], width)
            elif row.type == "max pool" and row.patch_stride:
                layers.append(nn.MaxPool2d(*row.patch_stride, ceil_mode=True))
            elif row.type == "LocalRespNorm":
                layers.append(nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0))
            elif row.type.startswith("inception"):
                layers.append(inception(channels, row, width, conv=conv, wide=wide))
                channels = joined(row, width)
        self.features = nn.Sequential(*layers)
        share = dropout if spec.dropout is None else spec.dropout
        self.classifier = nn.Sequential(nn.Dropout(share), nn.Linear(channels, spec.num_classes))
        initialize(self)
        keep_signal(self.features)


def build(spec: ModelSpec) -> GoogLeNet:
    """Build the net."""
    return GoogLeNet(spec)
