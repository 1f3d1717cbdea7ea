"""What moves the weights: optimizer, learning rate of each step and group of layers, frozen layers, moving average."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel

from pocketvision.models.blocks import Net
from pocketvision.train.recipe import Recipe

Tensors = tuple[Tensor, ...] | list[Tensor]
AVERAGED_EPOCHS = 2


@dataclass(frozen=True)
class LayerGroup:
    """Weights that learn at the same rate."""

    module: nn.Module
    rate: float = 1.0
    """Share of the phase's learning rate."""


def moving_average(module: nn.Module, steps: int) -> AveragedModel:
    """Follow the weights by a moving average over about two epochs of so many steps (Polyak and Juditsky, 1992).

    It is better than any single step's weights, and less a matter of luck. The first steps' weights, which are far
    off, are soon forgotten: after n steps each new one counts for at least 9 / (n + 10).
    """
    longest = 1 - 1 / (AVERAGED_EPOCHS * steps + 1)

    def follow(averages: Tensors, currents: Tensors, count: Tensor | int) -> None:
        decay = min(longest, (1 + int(count)) / (10 + int(count)))
        floats = [place for place, tensor in enumerate(averages) if tensor.is_floating_point()]
        if floats:
            torch._foreach_lerp_([averages[p] for p in floats], [currents[p] for p in floats], 1 - decay)
        for average, current in zip(averages, currents, strict=True):
            if not average.is_floating_point():
                average.copy_(current)

    return AveragedModel(module, multi_avg_fn=follow, use_buffers=True)


def optimizer_for(
    layers: Sequence[LayerGroup], recipe: Recipe, learning_rate: float, *, fused: bool
) -> torch.optim.Optimizer:
    """Return the optimizer of the recipe for these layers; norms and biases are not decayed."""
    # They have no scale that decay could usefully shrink.
    groups = [
        {"params": found, "weight_decay": recipe.weight_decay * many, "rate": group.rate}
        for group in layers
        for many in (True, False)
        if (found := [p for p in group.module.parameters() if (p.ndim >= 2) == many])
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=learning_rate, fused=fused)
    return torch.optim.SGD(groups, lr=learning_rate, momentum=0.9, nesterov=True, fused=fused)


def learning_rate(step: int, total: int, warmup: float, peak: float) -> float:
    """Return the rate of a step: linear up to `peak` over `warmup` steps, then half a cosine down to zero."""
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, total - warmup)))


def layer_groups(net: Net, decay: float) -> tuple[LayerGroup, ...]:
    """List a net's parts from the stem to the head; each learns at `decay` times the rate of the one after it.

    Source: Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification" (2018), section 3.2.
    """
    parts = [*net.features, net.classifier]
    own = {id(weight) for part in parts for weight in part.parameters()}
    assert all(id(weight) in own for weight in net.parameters()), "a weight outside features and classifier"
    return tuple(LayerGroup(part, decay ** (len(parts) - 1 - place)) for place, part in enumerate(parts))


def set_train_mode(net: Net, *, frozen: int, fixed_norms: bool) -> None:
    """Put the net in training mode, except the first `frozen` layers, and the norms where they are fixed.

    Nothing is computed backwards through frozen layers, which is most of a step's time: their maps are the largest.
    """
    net.train()
    for place, layer in enumerate(net.features):
        for weight in layer.parameters():
            weight.requires_grad_(place >= frozen)
    quiet = list(net.features)[:frozen]
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)] if fixed_norms else []
    for module in (*quiet, *norms):
        module.eval()
