"""MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications.

Howard et al., 2017, https://arxiv.org/abs/1704.04861
"""

from typing import NamedTuple

from torch import nn

from pocketvision.models.blocks import ConvNormAct, Net, Padding, initialise, scale

NAMES = ("mobilenet_v1",)
NORMS = True
"""Whether the net has batch norms."""
SMALLEST = 32
"""Pixels a side that leave the last map one pixel."""


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


class MobileNetV1(Net):
    """MobileNet with width multiplier alpha (section 3.3), channels cut to int(c * alpha).

    Deviates: ReLU6 for the paper's ReLU, as in the authors' released code and every published weight file.
    """

    def __init__(self, *, width: float = 1.0, num_classes: int = 1000, padding: Padding = "symmetric") -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for row in TABLE_1:
            if row.type == "Conv":
                outputs = scale(row.filter_shape[3], width)
                layers.append(ConvNormAct(channels, outputs, row.filter_shape[0], row.stride, padding=padding))
                channels = outputs
            elif row.type == "Conv dw":
                layers.append(ConvNormAct(channels, channels, 3, row.stride, groups=channels, padding=padding))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.001), nn.Linear(channels, num_classes))
        initialise(self)


def build(name: str, *, width: float, num_classes: int, padding: Padding) -> MobileNetV1:
    """Build the net; `name` has one value."""
    assert name in NAMES
    return MobileNetV1(width=width, num_classes=num_classes, padding=padding)
