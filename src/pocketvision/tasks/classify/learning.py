"""Learning one class an image: cross-entropy, weighted by class where classes are unequal."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.tasks import Integers, Targeted, TrainDefaults
from pocketvision.values import TaskSpec

DEFAULTS = TrainDefaults()
PLACED = False


@dataclass(frozen=True, eq=False)
class CrossEntropy:
    """Cross-entropy with label smoothing; `weights` [C] says how much each class counts."""

    smoothing: float = 0.0
    weights: Tensor | None = None

    def __call__(self, logits: Tensor, batch: Targeted) -> Tensor:
        """Return the mean over the batch, over the examples' weights where there are any."""
        weights = None if self.weights is None else self.weights.to(logits)
        return nn.functional.cross_entropy(logits, batch.targets, weight=weights, label_smoothing=self.smoothing)

    def weight(self, batch: Targeted) -> float:
        """Return the sum of the examples' weights; of mixed images their number, as torch takes their mean."""
        if self.weights is None or batch.targets.ndim > 1:
            return float(len(batch.targets))
        return float(self.weights.to(batch.targets.device)[batch.targets].sum())

    def right(self, logits: Tensor, batch: Targeted) -> Tensor:
        """Return the number of right answers, of mixed images by the larger part."""
        labels = batch.targets if batch.targets.ndim == 1 else batch.targets.argmax(1)
        right: Tensor = (logits.argmax(1) == labels).sum()
        return right


def objective(
    targets: Integers, outputs: int, spec: TaskSpec, *, balance: str, smoothing: float
) -> tuple[CrossEntropy, NDArray[np.float64] | None]:
    """Return the loss, and what each class counts in the validation loss where classes are balanced."""
    if balance == "none":
        return CrossEntropy(smoothing), None
    weights = class_weights(targets, outputs)
    learned = torch.from_numpy(weights).float() if balance == "weights" else None
    return CrossEntropy(smoothing, learned), weights


def soften(logits: Tensor, temperature: float) -> Tensor:
    """Return the softmax at a temperature."""
    return (logits / temperature).softmax(1)


def imitation(logits: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """Return the divergence from softened answers (Hinton et al., "Distilling the Knowledge", 2015, section 2)."""
    return nn.functional.kl_div((logits / temperature).log_softmax(1), wanted, reduction="batchmean")


def start_head(classifier: nn.Module, targets: Integers) -> None:
    """Leave a fresh classifier as it is."""


def class_weights(labels: NDArray[np.int64], num_classes: int) -> NDArray[np.float64]:
    """Return [C] weights that make every class count the same; their mean over the examples is 1.

    A class without examples gets 0. Source: King and Zeng, "Logistic Regression in Rare Events Data" (2001).
    """
    counts = np.bincount(labels, minlength=num_classes).astype(np.float64)
    present = counts > 0
    weights = np.zeros(num_classes)
    weights[present] = len(labels) / (present.sum() * counts[present])
    return weights
