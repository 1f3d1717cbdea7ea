"""One temperature for the logits, so that probabilities match how often the net is right (Guo et al., 2017)."""

import torch
from torch import nn

from pocketvision.metrics.calibration import TEMPERATURES, fitted, temperature
from pocketvision.models.blocks import Net

__all__ = ["LIMITS", "fitted", "fold_temperature", "temperature"]

LIMITS = TEMPERATURES


@torch.no_grad()
def fold_temperature(net: Net, value: float) -> None:
    """Divide the logits by `value`, inside the classifier's last layer with weights.

    Exact for the nets here: after that layer come at most a ReLU and a mean, and both let a positive factor through.
    """
    last = [module for module in net.classifier.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    last.weight /= value
    if last.bias is not None:
        last.bias /= value
