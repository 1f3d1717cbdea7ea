"""Batch norms for weights that were folded: an exact neutral state first, then statistics from real images."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import WeightsError
from pocketvision.progress import Progress, Silent

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pocketvision.models.blocks import Net

Array = NDArray[Any]
FOLDED_EPS = 1e-3
"""TensorFlow's MobileNets normalize with it, and it keeps channels without variance from exploding."""


def norms_after(net: "nn.Module") -> Iterator[tuple[str, str, "nn.BatchNorm2d"]]:
    """Yield the name of every convolution that a batch norm follows, the norm's name, and the norm."""
    from torch import nn

    for prefix, module in net.named_modules():
        children = list(module.named_children())
        for (first, conv), (second, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                start = f"{prefix}." if prefix else ""
                yield start + first, start + second, norm


def unfold(net: "nn.Module", tensors: Mapping[str, Array], eps: float) -> dict[str, Array]:
    """Move each convolution's bias into the batch norm behind it, which otherwise changes nothing.

    The variance is 1 - eps and gamma 1, so that folding the norm again gives back the same weights to the last bit.
    """
    full = dict(tensors)
    for conv, norm_name, norm in norms_after(net):
        bias = full.pop(f"{conv}.bias", None)
        if bias is None:
            raise WeightsError(f"a folded file must hold '{conv}.bias'")
        full[f"{norm_name}.weight"] = np.ones(norm.num_features, np.float32)
        full[f"{norm_name}.bias"] = bias
        full[f"{norm_name}.running_mean"] = np.zeros(norm.num_features, np.float32)
        full[f"{norm_name}.running_var"] = np.full(norm.num_features, 1 - eps, np.float32)
    return full


def restore_batch_norms(
    net: "Net", batches: "Iterable[Tensor]", *, fresh: Collection[str] = (), progress: Progress = Silent()
) -> int:
    """Give batch norms the statistics of real images without changing the net's answers; return how many images.

    `batches` are normalized [N, 3, R, R], best some hundred images in random order. Each norm takes the mean and
    variance of what its convolution yields, and gamma and beta undo both. After that the net can be trained at the
    usual learning rates; straight after loading folded weights it cannot. Norms with parameters in `fresh` were not
    loaded and stay as they are. `WeightsError` if there is no image.
    """
    import torch

    norms = [
        module
        for name, module in net.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d) and f"{name}.weight" not in fresh
    ]
    moments = {norm: _Moments(norm.num_features) for norm in norms}
    hooks = [norm.register_forward_pre_hook(lambda module, args: moments[module].add(args[0])) for norm in norms]
    training, count = net.training, 0
    where = next(net.parameters()).device
    net.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                net(batch.to(where))
                count += len(batch)
    finally:
        for hook in hooks:
            hook.remove()
        net.train(training)
    if norms and not count:
        raise WeightsError("batch norms can be restored from images only, and there were none")
    for norm in norms:
        _set(norm, moments[norm])
    progress.say(f"restored {len(norms)} batch norms from {count} images")
    return count


class _Moments:
    """Mean and variance of each channel over all images, summed in double, merged batch by batch (Chan, 1979)."""

    def __init__(self, channels: int) -> None:
        import torch

        self.count = 0
        self.mean = torch.zeros(channels, dtype=torch.float64)
        self.squares = torch.zeros(channels, dtype=torch.float64)

    def add(self, batch_nchw: "Tensor") -> None:
        import torch

        # Centerd before squaring, so that a small variance beside a large mean keeps its digits.
        rough = batch_nchw.mean((0, 2, 3), keepdim=True)
        centerd = batch_nchw - rough
        new = centerd.numel() // centerd.shape[1]
        rest = centerd.sum((0, 2, 3), dtype=torch.float64).cpu() / new
        squares = centerd.square_().sum((0, 2, 3), dtype=torch.float64).cpu() - rest**2 * new
        shift = rough.flatten().double().cpu() + rest - self.mean
        total = self.count + new
        self.squares += squares.clamp(min=0) + shift**2 * (self.count * new / total)
        self.mean += shift * (new / total)
        self.count = total


def _set(norm: "nn.BatchNorm2d", moments: _Moments) -> None:
    """Change the statistics, and gamma and beta so that the norm's output stays."""
    import torch

    assert norm.running_mean is not None
    assert norm.running_var is not None
    device = norm.weight.device
    mean, variance = moments.mean.to(device), (moments.squares / moments.count).to(device)
    with torch.no_grad():
        slope = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        offset = norm.bias.double() - norm.running_mean.double() * slope
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        # From the stored, rounded statistics, so that rounding them does not change the output either.
        norm.weight.copy_(slope * torch.sqrt(norm.running_var.double() + norm.eps))
        norm.bias.copy_(offset + slope * norm.running_mean.double())
