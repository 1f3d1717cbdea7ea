"""What nets of several papers share: the width rule, convolutions with norm and activation, a net's two halves."""

from typing import Literal

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
    """Convolution, batch norm, ReLU6 (or none)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        *,
        groups: int = 1,
        padding: Padding = "symmetric",
        activation: bool = True,
    ) -> None:
        layers = [conv(inputs, outputs, kernel, stride, groups=groups, padding=padding), nn.BatchNorm2d(outputs)]
        super().__init__(*layers, *([nn.ReLU6(inplace=True)] if activation else []))


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


def initialise(net: nn.Module) -> None:
    """Draw fresh weights: He normal for convolutions, unit batch norms, small normal for linear layers."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out" if module.groups == 1 else "fan_in")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
