"""MnasNet: Platform-Aware Neural Architecture Search for Mobile.

Tan et al., 2019, https://arxiv.org/abs/1807.11626; B1 and small as released by the authors,
https://github.com/tensorflow/tpu/tree/master/models/official/mnasnet
"""

from functools import partial
from typing import NamedTuple

from torch import nn

from pocketvision.models.blocks import ConvNormAct, InvertedResidual, Net, SqueezeExcite, initialize, scale
from pocketvision.values import ModelSpec

NAMES = ("mnasnet_a1", "mnasnet_b1", "mnasnet_small")
YEAR = 2019
IDEA = "searched for latency on phones"
IDEAS = (
    ("mnasnet_b1", "searched for latency, no squeeze-excite"),
    ("mnasnet_small", "searched for smaller budgets"),
)
WIDTHS = (1.4, 1.3, 1.0, 0.75, 0.5, 0.35)
PADDINGS = ("symmetric", "same")


class Row(NamedTuple):
    """One run of blocks under the letters of the authors' release: r blocks with kernel k, of which the first has
    stride s, expansion e, inputs i and outputs o; `se` is the share of i that squeeze and excitation keeps.

    Expansion 1 is the SepConv of the paper's Figure 7, which has no shortcut there.
    """

    r: int
    k: int
    s: int
    e: int
    i: int
    o: int
    se: float | None = None
    skip: bool = True


# fmt: off
FIGURE_7 = (
    Row(1, 3, 1, 1, 32,  16,  skip=False),
    Row(2, 3, 2, 6, 16,  24),
    Row(3, 5, 2, 3, 24,  40,  se=0.25),
    Row(4, 3, 2, 6, 40,  80),
    Row(2, 3, 1, 6, 80,  112, se=0.25),
    Row(3, 5, 2, 6, 112, 160, se=0.25),
    Row(1, 3, 1, 6, 160, 320),
)
RELEASE_B1 = (
    Row(1, 3, 1, 1, 32,  16,  skip=False),
    Row(3, 3, 2, 3, 16,  24),
    Row(3, 5, 2, 3, 24,  40),
    Row(3, 5, 2, 6, 40,  80),
    Row(2, 3, 1, 6, 80,  96),
    Row(4, 5, 2, 6, 96,  192),
    Row(1, 3, 1, 6, 192, 320, skip=False),
)
RELEASE_SMALL = (
    # Deviates: the release writes i = 16 although its stem gives 8; with 8 there is a shortcut, as in timm's weights.
    Row(1, 3, 1, 1, 8,   8),
    Row(1, 3, 2, 3, 8,   16),
    Row(2, 3, 2, 6, 16,  16),
    Row(4, 5, 2, 6, 16,  32,  se=0.25),
    Row(3, 3, 1, 6, 32,  32,  se=0.25),
    Row(3, 5, 2, 6, 32,  88,  se=0.25),
    Row(1, 3, 1, 6, 88,  144),
)
# fmt: on
LAST = 1280
"""Outputs of the last 1x1 convolution, at every width."""


class MnasNet(Net):
    """MnasNet; all channels but the last 1x1 convolution's are rounded to multiples of 8, the stem's too."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        rows = {"mnasnet_a1": FIGURE_7, "mnasnet_b1": RELEASE_B1, "mnasnet_small": RELEASE_SMALL}[spec.name]
        layer = partial(ConvNormAct, activation=nn.ReLU, padding=spec.padding)
        channels = scale(rows[0].i, spec.width, 8)
        layers: list[nn.Module] = [layer(spec.in_channels, channels, 3, 2)]
        for row in rows:
            outputs = scale(row.o, spec.width, 8)
            for repeat in range(row.r):
                layers.append(_block(row, channels, outputs, row.s if repeat == 0 else 1, layer))
                channels = outputs
        self.features = nn.Sequential(*layers, layer(channels, LAST, 1))
        usual = 0.0 if spec.name == "mnasnet_small" else 0.2
        self.classifier = nn.Sequential(
            nn.Dropout(usual if spec.dropout is None else spec.dropout), nn.Linear(LAST, spec.num_classes)
        )
        initialize(self)


def _block(row: Row, inputs: int, outputs: int, stride: int, layer: partial[ConvNormAct]) -> InvertedResidual:
    hidden = inputs * row.e
    excite = SqueezeExcite(hidden, scale(inputs, row.se)) if row.se else None
    block = InvertedResidual(inputs, outputs, hidden=hidden, kernel=row.k, stride=stride, layer=layer, excite=excite)
    block.shortcut = block.shortcut and row.skip
    return block


def build(spec: ModelSpec) -> MnasNet:
    """Build the net."""
    return MnasNet(spec)
