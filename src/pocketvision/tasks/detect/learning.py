"""Learning boxes: anchors are given to objects by overlap, focal loss for classes, smooth L1 for the codes of boxes."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.graph import boxes
from pocketvision.metrics.box_matches import CROWD
from pocketvision.models.ssd import CODES, SsdHead, last_of
from pocketvision.tasks import Integers, Targeted, TrainDefaults
from pocketvision.values import TaskSpec

DEFAULTS = TrainDefaults(
    transfer_epochs=24,
    scratch_epochs=150,
    head_epochs=0,
    upper=False,
    progressive=False,
    momentum=False,
    picked=3,
    finalists=1,
)
"""docs/measurements/detection.md has what each costs and gains."""
PLACED = True
ALPHA, GAMMA = 0.25, 2.0
"""Of the focal loss (T.-Y. Lin and others, "Focal Loss for Dense Object Detection", 2017, section 3)."""
PRIOR = 0.01
"""What a fresh net says of every class at every anchor (the same paper, section 3.3)."""
CLASSES = 4.0
"""What the focal loss counts beside the loss of the four codes of a box."""
NEAR = 0.5
"""Overlap from which on an anchor is an object's; below it the anchor is background."""
CROWDED = 0.5
"""Share of an anchor that lies in a crowd from which on it teaches no class."""
NOTHING = -2


class Assigned(NamedTuple):
    """What each anchor is to say: [B, A] and codes [B, A, 4]."""

    labels: Tensor
    """The class, -1 for background, `NOTHING` where nothing is asked."""
    codes: Tensor


@dataclass(frozen=True, eq=False)
class DetectionLoss:
    """Focal loss of every class at every anchor, and smooth L1 of the codes where an object is, by the objects' count.

    Each object takes the anchor that overlaps it most, whatever the overlap, and all that overlap it by `NEAR`. An
    image without objects is learned from like any other: all its anchors are background.
    """

    spec: TaskSpec

    @cached_property
    def anchors(self) -> Tensor:
        """Return the anchors [A, 4]."""
        return torch.from_numpy(boxes.anchors(self.spec.maps, self.spec.resolution))

    def __call__(self, logits: Tensor, batch: Targeted) -> Tensor:
        """Return the sum over the batch by the number of anchors that have an object."""
        assigned = assign(self.anchors.to(logits.device), batch.targets)
        there = assigned.labels >= 0
        wanted = nn.functional.one_hot(assigned.labels.clamp(min=0), logits.shape[2] - CODES).to(logits)
        classes = focal(logits[..., CODES:], wanted * there[..., None]) * (assigned.labels > NOTHING)[..., None]
        codes = nn.functional.smooth_l1_loss(logits[..., :CODES][there], assigned.codes[there], reduction="sum")
        loss: Tensor = (CLASSES * classes.sum() + codes) / there.sum().clamp(min=1)
        return loss

    def weight(self, batch: Targeted) -> float:
        """Return the number of anchors that have an object, and 1 where none has."""
        return max(1.0, float((self._labels(batch) >= 0).sum()))

    def right(self, logits: Tensor, batch: Targeted) -> Tensor:
        """Return the sum over the images of the share of objects' anchors that name the class at a probability of 1/2
        or more; without objects, 1 where no anchor names any."""
        labels = self._labels(batch).to(logits.device)
        there, (best, named) = labels >= 0, logits[..., CODES:].max(2)
        shares = (there & (named == labels) & (best >= 0)).sum(1) / there.sum(1).clamp(min=1)
        right: Tensor = torch.where(there.any(1), shares, (best < 0).all(1).to(shares)).sum()
        return right

    def _labels(self, batch: Targeted) -> Tensor:
        return assign(self.anchors.to(batch.targets.device), batch.targets).labels


def focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the focal loss of each value by itself."""
    cross = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    chance = logits.sigmoid()
    missed = chance * (1 - wanted) + (1 - chance) * wanted
    weight: Tensor = (ALPHA * wanted + (1 - ALPHA) * (1 - wanted)) * missed**GAMMA
    return weight * cross


@torch.no_grad()
def assign(anchors: Tensor, targets: Tensor) -> Assigned:
    """Give each anchor [A, 4] what it is to say of images with targets [B, G, 7].

    Source: W. Liu and others, "SSD: Single Shot MultiBox Detector" (2016), section 2.2.
    """
    objects, labels = targets[..., 1:5].float(), targets[..., 0].long()
    crowds = (labels >= 0) & (targets[..., 6] == CROWD)
    shared, areas = _shared(anchors, objects)
    own = anchors[:, 2:].prod(1)[:, None]
    usable = torch.where(((labels >= 0) & ~crowds)[:, None], shared / (own + areas - shared).clamp(min=1e-9), -1.0)
    best, taken = usable.max(2)
    reached, first = usable.max(1)
    # Of two objects with one best anchor the later in the list has it, on every device and by any number of threads.
    index = torch.where(reached > 0, torch.arange(objects.shape[1], device=anchors.device), -1)
    claims = torch.full_like(taken, -1).scatter_reduce(1, first, index, "amax")
    taken = torch.where(claims >= 0, claims, taken)
    found = torch.where((best >= NEAR) | (claims >= 0), labels.gather(1, taken), -1)
    crowded = ((shared >= CROWDED * own) & crowds[:, None]).any(2)
    found = torch.where(crowded & (found < 0), NOTHING, found)
    chosen = objects.gather(1, taken[..., None].expand(-1, -1, CODES))
    return Assigned(found, encoded(chosen, anchors))


def encoded(corners: Tensor, anchors: Tensor) -> Tensor:
    """Return the codes of boxes [B, A, 4] relative to anchors [A, 4]."""
    size = (corners[..., 2:] - corners[..., :2]).clamp(min=1e-4)
    moved = ((corners[..., :2] + corners[..., 2:]) / 2 - anchors[:, :2]) / anchors[:, 2:]
    return torch.cat([moved, (size / anchors[:, 2:]).log()], 2) * anchors.new_tensor(boxes.SCALES)


def _shared(anchors: Tensor, objects: Tensor) -> tuple[Tensor, Tensor]:
    """Return the area that anchors [A, 4] share with boxes [B, G, 4], and the boxes' own: [B, A, G], [B, 1, G]."""
    half = anchors[:, 2:] / 2
    low, high = ((anchors[:, :2] + side)[None, :, None] for side in (-half, half))
    inner = torch.minimum(high, objects[:, None, :, 2:]) - torch.maximum(low, objects[:, None, :, :2])
    areas = (objects[..., 2:] - objects[..., :2]).clamp(min=0).prod(2)
    return inner.clamp(min=0).prod(3), areas[:, None]


def objective(
    targets: Integers, outputs: int, spec: TaskSpec, *, balance: str, smoothing: float
) -> tuple[DetectionLoss, None]:
    """Return the loss; classes are not balanced, since focal loss counts what is hard, such as rare things, more.

    Labels are not smoothed either: nearly all anchors are background, and a share of the loss would be of nothing else.
    Raises UsageError for `sampler`: an image shows several classes.
    """
    if balance == "sampler":
        raise UsageError("--balance sampler draws images by their one class; for boxes take none")
    return DetectionLoss(spec), None


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
    loss: Tensor = (CLASSES * gap.sum() + (codes * sure).sum()) / sure.sum().clamp(min=1)
    return loss


@torch.no_grad()
def start_head(classifier: nn.Module, targets: Integers) -> None:
    """Let fresh prediction layers say of every class that it is nearly nowhere."""
    assert isinstance(classifier, SsdHead)
    for predictor in classifier.classes:
        last = last_of(predictor)
        assert last.bias is not None
        nn.init.constant_(last.bias, -float(torch.logit(torch.tensor(1 - PRIOR))))
