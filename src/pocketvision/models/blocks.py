"""What nets of several papers share: the width rule, convolutions with norm and activation, a net's two halves."""

import copy
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError

Padding = Literal["symmetric", "same"]


def scale(channels: int, width: float, divisor: int | None = None) -> int:
    """Apply the width multiplier to a channel count: the only place where width meets channels.

    Without `divisor` the product is cut to a whole number (MobileNets: int(c * alpha)). With it, the product is
    rounded to the nearest multiple, but never by more than a tenth downwards (MobileNetV2's released code).
    """
    if width <= 0:
        raise UsageError(f"width must be positive, not {width:g}; the papers use 0.25 to 1.4")
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
        padding: list[int] = []
        for size, kernel, stride in zip(input.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [total // 2, total - total // 2]
        return nn.functional.conv2d(
            nn.functional.pad(input, padding), self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )


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


class Stage(NamedTuple):
    """The last layer of `features` at one size of maps, which a detector can read."""

    layer: int
    """Its place in `features`."""
    channels: int
    stride: int
    """Pixels of the picture for one step on the map."""


class Net(nn.Module):
    """A classifier in two halves, so that a head can be replaced or trained alone.

    `embed` turns normalised pictures [N, 3, H, W] into what `classifier` takes: a vector [N, C] where the net pools
    before its last layer, maps [N, C, h, w] where it pools after (SqueezeNet). `forward` gives logits [N, classes].
    """

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
        """Return the last layer of `features` at every size of maps, the finest first; nothing is computed."""
        layers = copy.deepcopy(self.features).to("meta").eval()
        first = next(module for module in layers.modules() if isinstance(module, nn.Conv2d))
        maps = torch.empty(1, first.in_channels, resolution, resolution, device="meta")
        found: dict[int, Stage] = {}
        for index, layer in enumerate(layers):
            maps = layer(maps)
            found[maps.shape[2]] = Stage(index, maps.shape[1], round(resolution / maps.shape[2]))
        return tuple(found.values())


def initialise(net: nn.Module) -> None:
    """Draw fresh weights: He normal for convolutions, unit batch norms, small normal for linear layers."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out" if module.groups == 1 else "fan_in")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
