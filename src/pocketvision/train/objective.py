"""What a batch is, and what training minimizes on it: cross-entropy, weighted by class where classes are unequal."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn


class Batch(NamedTuple):
    """Some examples, as the module takes them."""

    inputs: Tensor
    targets: Tensor
    """Labels [n], or probabilities of each class [n, C] where images are mixed."""
    indices: Tensor
    """Which training examples these are, [n] int64: where cached things, such as a teacher's outputs, are found."""

    def labels(self) -> Tensor:
        """Return labels [n], of mixed images the larger part's."""
        return self.targets if self.targets.ndim == 1 else self.targets.argmax(1)

    def parts(self, most: int) -> "Iterator[Batch]":
        """Split the batch as evenly as can be into parts of at most `most` examples, none of a single one, from which
        a batch norm cannot be estimated."""
        count = len(self.targets)
        number = max(1, min(-(-count // most), count // 2))
        ends = [count * place // number for place in range(number + 1)]
        return (Batch(*(item[start:stop] for item in self)) for start, stop in pairwise(ends))


class Objective(Protocol):
    """What training lowers: a mean over examples."""

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Map logits [n, C] and the batch that they answer to the loss, a scalar."""
        ...

    def weight(self, batch: Batch) -> float:
        """Return what a batch counts in the mean over several: by it the losses of parts add up to the whole's."""
        ...


@dataclass(frozen=True, eq=False)
class CrossEntropy:
    """Cross-entropy with label smoothing; `weights` [C] says how much each class counts."""

    smoothing: float = 0.0
    weights: Tensor | None = None

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean over the batch, over the examples' weights where there are any."""
        weights = None if self.weights is None else self.weights.to(logits)
        return nn.functional.cross_entropy(logits, batch.targets, weight=weights, label_smoothing=self.smoothing)

    def weight(self, batch: Batch) -> float:
        """Return the sum of the examples' weights; of mixed images their number, as torch takes their mean."""
        if self.weights is None or batch.targets.ndim > 1:
            return float(len(batch.targets))
        return float(self.weights[batch.targets].sum())


def class_weights(labels: NDArray[np.int64], num_classes: int) -> NDArray[np.float64]:
    """Return [C] weights that make every class count the same; their mean over the examples is 1.

    A class without examples gets 0. Source: King and Zeng, "Logistic Regression in Rare Events Data" (2001).
    """
    counts = np.bincount(labels, minlength=num_classes).astype(np.float64)
    present = counts > 0
    weights = np.zeros(num_classes)
    weights[present] = len(labels) / (present.sum() * counts[present])
    return weights
