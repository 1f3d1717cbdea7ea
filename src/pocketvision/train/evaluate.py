"""What a net is worth on the validation images, and whether one is better than another but for chance."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pocketvision.metrics.accuracy import macro_accuracy
from pocketvision.train.calibrate import fitted
from pocketvision.train.objective import Batch

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a module is worth on the validation images."""

    losses: Floats
    """Cross-entropy of each image at the best temperature, times its class's weight [N]."""
    accuracy: float
    macro: float

    @property
    def loss(self) -> float:
        """Return the mean over the images."""
        return float(self.losses.mean())


@torch.no_grad()
def evaluate(module: nn.Module, batches: Iterator[Batch], weights: Floats | None = None) -> Evaluation:
    """Judge a module in eval mode; with `weights` [C] classes count by them in the loss.

    The temperature is fitted because the file's will be too; without it, label smoothing, which makes a net ever less
    confident, would count against the later and better epochs.
    """
    module.eval()
    found = [(module(batch.inputs), batch.targets) for batch in batches]
    logits = torch.cat([answers for answers, _ in found]).float().cpu().numpy()
    labels = torch.cat([targets for _, targets in found]).cpu().numpy()
    answers = logits.argmax(1)
    heat, _ = fitted(logits, labels)
    cooled = logits.astype(np.float64) / heat
    losses = np.logaddexp.reduce(cooled, axis=1) - cooled[np.arange(len(labels)), labels]
    if weights is not None and weights[labels].any():
        losses = losses * weights[labels] / weights[labels].mean()
    return Evaluation(losses, float((answers == labels).mean()), macro_accuracy(labels, answers, logits.shape[1]))


def within_noise(more: Floats) -> bool:
    """Tell whether losses that are higher by `more` [N], image by image, are so by chance.

    So it is where their mean is within one standard error of zero: the rule by which L. Breiman and others,
    "Classification and Regression Trees" (1984), section 3.4.3, take the simplest of the trees that are as good.
    """
    return len(more) > 1 and float(more.mean()) <= float(more.std(ddof=1)) / math.sqrt(len(more))
