"""Distillation with the teacher beside the student: it answers every batch as it comes.

What a detector says of all anchors of all views would take more room than the images, so nothing is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pocketvision.data.tensors import normalize
from pocketvision.models.blocks import Net
from pocketvision.tasks import learning
from pocketvision.train.objective import Batch, Objective
from pocketvision.train.teacher import Teacher
from pocketvision.values import ImageSpec


class Beside(nn.Module):
    """A net that learns beside its teachers, named as other students are."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net

    def forward(self, batch_nchw: Tensor) -> Tensor:
        """Return what the net gives."""
        given: Tensor = self.net(batch_nchw)
        return given


@dataclass(frozen=True, eq=False)
class BesideLoss:
    """The objective: `alpha` times how far a net is from its teachers' mean answers, the rest by the labels."""

    teachers: Sequence[Teacher]
    labels: Objective
    image: ImageSpec
    """How the student's images are normalized."""
    task: str
    alpha: float
    temperature: float

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the loss of what the student gives, [n, A, 4 + K]."""
        wanted = self._wanted(batch.inputs).to(logits)
        soft = learning(self.task).imitation(logits, wanted, self.temperature)
        loss: Tensor = self.alpha * soft + (1 - self.alpha) * self.labels(logits, batch)
        return loss

    @torch.no_grad()
    def _wanted(self, inputs: Tensor) -> Tensor:
        soften, mean, std = learning(self.task).soften, self.image.mean, self.image.std
        found = []
        for teacher in self.teachers:
            own, shown = teacher.trained.image, inputs
            if (own.mean, own.std) != (mean, std):
                plain = inputs * inputs.new_tensor(std).view(1, 3, 1, 1) + inputs.new_tensor(mean).view(1, 3, 1, 1)
                shown = normalize(plain, own)
            found.append(soften(teacher.net.to(inputs.device).eval()(shown), self.temperature))
        return torch.stack(found).mean(0)

    def weight(self, batch: Batch) -> float:
        """Return what the labels count in a batch."""
        return self.labels.weight(batch)

    def right(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return what is right by the labels."""
        return self.labels.right(logits, batch)
