"""Very deep convolutional networks for large-scale image recognition.

Simonyan and Zisserman, 2014, https://arxiv.org/abs/1409.1556
"""

from typing import NamedTuple

from torch import nn

from pocketvision.models.alexnet import FullyConnectedNet, require_map
from pocketvision.models.blocks import scale
from pocketvision.values import ModelSpec

NAMES = ("vgg11", "vgg13", "vgg16", "vgg19")
YEAR = 2014
IDEA = "nothing but deep 3x3 convolutions"
NORMS = False
SMALLEST = 224


class Row(NamedTuple):
    """Table 1 between two max pools: the 3x3 convolutions' channels by configuration (A-LRN and C left out)."""

    a: tuple[int, ...]
    b: tuple[int, ...]
    d: tuple[int, ...]
    e: tuple[int, ...]


# fmt: off
TABLE_1 = (
    Row((64,),      (64, 64),   (64, 64),        (64, 64)),
    Row((128,),     (128, 128), (128, 128),      (128, 128)),
    Row((256, 256), (256, 256), (256, 256, 256), (256, 256, 256, 256)),
    Row((512, 512), (512, 512), (512, 512, 512), (512, 512, 512, 512)),
    Row((512, 512), (512, 512), (512, 512, 512), (512, 512, 512, 512)),
)
# fmt: on
MAP = 7


class VGG(FullyConnectedNet):
    """VGG. The paper has no width multiplier; here it scales every layer but the last."""

    def __init__(self, spec: ModelSpec) -> None:
        require_map(spec, lambda resolution: resolution // 2 ** len(TABLE_1), MAP)
        column = NAMES.index(spec.name)
        layers: list[nn.Module] = []
        channels = spec.in_channels
        for row in TABLE_1:
            for printed in row[column]:
                outputs = scale(printed, spec.width)
                layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.ReLU(inplace=True)]
                channels = outputs
            layers.append(nn.MaxPool2d(2, 2))
        super().__init__(spec, nn.Sequential(*layers), channels=channels, side=MAP)


def build(spec: ModelSpec) -> VGG:
    """Build the net."""
    return VGG(spec)
