"""One temperature for the logits, so that probabilities match how often the net is right (Guo et al., 2017)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pocketvision.models.blocks import Net

LIMITS = (0.25, 4.0)
"""A few hundred validation images, all answered rightly, would otherwise ask for infinite confidence."""


def temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the temperature that minimises cross-entropy of logits [N, classes] / T, within `LIMITS`."""
    grid = np.geomspace(*LIMITS, 121)
    scaled = logits[None].astype(np.float64) / grid[:, None, None]
    top = scaled.max(-1, keepdims=True)
    norm = np.log(np.exp(scaled - top).sum(-1)) + top[..., 0]
    loss = (norm - scaled[:, np.arange(len(labels)), labels]).mean(1)
    return float(grid[int(loss.argmin())])


@torch.no_grad()
def fold_temperature(net: Net, value: float) -> None:
    """Divide the logits by `value`, inside the classifier's last layer with weights.

    Exact for the nets here: after that layer come at most a ReLU and a mean, and both let a positive factor through.
    """
    last = [module for module in net.classifier.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    last.weight /= value
    if last.bias is not None:
        last.bias /= value
