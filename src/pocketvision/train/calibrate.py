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
    return fitted(logits, labels)[0]


def fitted(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Return the best temperature and the cross-entropy it leaves."""
    grid = np.geomspace(*LIMITS, 121)
    loss = np.array([_cross_entropy(logits.astype(np.float64) / value, labels) for value in grid])
    best = int(loss.argmin())
    return float(grid[best]), float(loss[best])


def _cross_entropy(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    top = logits.max(1, keepdims=True)
    norm = np.log(np.exp(logits - top).sum(1)) + top[:, 0]
    return float((norm - logits[np.arange(len(labels)), labels]).mean())


@torch.no_grad()
def fold_temperature(net: Net, value: float) -> None:
    """Divide the logits by `value`, inside the classifier's last layer with weights.

    Exact for the nets here: after that layer come at most a ReLU and a mean, and both let a positive factor through.
    """
    last = [module for module in net.classifier.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    last.weight /= value
    if last.bias is not None:
        last.bias /= value
