"""Learning boxes: anchors are given to objects by overlap, focal loss for classes, smooth L1 for the codes of boxes."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pocketvision.graph import boxes
from pocketvision.models.ssd import CODES, SsdHead, last_of
from pocketvision.tasks import Integers, Targeted
from pocketvision.values import TaskSpec

ALPHA, GAMMA = 0.25, 2.0
"""Of the focal loss (T.-Y. Lin and others, "Focal Loss for Dense Object Detection", 2017, section 3)."""
PRIOR = 0.01
"""What a fresh net says of every class at every anchor (the same paper, section 3.3)."""
NEAR, FAR = 0.5, 0.4
"""Overlap from which on an anchor is an object's, and below which it is background; between, it teaches no class."""
_CROWD = 2


class Assigned(NamedTuple):
    """What each anchor is to say: [B, A] and codes [B, A, 4]."""

    labels: Tensor
    """The class, -1 for background, -2 where nothing is asked."""
    codes: Tensor


@dataclass(frozen=True, eq=False)
class DetectionLoss:
    """Focal loss of every class at every anchor, and smooth L1 of the codes where an object is, by the objects' count.

    Each object takes the anchor that overlaps it most, whatever the overlap, and all that overlap it by `NEAR`.
    """

    spec: TaskSpec
    smoothing: float = 0.0

    @cached_property
    def anchors(self) -> Tensor:
        """Return the anchors [A, 4]."""
        return torch.from_numpy(boxes.anchors(self.spec.maps, self.spec.resolution))

    def __call__(self, logits: Tensor, batch: Targeted) -> Tensor:
        """Return the sum over the batch by the number of anchors that have an object."""
        anchors = self.anchors.to(logits.device)
        assigned = assign(anchors, batch.targets)
        there = assigned.labels >= 0
        wanted = nn.functional.one_hot(assigned.labels.clamp(min=0), logits.shape[2] - CODES).to(logits)
        wanted = wanted * there[..., None]
        classes = focal(logits[..., CODES:], wanted) * (assigned.labels > -2)[..., None]
        codes = nn.functional.smooth_l1_loss(logits[..., :CODES][there], assigned.codes[there], reduction="sum")
        loss: Tensor = (classes.sum() + codes) / max(1.0, self.weight(batch))
        return loss

    def weight(self, batch: Targeted) -> float:
        """Return the number of anchors that have an object."""
        return float((assign(self.anchors.to(batch.targets.device), batch.targets).labels >= 0).sum())

    def right(self, logits: Tensor, batch: Targeted) -> Tensor:
        """Return the sum over the images of the share of objects' anchors that name the class; 1 without objects."""
        labels = assign(self.anchors.to(logits.device), batch.targets).labels
        there = labels >= 0
        right = there & (logits[..., CODES:].argmax(2) == labels) & (logits[..., CODES:].amax(2) >= 0)
        shares: Tensor = torch.where(there.any(1), right.sum(1) / there.sum(1).clamp(min=1), 1.0)
        return shares.sum()


def focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the focal loss of each value by itself."""
    cross = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    chance = logits.sigmoid()
    missed = chance * (1 - wanted) + (1 - chance) * wanted
    weight: Tensor = (ALPHA * wanted + (1 - ALPHA) * (1 - wanted)) * missed**GAMMA
    return weight * cross


@torch.no_grad()
def assign(anchors: Tensor, targets: Tensor) -> Assigned:
    """Give each anchor [A, 4] what it is to say of images with targets [B, G, 7]."""
    objects, labels = targets[..., 1:5].float(), targets[..., 0].long()
    learned = (labels >= 0) & (targets[..., 6] != _CROWD)
    overlaps = _iou(anchors, objects)
    overlaps = torch.where((labels >= 0)[:, None], overlaps, -1.0)
    usable = torch.where(learned[:, None], overlaps, -1.0)
    best, taken = usable.max(2)
    first = usable.argmax(1)
    index = torch.arange(objects.shape[1], device=anchors.device).expand_as(first)
    rows = torch.arange(len(first), device=anchors.device)[:, None].expand_as(first)
    taken[rows[learned], first[learned]] = index[learned]
    best[rows[learned], first[learned]] = 1.0
    found = labels.gather(1, taken)
    found = torch.where(best >= NEAR, found, torch.where(overlaps.amax(2) < FAR, -1, -2))
    chosen = objects.gather(1, taken[..., None].expand(-1, -1, 4))
    return Assigned(found, encoded(chosen, anchors))


def encoded(corners: Tensor, anchors: Tensor) -> Tensor:
    """Return the codes of boxes [B, A, 4] relative to anchors [A, 4]."""
    size = (corners[..., 2:] - corners[..., :2]).clamp(min=1e-4)
    moved = ((corners[..., :2] + corners[..., 2:]) / 2 - anchors[:, :2]) / anchors[:, 2:]
    return torch.cat([moved, (size / anchors[:, 2:]).log()], 2) * anchors.new_tensor(boxes.SCALES)


def _iou(anchors: Tensor, objects: Tensor) -> Tensor:
    """Return the overlap [B, A, G] of anchors [A, 4] with boxes [B, G, 4]."""
    half = anchors[:, 2:] / 2
    low = torch.maximum((anchors[:, :2] - half)[None, :, None], objects[:, None, :, :2])
    high = torch.minimum((anchors[:, :2] + half)[None, :, None], objects[:, None, :, 2:])
    shared = (high - low).clamp(min=0).prod(3)
    areas = anchors[:, 2:].prod(1)[None, :, None] + (objects[..., 2:] - objects[..., :2]).clamp(min=0).prod(2)[:, None]
    return shared / (areas - shared).clamp(min=1e-9)


def objective(
    targets: Integers, outputs: int, spec: TaskSpec, *, balance: str, smoothing: float
) -> tuple[DetectionLoss, None]:
    """Return the loss; classes are not balanced, since focal loss counts rare things more by itself."""
    return DetectionLoss(spec, smoothing), None


def soften(logits: Tensor, temperature: float) -> Tensor:
    """Return codes as they are and classes as probabilities at a temperature."""
    return torch.cat([logits[..., :CODES], (logits[..., CODES:] / temperature).sigmoid()], 2)


def imitation(logits: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """Return how far classes are from softened ones, and codes from the teacher's where it is sure of a thing."""
    said, sure = wanted[..., CODES:], wanted[..., CODES:].amax(2)
    cross = nn.functional.binary_cross_entropy_with_logits(logits[..., CODES:] / temperature, said, reduction="none")
    gap = (cross - torch.special.entr(said) - torch.special.entr(1 - said)) * (
        (logits[..., CODES:] / temperature).sigmoid() - said
    ).abs() ** GAMMA
    codes = nn.functional.smooth_l1_loss(logits[..., :CODES], wanted[..., :CODES], reduction="none").sum(2)
    loss: Tensor = (gap.sum() + (codes * sure).sum()) / sure.sum().clamp(min=1)
    return loss


@torch.no_grad()
def start_head(classifier: nn.Module, targets: Integers) -> None:
    """Let fresh prediction layers say of every class that it is nearly nowhere."""
    assert isinstance(classifier, SsdHead)
    for predictor in classifier.classes:
        last = last_of(predictor)
        assert last.bias is not None
        nn.init.constant_(last.bias, -float(torch.logit(torch.tensor(1 - PRIOR))))
