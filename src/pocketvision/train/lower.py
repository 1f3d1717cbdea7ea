"""A net in two parts: lower blocks that only answer, as fast as the processor can, and upper blocks that learn."""

import copy
from typing import cast

import torch
from torch import Tensor, nn

from pocketvision.models.blocks import Conv2dSame, Net

_FUSED = {nn.ReLU: ("relu", []), nn.ReLU6: ("hardtanh", [0.0, 6.0])}
"""Activations that oneDNN computes within a convolution, under its names."""


def upper_of(net: Net, cut: int) -> Net:
    """Return the blocks from `cut` on with the classifier; they are the net's own, under their own names."""
    part = copy.copy(net)
    part._modules = {**net._modules, "features": net.features[cut:]}
    return part


class Lower(nn.Module):
    """The first blocks of a net, for inference alone: batch norms folded, each activation within its convolution.

    Where the processor has instructions for bfloat16 it computes in that; docs/measurements/training.md has what both
    make of time and of the maps.
    """

    def __init__(self, net: Net, cut: int, device: torch.device) -> None:
        super().__init__()
        self.features = _folded(copy.deepcopy(net.features[:cut]).eval(), onednn=device.type == "cpu" and _has_onednn())
        norms = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in self.features.modules())
        self.dtype = torch.bfloat16 if device.type == "cpu" and _has_bfloat16() and not norms else torch.float32
        self.features.to(device, self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return float16 maps [N, H, W, C] of normalized images [N, 3, R, R]."""
        maps = self.features(batch_nchw.to(self.dtype, memory_format=torch.channels_last))
        return cast(Tensor, maps).to(torch.float16).permute(0, 2, 3, 1).contiguous()


def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available()) and hasattr(torch.ops.mkldnn, "_convolution_pointwise")  # type: ignore[no-untyped-call]


def _has_bfloat16() -> bool:
    return _has_onednn() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


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
