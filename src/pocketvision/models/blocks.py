"""What nets of several papers share: the width rule, convolutions with norm and activation, a net's two halves."""

import copy
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor, nn

Padding = Literal["symmetric", "same"]


def scale(channels: int, width: float, divisor: int | None = None) -> int:
    """Apply the width multiplier to a channel count: the only place where width meets channels.

    Without `divisor` the product is cut to a whole number (MobileNets: int(c * alpha)). With it, the product is
    rounded to the nearest multiple, but never by more than a tenth downwards (MobileNetV2's released code).
    """
    exact = channels * width
    if divisor is None:
        return max(1, int(exact + 1e-9))
    rounded = max(divisor, int(exact + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * exact else rounded


class Conv2dSame(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding: at stride 2 an even input is padded at its far side only.

    Weights trained in TensorFlow need it; PyTorch's symmetric padding shifts the sampling grid by one pixel.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Pad as TensorFlow does for this input's size, then convolve: [N, I, H, W] -> [N, O, ceil(H/s), ceil(W/s)]."""
        height, width = input.shape[2], input.shape[3]
        (tall, wide), (down, along) = self.kernel_size, self.stride
        below = max((-(-height // down) - 1) * down + tall - height, 0)
        right = max((-(-width // along) - 1) * along + wide - width, 0)
        padded = nn.functional.pad(input, [right // 2, right - right // 2, below // 2, below - below // 2])
        return nn.functional.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class MaxPool2dSame(nn.MaxPool2d):
    """Max pooling with TensorFlow's SAME padding: square windows, an even input is padded at its far side only."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__(kernel, stride)
        self.side = kernel
        self.step = stride

    def forward(self, input: Tensor) -> Tensor:
        """Pad as TensorFlow does for this input's size, then pool: [N, C, H, W] -> [N, C, ceil(H/s), ceil(W/s)]."""
        height, width = input.shape[2], input.shape[3]
        below = max((-(-height // self.step) - 1) * self.step + self.side - height, 0)
        right = max((-(-width // self.step) - 1) * self.step + self.side - width, 0)
        padding = [right // 2, right - right // 2, below // 2, below - below // 2]
        padded = nn.functional.pad(input, padding, value=float("-inf"))
        return nn.functional.max_pool2d(padded, self.side, self.step)


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, padding: Padding) -> nn.Conv2d:
    """Build a convolution without bias whose output is ceil(input / stride) on a side."""
    if padding == "same" and kernel > 1:
        return Conv2dSame(inputs, outputs, kernel, stride, groups=groups, bias=False)
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class ConvNormAct(nn.Sequential):
    """Convolution, batch norm, activation (ReLU6 unless told otherwise, None for none)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        *,
        groups: int = 1,
        padding: Padding = "symmetric",
        activation: type[nn.Module] | None = nn.ReLU6,
    ) -> None:
        layers = [conv(inputs, outputs, kernel, stride, groups=groups, padding=padding), nn.BatchNorm2d(outputs)]
        super().__init__(*layers, *([activation()] if activation else []))


class ChannelShuffle(nn.Module):
    """Reads channels laid out as [groups, C / groups] in the order [C / groups, groups] (ShuffleNet, section 3.1)."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return the same shape."""
        count, channels, height, width = batch_nchw.shape
        split = batch_nchw.reshape(count, self.groups, channels // self.groups, height, width)
        return split.transpose(1, 2).reshape(count, channels, height, width)


class ChannelSlice(nn.Module):
    """Keeps the channels from `start` up to, without, `stop`."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start = start
        self.stop = stop

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return [N, stop - start, H, W]."""
        return batch_nchw[:, self.start : self.stop]


class SqueezeExcite(nn.Module):
    """Weighs every channel by what its mean, through two 1x1 convolutions, says (Hu et al. 2018)."""

    def __init__(
        self, channels: int, squeezed: int, *, activation: type[nn.Module] = nn.ReLU, gate: type[nn.Module] = nn.Sigmoid
    ) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.activation = activation()
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = gate()

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return the same shape."""
        weights = self.gate(self.expand(self.activation(self.reduce(self.pool(batch_nchw)))))
        weighed: Tensor = batch_nchw * weights
        return weighed


class InvertedResidual(nn.Module):
    """Expand with 1x1 to `hidden` channels, depthwise, weigh the channels, project with a linear 1x1; a shortcut where
    shapes allow (Sandler et al. 2018; with squeeze and excitation in the middle: Tan et al. 2019).

    `layer` makes the convolutions and knows activation and padding. Nothing is expanded where `hidden` is the input.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        hidden: int,
        kernel: int,
        stride: int,
        layer: Callable[..., ConvNormAct],
        excite: SqueezeExcite | None = None,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [] if hidden == inputs else [layer(inputs, hidden, 1)]
        layers.append(layer(hidden, hidden, kernel, stride, groups=hidden))
        layers += [excite] if excite is not None else []
        layers.append(layer(hidden, outputs, 1, activation=None))
        self.layers = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return [N, outputs, H / stride, W / stride]."""
        out: Tensor = self.layers(batch_nchw)
        return batch_nchw + out if self.shortcut else out


class Stage(NamedTuple):
    """The last layer of `features` at one size of maps, which a detector can read."""

    layer: int
    """Its place in `features`."""
    channels: int
    stride: int
    """Pixels of the image for one step on the map."""


class Net(nn.Module):
    """A classifier in two halves, so that a head can be replaced or trained alone.

    `embed` turns normalized images [N, 3, H, W] into what `classifier` takes: a vector [N, C] where the net pools
    before its last layer, maps [N, C, h, w] where it pools after (SqueezeNet). `forward` gives logits [N, classes].
    """

    if TYPE_CHECKING:  # torch.jit.script would take these lines for settings
        features: nn.Sequential
        classifier: nn.Sequential

    def embed(self, batch_nchw: Tensor) -> Tensor:
        """Return the features that the classifier takes."""
        return torch.flatten(nn.functional.adaptive_avg_pool2d(self.features(batch_nchw), 1), 1)

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return logits [N, classes]."""
        logits: Tensor = self.classifier(self.embed(batch_nchw))
        return logits

    @torch.jit.unused
    def stages(self, resolution: int = 224) -> tuple[Stage, ...]:
        """Return the last layer of `features` at every stride, the finest first; nothing is computed.

        Layers without padding make maps a little smaller than the stride says (Inception v3: 8 for 299 / 32).
        """
        layers = copy.deepcopy(self.features).to("meta").eval()
        first = next(module for module in layers.modules() if isinstance(module, nn.Conv2d))
        maps = torch.empty(1, first.in_channels, resolution, resolution, device="meta")
        found: dict[int, Stage] = {}
        for index, layer in enumerate(layers):
            maps = layer(maps)
            stride = 2 ** round(math.log2(resolution / maps.shape[2]))
            found[stride] = Stage(index, maps.shape[1], stride)
        return tuple(found.values())


class CutNet(Net):
    """The first layers of another net, the mean over their maps, dropout of 0.2 and one linear layer.

    Every family gets this same ending, whatever its own is: hidden layers of a classifier, and classifiers that pool
    after their convolution, are not carried over.
    """

    def __init__(self, net: Net, *, depth: int, num_classes: int, dropout: float | None) -> None:
        super().__init__()
        self.features = net.features[:depth]
        channels = _channels_behind(self.features)
        self.classifier = nn.Sequential(
            nn.Dropout(0.2 if dropout is None else dropout), nn.Linear(channels, num_classes)
        )
        initialize(self.classifier)


def _channels_behind(layers: nn.Sequential) -> int:
    """Return the channels of the maps that layers make; nothing is computed."""
    shapes = copy.deepcopy(layers).to("meta").eval()
    first = next(module for module in shapes.modules() if isinstance(module, nn.Conv2d))
    return int(shapes(torch.empty(1, first.in_channels, 256, 256, device="meta")).shape[1])


def cuts(net: Net) -> tuple[int, ...]:
    """Return the numbers of first layers after which a net can be cut, the fewest first.

    A norm, an activation or a pool that follows is kept with the layer before it. All layers together are a cut only
    where the net does not itself end in a mean and one linear layer.
    """
    weighted = [next(layer.parameters(), None) is not None for layer in net.features]
    found = [depth for depth in range(1, len(weighted)) if weighted[depth] and any(weighted[:depth])]
    behind = [layer for layer in net.classifier if next(layer.parameters(), None) is not None]
    plain = len(behind) == 1 and type(net).embed is Net.embed
    return (*found, *(() if plain else (len(weighted),)))


def initialize(net: nn.Module) -> None:
    """Draw fresh weights: He normal for convolutions, unit batch norms, small normal for linear layers."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out" if module.groups == 1 else "fan_in")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
