"""Searching for MobileNetV3.

Howard et al., 2019, https://arxiv.org/abs/1905.02244; the minimalistic twins as released by the authors,
https://github.com/tensorflow/models/tree/master/research/slim/nets/mobilenet
"""

from functools import partial
from typing import Literal, NamedTuple

from torch import nn

from pocketvision.models.blocks import ConvNormAct, InvertedResidual, Net, SqueezeExcite, initialize, scale
from pocketvision.values import ModelSpec

NAMES = (
    "mobilenet_v3_large",
    "mobilenet_v3_large_minimalistic",
    "mobilenet_v3_small",
    "mobilenet_v3_small_minimalistic",
)
YEAR = 2019
IDEA = "searched bottlenecks, squeeze-excite, hard swish"
IDEAS = (
    ("mobilenet_v3_large_minimalistic", "MobileNetV3 with plain 3x3, ReLU"),
    ("mobilenet_v3_small_minimalistic", "MobileNetV3 with plain 3x3, ReLU"),
)
WIDTHS = (1.0, 0.75, 0.5)
PADDINGS = ("symmetric", "same")


class Row(NamedTuple):
    """One line of Table 1 or 2; SE is squeeze and excitation, NL the nonlinearity: ReLU or hard swish, s the stride."""

    input: tuple[int, int]
    operator: Literal["conv2d", "bneck", "pool", "conv2d NBN"]
    kernel: int
    exp_size: int | None
    out: int
    se: bool
    nl: Literal["RE", "HS"] | None
    s: int


# fmt: off
TABLE_1 = (
    Row((224, 3),    "conv2d",     3, None, 16,   False, "HS", 2),
    Row((112, 16),   "bneck",      3, 16,   16,   False, "RE", 1),
    Row((112, 16),   "bneck",      3, 64,   24,   False, "RE", 2),
    Row((56, 24),    "bneck",      3, 72,   24,   False, "RE", 1),
    Row((56, 24),    "bneck",      5, 72,   40,   True,  "RE", 2),
    Row((28, 40),    "bneck",      5, 120,  40,   True,  "RE", 1),
    Row((28, 40),    "bneck",      5, 120,  40,   True,  "RE", 1),
    Row((28, 40),    "bneck",      3, 240,  80,   False, "HS", 2),
    Row((14, 80),    "bneck",      3, 200,  80,   False, "HS", 1),
    Row((14, 80),    "bneck",      3, 184,  80,   False, "HS", 1),
    Row((14, 80),    "bneck",      3, 184,  80,   False, "HS", 1),
    Row((14, 80),    "bneck",      3, 480,  112,  True,  "HS", 1),
    Row((14, 112),   "bneck",      3, 672,  112,  True,  "HS", 1),
    Row((14, 112),   "bneck",      5, 672,  160,  True,  "HS", 2),
    Row((7, 160),    "bneck",      5, 960,  160,  True,  "HS", 1),
    Row((7, 160),    "bneck",      5, 960,  160,  True,  "HS", 1),
    Row((7, 160),    "conv2d",     1, None, 960,  False, "HS", 1),
    Row((7, 960),    "pool",       7, None, 960,  False, None, 1),
    Row((1, 960),    "conv2d NBN", 1, None, 1280, False, "HS", 1),
    Row((1, 1280),   "conv2d NBN", 1, None, 1000, False, None, 1),
)
TABLE_2 = (
    Row((224, 3),    "conv2d",     3, None, 16,   False, "HS", 2),
    Row((112, 16),   "bneck",      3, 16,   16,   True,  "RE", 2),
    Row((56, 16),    "bneck",      3, 72,   24,   False, "RE", 2),
    Row((28, 24),    "bneck",      3, 88,   24,   False, "RE", 1),
    Row((28, 24),    "bneck",      5, 96,   40,   True,  "HS", 2),
    Row((14, 40),    "bneck",      5, 240,  40,   True,  "HS", 1),
    Row((14, 40),    "bneck",      5, 240,  40,   True,  "HS", 1),
    Row((14, 40),    "bneck",      5, 120,  48,   True,  "HS", 1),
    Row((14, 48),    "bneck",      5, 144,  48,   True,  "HS", 1),
    Row((14, 48),    "bneck",      5, 288,  96,   True,  "HS", 2),
    Row((7, 96),     "bneck",      5, 576,  96,   True,  "HS", 1),
    Row((7, 96),     "bneck",      5, 576,  96,   True,  "HS", 1),
    # Deviates: the paper ticks SE here too; the authors' released net and every weight file go without.
    Row((7, 96),     "conv2d",     1, None, 576,  False, "HS", 1),
    Row((7, 576),    "pool",       7, None, 576,  False, None, 1),
    Row((1, 576),    "conv2d NBN", 1, None, 1024, False, "HS", 1),
    Row((1, 1024),   "conv2d NBN", 1, None, 1000, False, None, 1),
)
# fmt: on


def minimalistic(row: Row) -> Row:
    """Return the row as the authors' minimalistic nets have it: 3x3, ReLU, no squeeze and excitation."""
    return row._replace(kernel=min(row.kernel, 3), se=False, nl="RE" if row.nl else None)


class MobileNetV3(Net):
    """MobileNetV3; channels are rounded to multiples of 8, and an expansion keeps the table's ratio to its input.

    Below width 1 the first convolution and the last hidden layer stay as wide as in the table (the authors' release).
    Deviates: dropout 0.2 for the paper's 0.8, which is the share that the authors' code keeps; batch norm at
    PyTorch's momentum, and no weight averaging.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        rows: tuple[Row, ...] = TABLE_2 if "small" in spec.name else TABLE_1
        rows = tuple(map(minimalistic, rows)) if spec.name.endswith("minimalistic") else rows
        widened = max(1.0, spec.width)
        layers: list[nn.Module] = []
        channels = spec.in_channels
        for row in rows[:-3]:
            layer = partial(ConvNormAct, activation=_nonlinearity(row), padding=spec.padding)
            ratio = channels / row.input[1]
            if row.operator == "bneck":
                assert row.exp_size is not None
                hidden, outputs = scale(row.exp_size, ratio, 8), scale(row.out, spec.width, 8)
                excite = SqueezeExcite(hidden, scale(hidden, 0.25, 8), gate=nn.Hardsigmoid) if row.se else None
                layers.append(
                    InvertedResidual(
                        channels, outputs, hidden=hidden, kernel=row.kernel, stride=row.s, layer=layer, excite=excite
                    )
                )
            else:
                outputs = scale(row.out, widened if row.kernel == 3 else ratio, 8)
                layers.append(layer(channels, outputs, row.kernel, row.s))
            channels = outputs
        self.features = nn.Sequential(*layers)
        last = scale(rows[-2].out, widened, 8)
        self.classifier = nn.Sequential(
            nn.Linear(channels, last),
            _nonlinearity(rows[-2])(),
            nn.Dropout(0.2 if spec.dropout is None else spec.dropout),
            nn.Linear(last, spec.num_classes),
        )
        initialize(self)


def _nonlinearity(row: Row) -> type[nn.Module]:
    return nn.Hardswish if row.nl == "HS" else nn.ReLU


def build(spec: ModelSpec) -> MobileNetV3:
    """Build the net."""
    return MobileNetV3(spec)
