"""What a batch is, and what an objective has to be: the tasks have those of labels, distillation has its own."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, Protocol

from torch import Tensor


class Batch(NamedTuple):
    """Some examples, as the module takes them."""

    inputs: Tensor
    targets: Tensor
    """Labels [n], probabilities of each class [n, C] where images are mixed, or attributes [n, A], -1 where unknown."""
    indices: Tensor
    """Which training examples these are, [n] int64: where cached things, such as a teacher's outputs, are found. Where
    few views repeat, they count through the images of all views."""

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

    def right(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the number of right answers, a scalar; of an image with several, the share that is right."""
        ...
