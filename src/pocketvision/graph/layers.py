"""Each kind of torch layer as a kernel of the graph: one small function for each, and a table of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import fx, nn

from pocketvision.errors import GraphError
from pocketvision.graph.graph import (
    Activate,
    Activation,
    Affine,
    Array,
    AvgPool,
    Conv,
    Flatten,
    GlobalAvgPool,
    Linear,
    LocalNorm,
    MaxPool,
    Node,
    Pads,
    Shape,
    Shuffle,
    Slice,
    ToRows,
)
from pocketvision.models.blocks import ChannelShuffle, ChannelSlice, Conv2dSame, MaxPool2dSame
from pocketvision.models.ssd import Rows

LEAVES = (Conv2dSame, MaxPool2dSame, ChannelShuffle, ChannelSlice, Rows)
"""Our own modules that are one kernel each."""


class Place(NamedTuple):
    """Where a layer stands: its name, what it reads and the shape of that."""

    name: str
    inputs: tuple[str, ...]
    shape: Shape


def layer(module: nn.Module, place: Place) -> Node | None:
    """Return the kernel for a layer in eval mode, None where it does nothing; raises GraphError without a kernel."""
    for kind in type(module).__mro__:
        if kind in _LAYERS:
            return _LAYERS[kind](module, place)
    raise unknown(type(module).__name__, place.name)


def module_of(step: fx.Node) -> nn.Module:
    """Return the module that does what a step's function does; raises GraphError where there is none."""
    kind = _FUNCTIONS.get(step.target)
    if kind is None:
        raise unknown(str(getattr(step.target, "__name__", step.target)), step.name)
    try:
        module: nn.Module = kind(*step.args[1:], **step.kwargs)
    except TypeError as error:
        raise unknown(str(getattr(step.target, "__name__", step.target)), step.name) from error
    return module


def unknown(kind: str, name: str) -> GraphError:
    """Return the error for a layer without a kernel."""
    return GraphError(f"the graph has no kernel for {kind} ('{name}')")


def array(tensor: torch.Tensor) -> Array:
    """Return a float32 array, or a stand-in without memory for a tensor on the meta device."""
    if tensor.is_meta:
        return np.broadcast_to(np.float32(0), tuple(tensor.shape))
    return tensor.detach().cpu().float().numpy()


def _bias(bias: torch.Tensor | None, outputs: int) -> Array:
    return np.zeros(outputs, np.float32) if bias is None else array(bias)


def _learned(*tensors: torch.Tensor | None) -> int:
    return sum(tensor.numel() for tensor in tensors if tensor is not None)


def _conv(module: nn.Conv2d, place: Place) -> Conv:
    if module.dilation != (1, 1) or module.padding_mode != "zeros":
        raise GraphError(f"'{place.name}': dilated and reflecting convolutions have no kernel yet")
    padding: Any = module.padding
    if isinstance(module, Conv2dSame):
        padding = "same"
    elif padding == "valid":
        padding = (0, 0)
    return Conv(
        *place[:2],
        weight=array(module.weight),
        bias=_bias(module.bias, module.out_channels),
        stride=(module.stride[0], module.stride[1]),
        padding="same" if padding == "same" else _around(padding),
        groups=module.groups,
        activation="none",
        learned=_learned(module.weight, module.bias),
    )


def _linear(module: nn.Linear, place: Place) -> Linear:
    bias = _bias(module.bias, module.out_features)
    return Linear(*place[:2], array(module.weight), bias, "none", _learned(module.weight, module.bias))


def _norm(module: nn.BatchNorm2d, place: Place) -> Affine:
    """Return the norm with its measured statistics, in double: it may yet fold into a convolution."""
    mean, variance, gamma, beta = module.running_mean, module.running_var, module.weight, module.bias
    if mean is None or variance is None:
        raise GraphError(f"'{place.name}': a batch norm without running statistics has no fixed weights")
    learned = _learned(gamma, beta)
    if mean.is_meta:
        return Affine(*place[:2], array(mean), array(mean), "none", learned)
    factor = torch.rsqrt(variance.double() + module.eps) if gamma is None else _factor(gamma, variance, module.eps)
    shift = -mean.double() * factor if beta is None else beta.detach().double() - mean.double() * factor
    return Affine(*place[:2], factor.cpu().numpy(), shift.cpu().numpy(), "none", learned)


def _factor(gamma: torch.Tensor, variance: torch.Tensor, eps: float) -> torch.Tensor:
    return gamma.detach().double() / torch.sqrt(variance.double() + eps)


def _max_pool(module: nn.MaxPool2d, place: Place) -> MaxPool:
    if _pair(module.dilation) != (1, 1) or module.return_indices:
        raise unknown("dilated or index-giving MaxPool2d", place.name)
    kernel, stride = _pair(module.kernel_size), _pair(module.stride)
    padding: Any = "same" if isinstance(module, MaxPool2dSame) else _around(module.padding)
    return MaxPool(*place[:2], kernel, stride, module.ceil_mode, padding)


def _avg_pool(module: nn.AvgPool2d, place: Place) -> AvgPool:
    if module.ceil_mode or module.divisor_override:
        raise unknown("AvgPool2d with ceil_mode or divisor_override", place.name)
    kernel, stride = _pair(module.kernel_size), _pair(module.stride)
    return AvgPool(*place[:2], kernel, stride, _around(module.padding), module.count_include_pad)


def _adaptive_pool(module: nn.AdaptiveAvgPool2d, place: Place) -> Node | None:
    sizes = place.shape[1:]
    size: Any = module.output_size
    sides = size if isinstance(size, tuple) else (size, size)
    wanted = tuple(had if side is None else side for side, had in zip(sides, sizes, strict=True))
    if wanted == (1, 1):
        return GlobalAvgPool(*place[:2], keep=True)
    if wanted == sizes:
        return None
    if any(had % side for had, side in zip(sizes, wanted, strict=True)):
        raise GraphError(
            f"'{place.name}' pools maps of {sizes[0]}x{sizes[1]} to {wanted[0]}x{wanted[1]}; the graph has a kernel "
            "only where that divides. Choose a resolution for which it does."
        )
    window = sizes[0] // wanted[0], sizes[1] // wanted[1]
    return AvgPool(*place[:2], window, window)


def _flatten(module: nn.Flatten, place: Place) -> Flatten | None:
    if module.start_dim != 1 or module.end_dim not in (-1, len(place.shape)):
        raise unknown("Flatten of some axes only", place.name)
    return None if len(place.shape) == 1 else Flatten(*place[:2])


def _shuffle(module: ChannelShuffle | nn.ChannelShuffle, place: Place) -> Shuffle | None:
    return None if module.groups == 1 else Shuffle(*place[:2], int(module.groups))


def _local_norm(module: nn.LocalResponseNorm, place: Place) -> LocalNorm:
    if module.size % 2 == 0:
        raise unknown("LocalResponseNorm over an even number of channels", place.name)
    return LocalNorm(*place[:2], module.size, module.alpha, module.beta, module.k)


def _activation(kind: Activation) -> Callable[[Any, Place], Activate]:
    return lambda _, place: Activate(*place[:2], kind)


def _nothing(_module: nn.Module, _place: Place) -> None:
    return None


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _around(size: Any) -> Pads:
    top, left = _pair(size)
    return top, left, top, left


_LAYERS: dict[type, Callable[[Any, Place], Node | None]] = {
    nn.Conv2d: _conv,
    nn.Linear: _linear,
    nn.BatchNorm2d: _norm,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _avg_pool,
    nn.AdaptiveAvgPool2d: _adaptive_pool,
    nn.Flatten: _flatten,
    ChannelShuffle: _shuffle,
    nn.ChannelShuffle: _shuffle,
    Rows: lambda module, place: ToRows(*place[:2], module.values),
    ChannelSlice: lambda module, place: Slice(*place[:2], module.start, module.stop),
    nn.LocalResponseNorm: _local_norm,
    nn.ReLU: _activation("relu"),
    nn.ReLU6: _activation("relu6"),
    nn.Hardswish: _activation("hardswish"),
    nn.Hardsigmoid: _activation("hardsigmoid"),
    nn.Sigmoid: _activation("sigmoid"),
    nn.SiLU: _activation("silu"),
    nn.LeakyReLU: lambda module, place: Activate(*place[:2], "leaky_relu", module.negative_slope),
    nn.Identity: _nothing,
    nn.Dropout: _nothing,
    nn.Dropout2d: _nothing,
}
"""Nearest class first; each function is right for the class it stands beside."""


def _flattening(start_dim: int = 0, end_dim: int = -1) -> nn.Flatten:
    return nn.Flatten(start_dim, end_dim)


def _dropping(p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module:
    del p, inplace
    return nn.Dropout() if not training else nn.Module()


_FUNCTIONS: dict[Any, Callable[..., nn.Module]] = {
    torch.flatten: _flattening,
    "flatten": _flattening,
    nn.functional.dropout: _dropping,
    torch.relu: nn.ReLU,
    torch.sigmoid: nn.Sigmoid,
    "relu": nn.ReLU,
    "relu_": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    nn.functional.relu: nn.ReLU,
    nn.functional.relu6: nn.ReLU6,
    nn.functional.leaky_relu: nn.LeakyReLU,
    nn.functional.hardswish: nn.Hardswish,
    nn.functional.hardsigmoid: nn.Hardsigmoid,
    nn.functional.silu: nn.SiLU,
    nn.functional.max_pool2d: nn.MaxPool2d,
    nn.functional.avg_pool2d: nn.AvgPool2d,
    nn.functional.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
}
"""The module whose constructor takes what the function takes after its tensor."""
