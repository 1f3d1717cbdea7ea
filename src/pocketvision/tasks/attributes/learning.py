"""Learning several 0/1 attributes an image: binary cross-entropy over the cells that are known."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.metrics.multilabel import UNKNOWN
from pocketvision.tasks import Integers, Targeted, TrainDefaults
from pocketvision.values import TaskSpec

DEFAULTS = TrainDefaults()
PLACED = False
LARGEST_WEIGHT = 10.0
"""Of a positive cell beside a negative one: more of it drowns what the negatives say, and no probability means what it
says any more."""
_CERTAIN = 0.01


@dataclass(frozen=True, eq=False)
class BinaryCrossEntropy:
    """Cross-entropy of each known cell, every one counting the same; `positive` [A] weighs the cells that are 1.

    Without weights an attribute that few images have is learned as it occurs: its probabilities stay true, and its
    threshold, which validation settles, does what weights would: they mostly shift an attribute's logits, and average
    precision does not mind a shift.
    """

    smoothing: float = 0.0
    positive: Tensor | None = None

    def __call__(self, logits: Tensor, batch: Targeted) -> Tensor:
        """Return the mean over the batch's known cells; 0 where none is known."""
        known = batch.targets != UNKNOWN
        wanted = (batch.targets == 1).to(logits.dtype)
        smoothed = wanted * (1 - self.smoothing) + 0.5 * self.smoothing
        losses = nn.functional.binary_cross_entropy_with_logits(logits, smoothed, reduction="none")
        if self.positive is not None:
            losses = losses * torch.where(wanted > 0, self.positive.to(logits), 1.0)
        loss: Tensor = (losses * known).sum() / known.sum().clamp(min=1)
        return loss

    def weight(self, batch: Targeted) -> float:
        """Return the number of known cells."""
        return float((batch.targets != UNKNOWN).sum())

    def right(self, logits: Tensor, batch: Targeted) -> Tensor:
        """Return the sum over the images of the share of known cells decided rightly at a probability of 1/2."""
        known = batch.targets != UNKNOWN
        right = ((logits >= 0) == (batch.targets == 1)) & known
        shares: Tensor = right.sum(1) / known.sum(1).clamp(min=1)
        return shares.sum()


def objective(
    targets: Integers, outputs: int, spec: TaskSpec, *, balance: str, smoothing: float
) -> tuple[BinaryCrossEntropy, None]:
    """Return the loss: plain unless `balance` is `weights`, which counts positives of rare attributes more.

    Each positive then counts as many negatives as there are for it, and `LARGEST_WEIGHT` at most. Raises UsageError
    for `sampler`: an image that has one attribute has not another one.
    """
    if balance == "sampler":
        raise UsageError("--balance sampler draws images by their one class; for attributes take none or weights")
    if balance == "none":
        return BinaryCrossEntropy(smoothing), None
    positives, negatives = (targets == 1).sum(axis=0), (targets == 0).sum(axis=0)
    weights = np.clip(negatives / np.maximum(positives, 1), 1.0, LARGEST_WEIGHT)
    return BinaryCrossEntropy(smoothing, torch.from_numpy(weights).float()), None


def soften(logits: Tensor, temperature: float) -> Tensor:
    """Return the sigmoid at a temperature."""
    return (logits / temperature).sigmoid()


def imitation(logits: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy with softened answers, attributes alike; unknown cells are learned from too.

    Source: A. Howard et al., "MobileNets" (2017), section 4.5.
    """
    return nn.functional.binary_cross_entropy_with_logits(logits / temperature, wanted)


@torch.no_grad()
def start_head(classifier: nn.Module, targets: Integers) -> None:
    """Begin with each attribute's share of positives as its probability: the first epochs need not learn that.

    Source: T.-Y. Lin and others, "Focal Loss for Dense Object Detection" (2017), section 3.3.
    """
    last = [module for module in classifier.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    if last.bias is None:
        return
    known = np.maximum((targets != UNKNOWN).sum(axis=0), 1)
    shares = np.clip((targets == 1).sum(axis=0) / known, _CERTAIN, 1 - _CERTAIN)
    last.bias.copy_(torch.from_numpy(np.log(shares / (1 - shares))))
