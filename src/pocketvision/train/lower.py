"""A net in two parts: lower layers that only answer, as fast as the processor can, and upper layers that learn."""

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pocketvision.models.blocks import Conv2dSame, Net

_FUSED = {nn.ReLU: ("relu", []), nn.ReLU6: ("hardtanh", [0.0, 6.0])}
"""Activations that oneDNN computes within a convolution, under its names."""

FEWEST_PLACES = 14
"""A side of the smallest maps to learn from; docs/measurements/training.md has what smaller ones cost."""
LEAST_STRIDE = 4
"""Maps of a smaller stride are not kept: what makes them is little of the net's work."""


def map_layers_of(net: Net, resolution: int, asked: int | None = None) -> int:
    """Return how many layers make the maps: as `asked`, else all whose maps keep at least 14 places a side.

    0 where those would save little.
    """
    if asked is not None:
        return min(asked, len(net.features) - 1)
    fine = [stage for stage in net.stages(resolution) if resolution // stage.stride >= FEWEST_PLACES]
    if not fine or fine[-1].stride < LEAST_STRIDE:
        return 0
    return min(fine[-1].layer + 1, len(net.features) - 1)


def upper_of(net: Net, layers: int) -> Net:
    """Return the net without its first `layers` layers; what is left is the net's own, under its own names."""
    part = copy.copy(net)
    part._modules = {**net._modules, "features": net.features[layers:]}
    return part


class Lower(nn.Module):
    """The first layers of a net, for inference alone: batch norms folded, each activation within its convolution.

    Where the processor has instructions for bfloat16 it computes in that; docs/measurements/training.md has what both
    make of time and of the maps.
    """

    def __init__(self, net: Net, layers: int, device: torch.device) -> None:
        super().__init__()
        onednn = device.type == "cpu" and _has_onednn()
        self.features = _folded(copy.deepcopy(net.features[:layers]).eval(), onednn=onednn)
        norms = any(isinstance(module, _BatchNorm) for module in self.features.modules())
        self.dtype = torch.bfloat16 if onednn and _has_bfloat16() and not norms else torch.float32
        self.features.to(device, self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return float16 maps [N, H, W, C] of normalized images [N, 3, R, R]."""
        maps = self.features(batch_nchw.to(self.dtype, memory_format=torch.channels_last))
        return cast(Tensor, maps).to(torch.float16).permute(0, 2, 3, 1).contiguous()


def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available()) and hasattr(torch.ops.mkldnn, "_convolution_pointwise")  # type: ignore[no-untyped-call]


def _has_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _folded(module: nn.Module, *, onednn: bool) -> nn.Module:
    """Fold each batch norm into the convolution before it, and with oneDNN the activation behind it too."""
    for name, child in list(module.named_children()):
        setattr(module, name, _folded(child, onednn=onednn))
    if not isinstance(module, nn.Sequential) or type(module).forward is not nn.Sequential.forward:
        return module
    layers: list[nn.Module] = []
    for layer in module:
        last = layers[-1] if layers else None
        if isinstance(layer, nn.BatchNorm2d) and isinstance(last, nn.Conv2d):
            layers[-1] = nn.utils.fuse_conv_bn_eval(last, layer)
        elif onednn and type(layer) in _FUSED and isinstance(last, nn.Conv2d):
            layers[-1] = _ConvAct(last, *_FUSED[type(layer)])
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


class _ConvAct(nn.Module):
    """A convolution and its activation as one kernel of oneDNN."""

    def __init__(self, conv: nn.Conv2d, activation: str, limits: list[float]) -> None:
        super().__init__()
        self.conv, self.activation, self.limits = conv, activation, limits

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return [N, O, H, W]."""
        conv, padding = self.conv, self.conv.padding
        if isinstance(conv, Conv2dSame):
            batch_nchw, padding = conv.padded(batch_nchw), (0, 0)
        settings = (padding, conv.stride, conv.dilation, conv.groups, self.activation, self.limits, "")
        return cast(Tensor, torch.ops.mkldnn._convolution_pointwise(batch_nchw, conv.weight, conv.bias, *settings))
