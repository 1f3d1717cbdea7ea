"""ImageNet classification with deep convolutional neural networks.

Krizhevsky et al., 2012, https://papers.nips.cc/paper/4824; settings the paper leaves open as in the reference release,
https://github.com/BVLC/caffe/tree/master/models/bvlc_alexnet
"""

from collections.abc import Callable
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.models.blocks import Net, initialize, scale
from pocketvision.values import ModelSpec

NAMES = ("alexnet",)
YEAR = 2012
IDEA = "deep convolutions, ReLU and dropout"
NORMS = False
SMALLEST = 199
NARROWS = False  # local response norms mix neighboring channels
# Deviates: the paper prints 224, which does not give its own 55x55 maps; the release's 227 does.
RESOLUTION = 227


class Row(NamedTuple):
    """One convolution of section 3.5: so many kernels of size height x width x depth, and what follows them."""

    layer: str
    kernels: int
    size: tuple[int, int, int]
    stride: int
    padding: int
    normalized: bool
    pooled: bool


# fmt: off
SECTION_3_5 = (
    Row("conv1", 96,  (11, 11, 3),  4, 0, True,  True),
    Row("conv2", 256, (5, 5, 48),   1, 2, True,  True),
    Row("conv3", 384, (3, 3, 256),  1, 1, False, False),
    Row("conv4", 384, (3, 3, 192),  1, 1, False, False),
    Row("conv5", 256, (3, 3, 192),  1, 1, False, True),
)
# fmt: on
MAP, HIDDEN = 6, 4096
"""Pixels a side that the fully connected layers take, and their neurons (section 3.5)."""


class FullyConnectedNet(Net):
    """Convolutions, then two hidden fully connected layers on maps of `side` pixels, then the classifier.

    The hidden layers belong to `embed`, so that a new classifier keeps them.
    """

    def __init__(self, spec: ModelSpec, features: nn.Sequential, *, channels: int, side: int) -> None:
        super().__init__()
        dropout, neurons = 0.5 if spec.dropout is None else spec.dropout, scale(HIDDEN, spec.width)
        self.features = features
        self.pool = nn.AdaptiveAvgPool2d(side)
        self.hidden = nn.Sequential(
            nn.Linear(channels * side * side, neurons),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(neurons, neurons),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(neurons, spec.num_classes))
        initialize(self)
        keep_signal(self.features)
        keep_signal(self.hidden)

    def embed(self, batch_nchw: Tensor) -> Tensor:
        """Return what the last hidden layer says: [N, C]."""
        hidden: Tensor = self.hidden(torch.flatten(self.pool(self.features(batch_nchw)), 1))
        return hidden


def keep_signal(layers: nn.Module) -> None:
    """Draw weights by the number of inputs: without batch norms, nothing else keeps the signal's size through ReLUs."""
    for layer in layers.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)


def require_map(spec: ModelSpec, side_of: Callable[[int], int], wanted: int) -> None:
    """Raise UsageError unless the last map, whose side `side_of` tells for a resolution, is a multiple of `wanted`."""
    side = side_of(spec.resolution)
    if side < wanted or side % wanted:
        raise UsageError(
            f"{spec.name} ends in fully connected layers on a map of {wanted}x{wanted} or a multiple of it; "
            f"{spec.resolution} pixels a side give {side}x{side}. These fit: {_fitting(side_of, wanted)}, and so on"
        )


def _fitting(side_of: Callable[[int], int], wanted: int) -> str:
    ranges: list[str] = []
    for side, same in groupby(range(64, 1024), side_of):
        if side >= wanted and side % wanted == 0:
            fits = list(same)
            ranges.append(f"{fits[0]} to {fits[-1]}")
    return ", ".join(ranges[:3])


class AlexNet(FullyConnectedNet):
    """AlexNet. The paper has no width multiplier; here it scales every layer, to whole groups."""

    def __init__(self, spec: ModelSpec, table: tuple[Row, ...] = SECTION_3_5, *, ceil: bool = True) -> None:
        require_map(spec, lambda resolution: map_side(table, resolution, ceil=ceil), MAP)
        layers: list[nn.Module] = []
        channels, before = spec.in_channels, table[0].size[2]
        for row, after in zip(table, (*table[1:], None), strict=True):
            # The paper's two towers on two GPUs: where a kernel is half as deep as its input, it sees one half.
            groups = before // row.size[2]
            next_groups = row.kernels // after.size[2] if after else 1
            outputs = scale(row.kernels, spec.width, 2 if 2 in (groups, next_groups) else None)
            conv = nn.Conv2d(channels, outputs, row.size[:2], row.stride, row.padding, groups=groups)
            layers += [conv, nn.ReLU(inplace=True)]
            if row.normalized:
                # Deviates: k is the release's 1, not the paper's 2, and alpha is divided by the size, so that
                # published weights give their published answers.
                layers.append(nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0))
            if row.pooled:
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=ceil))
            channels, before = outputs, row.kernels
        super().__init__(spec, nn.Sequential(*layers), channels=channels, side=MAP)


def map_side(table: tuple[Row, ...], resolution: int, *, ceil: bool) -> int:
    """Return the pixels a side of the last map."""
    side = resolution
    for row in table:
        side = (side + 2 * row.padding - row.size[0]) // row.stride + 1
        if row.pooled:
            side = (side - 3 + ceil) // 2 + 1
    return side


def build(spec: ModelSpec) -> AlexNet:
    """Build the net."""
    return AlexNet(spec)
