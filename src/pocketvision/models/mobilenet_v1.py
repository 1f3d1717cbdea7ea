"""MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications.

Howard et al., 2017, https://arxiv.org/abs/1704.04861
"""

from typing import NamedTuple

from torch import nn

from pocketvision.models.blocks import ConvNormAct, Net, initialize, scale
from pocketvision.values import ModelSpec

NAMES = ("mobilenet_v1", "mobilenet_v1_full_conv", "mobilenet_v1_shallow")
YEAR = 2017
IDEA = "depthwise separable convolutions, two dials"
IDEAS = (
    ("mobilenet_v1_full_conv", "the same with full convolutions"),
    ("mobilenet_v1_shallow", "the same without five layers"),
)
WIDTHS = (1.0, 0.75, 0.5, 0.25)
PADDINGS = ("symmetric", "same")


class Row(NamedTuple):
    """One line of Table 1; a filter shape is height, width, inputs, outputs (a depthwise one has no outputs)."""

    type: str
    stride: int
    filter_shape: tuple[int, ...]
    input_size: tuple[int, int, int]


# fmt: off
TABLE_1 = (
    Row("Conv",     2, (3, 3, 3, 32),      (224, 224, 3)),
    Row("Conv dw",  1, (3, 3, 32),         (112, 112, 32)),
    Row("Conv",     1, (1, 1, 32, 64),     (112, 112, 32)),
    Row("Conv dw",  2, (3, 3, 64),         (112, 112, 64)),
    Row("Conv",     1, (1, 1, 64, 128),    (56, 56, 64)),
    Row("Conv dw",  1, (3, 3, 128),        (56, 56, 128)),
    Row("Conv",     1, (1, 1, 128, 128),   (56, 56, 128)),
    Row("Conv dw",  2, (3, 3, 128),        (56, 56, 128)),
    Row("Conv",     1, (1, 1, 128, 256),   (28, 28, 128)),
    Row("Conv dw",  1, (3, 3, 256),        (28, 28, 256)),
    Row("Conv",     1, (1, 1, 256, 256),   (28, 28, 256)),
    Row("Conv dw",  2, (3, 3, 256),        (28, 28, 256)),
    Row("Conv",     1, (1, 1, 256, 512),   (14, 14, 256)),
    *(
    Row("Conv dw",  1, (3, 3, 512),        (14, 14, 512)),
    Row("Conv",     1, (1, 1, 512, 512),   (14, 14, 512)),
    ) * 5,
    Row("Conv dw",  2, (3, 3, 512),        (14, 14, 512)),
    Row("Conv",     1, (1, 1, 512, 1024),  (7, 7, 512)),
    # Deviates: the paper prints stride 2 here, although this layer's input and output are both 7x7.
    Row("Conv dw",  1, (3, 3, 1024),       (7, 7, 1024)),
    Row("Conv",     1, (1, 1, 1024, 1024), (7, 7, 1024)),
    Row("Avg Pool", 1, (7, 7),             (7, 7, 1024)),
    Row("FC",       1, (1024, 1000),       (1, 1, 1024)),
    Row("Softmax",  1, (),                 (1, 1, 1000)),
)
# fmt: on


def full_convolutions(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Return the rows of Table 4's "Conv MobileNet": each depthwise and 1x1 pair becomes one full 3x3 convolution."""
    full: list[Row] = []
    for before, row in zip((None, *rows), rows, strict=False):
        if before and before.type == "Conv dw":
            full.append(Row("Conv", before.stride, (3, 3, *row.filter_shape[2:]), before.input_size))
        elif row.type != "Conv dw":
            full.append(row)
    return tuple(full)


def without_repeats(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Return the rows of Table 5's "Shallow MobileNet": without the five layers that keep maps of 14 x 14 x 512."""
    repeated = (3, 3, 512), (1, 1, 512, 512)
    return tuple(row for row in rows if row.filter_shape not in repeated or row.stride == 2)


ROWS = dict(zip(NAMES, (TABLE_1, full_convolutions(TABLE_1), without_repeats(TABLE_1)), strict=True))


class MobileNetV1(Net):
    """MobileNet with width multiplier alpha (section 3.3), channels cut to int(c * alpha); its twins of section 4.1.

    Deviates: ReLU6 for the paper's ReLU, as in the authors' released code and every published weight file.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = spec.in_channels
        for row in ROWS[spec.name]:
            if row.type == "Conv":
                outputs = scale(row.filter_shape[3], spec.width)
                layers.append(ConvNormAct(channels, outputs, row.filter_shape[0], row.stride, padding=spec.padding))
                channels = outputs
            elif row.type == "Conv dw":
                layers.append(ConvNormAct(channels, channels, 3, row.stride, groups=channels, padding=spec.padding))
        self.features = nn.Sequential(*layers)
        dropout = 0.001 if spec.dropout is None else spec.dropout
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, spec.num_classes))
        initialize(self)


def build(spec: ModelSpec) -> MobileNetV1:
    """Build the net."""
    return MobileNetV1(spec)
