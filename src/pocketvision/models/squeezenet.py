"""SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size.

Iandola et al., 2016, https://arxiv.org/abs/1602.07360; version 1.1 as released by the authors,
https://github.com/forresti/SqueezeNet
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pocketvision.models.blocks import Net, initialize, scale
from pocketvision.values import ModelSpec

NAMES = (
    "squeezenet1_0",
    "squeezenet1_0_simple_bypass",
    "squeezenet1_0_complex_bypass",
    "squeezenet1_1",
    "squeezenet1_1_simple_bypass",
    "squeezenet1_1_complex_bypass",
)
YEAR = 2016
IDEA = "squeeze to 1x1, expand again"
IDEAS = (
    ("squeezenet1_0_simple_bypass", "shortcuts around every second fire"),
    ("squeezenet1_0_complex_bypass", "convolved shortcuts around the others"),
    ("squeezenet1_1_simple_bypass", "shortcuts around every second fire"),
    ("squeezenet1_1_complex_bypass", "convolved shortcuts around the others"),
)
NORMS = False


class Row(NamedTuple):
    """One line under the columns of the paper's Table 1.

    Its sizes need images of 227 pixels, as in the authors' files, although the paper prints 224; those of the
    release 1.1 hold for 224.
    """

    layer: str
    output_size: tuple[int, int, int]
    filter_size: int | None
    stride: int | None
    s1x1: int | None
    e1x1: int | None
    e3x3: int | None


# fmt: off
TABLE_1 = (
    Row("conv1",     (111, 111, 96),  7,    2,    None, None, None),
    Row("maxpool1",  (55, 55, 96),    3,    2,    None, None, None),
    Row("fire2",     (55, 55, 128),   None, None, 16,   64,   64),
    Row("fire3",     (55, 55, 128),   None, None, 16,   64,   64),
    Row("fire4",     (55, 55, 256),   None, None, 32,   128,  128),
    Row("maxpool4",  (27, 27, 256),   3,    2,    None, None, None),
    Row("fire5",     (27, 27, 256),   None, None, 32,   128,  128),
    Row("fire6",     (27, 27, 384),   None, None, 48,   192,  192),
    Row("fire7",     (27, 27, 384),   None, None, 48,   192,  192),
    Row("fire8",     (27, 27, 512),   None, None, 64,   256,  256),
    Row("maxpool8",  (13, 13, 512),   3,    2,    None, None, None),
    Row("fire9",     (13, 13, 512),   None, None, 64,   256,  256),
    # Deviates: the authors' file for 1.0 pads conv10 by one pixel, against this output size; here nothing is padded.
    Row("conv10",    (13, 13, 1000),  1,    1,    None, None, None),
    Row("avgpool10", (1, 1, 1000),    13,   1,    None, None, None),
)
RELEASE_1_1 = (
    Row("conv1",     (111, 111, 64),  3,    2,    None, None, None),
    Row("maxpool1",  (55, 55, 64),    3,    2,    None, None, None),
    Row("fire2",     (55, 55, 128),   None, None, 16,   64,   64),
    Row("fire3",     (55, 55, 128),   None, None, 16,   64,   64),
    Row("maxpool3",  (27, 27, 128),   3,    2,    None, None, None),
    Row("fire4",     (27, 27, 256),   None, None, 32,   128,  128),
    Row("fire5",     (27, 27, 256),   None, None, 32,   128,  128),
    Row("maxpool5",  (13, 13, 256),   3,    2,    None, None, None),
    Row("fire6",     (13, 13, 384),   None, None, 48,   192,  192),
    Row("fire7",     (13, 13, 384),   None, None, 48,   192,  192),
    Row("fire8",     (13, 13, 512),   None, None, 64,   256,  256),
    Row("fire9",     (13, 13, 512),   None, None, 64,   256,  256),
    Row("conv10",    (13, 13, 1000),  1,    1,    None, None, None),
    Row("avgpool10", (1, 1, 1000),    13,   1,    None, None, None),
)
# fmt: on


class Fire(nn.Module):
    """Squeeze with 1x1 to s1x1 channels, expand with 1x1 and 3x3 side by side, ReLU after each (section 3.2).

    What `bypass` makes of the input is added to the output (section 6).
    """

    def __init__(self, inputs: int, s1x1: int, e1x1: int, e3x3: int, *, bypass: nn.Module | None = None) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, s1x1, 1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(s1x1, e1x1, 1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(s1x1, e3x3, 3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)
        self.bypass = bypass

    @torch.no_grad()
    def share(self) -> None:
        """Shrink fresh weights where two paths are added up, so that signals grow no faster than without bypass."""
        if self.bypass is not None:
            for part in (self.expand1x1, self.expand3x3, self.bypass):
                for weight in part.parameters():
                    weight.mul_(0.5**0.5)

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return [N, e1x1 + e3x3, H, W]."""
        squeezed = self.squeeze_activation(self.squeeze(batch_nchw))
        expanded = torch.cat(
            [
                self.expand1x1_activation(self.expand1x1(squeezed)),
                self.expand3x3_activation(self.expand3x3(squeezed)),
            ],
            1,
        )
        return expanded if self.bypass is None else expanded + self.bypass(batch_nchw)


def _bypass(name: str, inputs: int, outputs: int) -> nn.Module | None:
    """Return what runs beside a fire module (Figure 2): the input itself where no channels are added (fire3, 5, 7, 9),
    in complex nets a 1x1 convolution where they are (fire2, 4, 6, 8)."""
    if name.endswith("bypass") and inputs == outputs:
        return nn.Identity()
    return nn.Conv2d(inputs, outputs, 1) if name.endswith("complex_bypass") else None


class SqueezeNet(Net):
    """SqueezeNet 1.0 and 1.1, each plain, with simple and with complex bypass.

    The paper has no width multiplier; here it scales every layer but the last.
    Deviates: dropout stays at the paper's 0.5 only for width 1; narrower nets drop in proportion.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, width = spec.in_channels, spec.width
        for row in TABLE_1 if spec.name.startswith("squeezenet1_0") else RELEASE_1_1:
            if row.layer == "conv1" and row.filter_size:
                outputs = scale(row.output_size[2], width)
                layers += [nn.Conv2d(channels, outputs, row.filter_size, stride=2), nn.ReLU(inplace=True)]
                channels = outputs
            elif row.layer.startswith("maxpool"):
                layers.append(nn.MaxPool2d(3, stride=2, ceil_mode=True))
            elif row.s1x1 and row.e1x1 and row.e3x3:
                e1x1, e3x3 = scale(row.e1x1, width), scale(row.e3x3, width)
                bypass = _bypass(spec.name, channels, e1x1 + e3x3)
                layers.append(Fire(channels, scale(row.s1x1, width), e1x1, e3x3, bypass=bypass))
                channels = e1x1 + e3x3
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(0.5 * min(1.0, width) if spec.dropout is None else spec.dropout),
            nn.Conv2d(channels, spec.num_classes, 1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        initialize(self)
        nn.init.normal_(self.classifier[1].weight, std=0.01)  # type: ignore[arg-type]
        # A class whose maps start below zero would stay dead behind the last ReLU.
        nn.init.ones_(self.classifier[1].bias)  # type: ignore[arg-type]
        for layer in self.features:
            if isinstance(layer, Fire):
                layer.share()

    def embed(self, batch_nchw: Tensor) -> Tensor:
        """Return maps [N, C, h, w]: the classifier pools after its convolution."""
        maps: Tensor = self.features(batch_nchw)
        return maps


def build(spec: ModelSpec) -> SqueezeNet:
    """Build the net."""
    return SqueezeNet(spec)
