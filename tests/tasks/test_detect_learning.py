"""Learning boxes: matching in hand-made cases, a loss that is least where all is right, images without objects."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from pocketvision.graph import boxes
from pocketvision.tasks.detect.learning import NOTHING, DetectionLoss, assign, imitation, objective, soften
from pocketvision.values import AnchorMap, TaskSpec

GRID = 8


def asked(size: float = 0.25) -> TaskSpec:
    """Return a task whose net has one map of 8x8 cells, with one square anchor each."""
    return TaskSpec("detect", ("a", "b", "c"), maps=(AnchorMap(8, ((size, size),)),), resolution=8 * GRID)


def grid_anchors(size: float = 0.25) -> Tensor:
    return torch.from_numpy(boxes.anchors(asked(size).maps, 8 * GRID))


def loss_of(size: float = 0.25) -> DetectionLoss:
    loss, weights = objective(np.zeros((1, 1, 7)), 3, asked(size), balance="none", smoothing=0.1)
    assert weights is None
    return loss


def rows(*listed: tuple[float, ...], most: int = 4) -> Tensor:
    """Return targets [1, most, 7] of rows (label, y1, x1, y2, x2, flag)."""
    found = torch.full((1, most, 7), 0.0)
    found[..., 0] = -1
    for place, (*box, flag) in enumerate(listed):
        found[0, place] = torch.tensor([*box, 100.0, flag])
    return found


def batch(targets: Tensor) -> SimpleNamespace:
    return SimpleNamespace(targets=targets)


def perfect(anchors: Tensor, targets: Tensor, classes: int = 3, sure: float = 12.0) -> Tensor:
    """Return the logits that say exactly what is to be said."""
    labels, codes = assign(anchors, targets)
    logits = torch.full((len(targets), len(anchors), 4 + classes), -sure)
    logits[..., :4] = codes
    logits[..., 4:][labels >= 0] = torch.nn.functional.one_hot(labels[labels >= 0], classes) * 2 * sure - sure
    return logits


def test_an_anchor_has_the_object_that_it_overlaps_most_and_by_half() -> None:
    labels = assign(grid_anchors(0.5), rows((2, 0.1875, 0.1875, 0.6875, 0.6875, 0))).labels.view(GRID, GRID)
    # A step of 1/8 to one side leaves an IoU of 0.6, one to the side and down 0.39.
    expected = torch.full((GRID, GRID), -1)
    expected[3, 2:5] = expected[2:5, 3] = 2
    assert torch.equal(labels, expected)


def test_every_object_has_its_best_anchor_even_below_half() -> None:
    small = rows((1, 0.51, 0.51, 0.55, 0.55, 0), (0, 0.0, 0.0, 1.0, 1.0, 0))
    labels = assign(grid_anchors(), small).labels
    assert sorted(labels[labels >= 0].tolist()) == [0, 1]


def test_two_objects_with_one_best_anchor_give_it_to_the_later_one() -> None:
    one = grid_anchors(0.25)[:1]
    both = rows((0, 0.0, 0.0, 0.1, 0.1, 0), (2, 0.0, 0.0, 0.11, 0.1, 0))
    assert assign(one, both).labels.tolist() == [[2]]


def test_of_anchors_in_a_crowd_nothing_is_learned_unless_they_have_an_object() -> None:
    anchors = grid_anchors()
    crowd, single = (0, 0.0, 0.0, 0.5, 0.5, 2), (1, 0.125, 0.125, 0.375, 0.375, 0)
    labels = assign(anchors, rows(crowd, single)).labels.view(GRID, GRID)
    assert labels[0, 0] == NOTHING
    assert labels[7, 7] == -1
    assert labels[1, 1] == 1
    loss, logits = loss_of(), torch.full((1, GRID * GRID, 7), -3.0)
    wrong = logits.clone()
    wrong[0, 0, 4] = 5.0
    assert torch.equal(loss(logits, batch(rows(crowd, single))), loss(wrong, batch(rows(crowd, single))))


def test_absent_rows_change_nothing() -> None:
    logits = torch.randn(1, GRID * GRID, 7, generator=torch.Generator().manual_seed(1))
    box = (1, 0.3, 0.3, 0.5, 0.6, 0)
    few, many = (loss_of()(logits, batch(rows(box, most=most))) for most in (1, 9))
    assert torch.equal(few, many)


def test_the_loss_is_least_where_all_is_right_and_rises_with_each_mistake() -> None:
    anchors = grid_anchors()
    targets = rows((2, 0.2, 0.2, 0.45, 0.5, 0), (0, 0.6, 0.6, 0.8, 0.8, 0))
    loss, right = loss_of(), perfect(anchors, targets)
    best = float(loss(right, batch(targets)))
    assert best < 1e-3
    shifted, confused, ghost = right.clone(), right.clone(), right.clone()
    shifted[..., 0] += 1.0
    confused[..., 4:] = right[..., 4:].roll(1, -1)
    ghost[0, -1, 4] = 6.0
    assert min(float(loss(wrong, batch(targets))) for wrong in (shifted, confused, ghost)) > best + 0.3


def test_images_without_objects_are_negatives() -> None:
    nothing = rows()
    logits = torch.zeros(1, GRID * GRID, 7, requires_grad=True)
    loss = loss_of()
    loss(logits, batch(nothing)).backward()
    assert logits.grad is not None
    assert (logits.grad[..., 4:] > 0).all()
    assert (logits.grad[..., :4] == 0).all()
    assert loss.weight(batch(nothing)) == 1
    assert loss.right(torch.full((1, GRID * GRID, 7), -1.0), batch(nothing)) == 1
    assert loss.right(torch.ones(1, GRID * GRID, 7), batch(nothing)) == 0


def test_losses_of_parts_add_up_to_the_wholes() -> None:
    targets = torch.cat([rows((2, 0.2, 0.2, 0.45, 0.5, 0)), rows(), rows((0, 0.6, 0.6, 0.8, 0.8, 0))])
    logits = torch.randn(3, GRID * GRID, 7, generator=torch.Generator().manual_seed(2))
    loss = loss_of()
    whole = loss(logits, batch(targets))
    parts = [
        loss(logits[part], batch(targets[part])) * loss.weight(batch(targets[part])) / loss.weight(batch(targets))
        for part in (slice(0, 1), slice(1, 2), slice(2, 3))
    ]
    assert torch.stack(parts).sum().item() == pytest.approx(whole.item(), rel=1e-5)


def test_right_counts_the_anchors_whose_class_is_told() -> None:
    anchors, targets = grid_anchors(0.5), rows((2, 0.1875, 0.1875, 0.6875, 0.6875, 0))
    right = perfect(anchors, targets)
    some = right.clone()
    some[0, (assign(anchors, targets).labels[0] >= 0).nonzero()[:2, 0], 4:] = -9.0
    loss = loss_of(0.5)
    assert loss.right(right, batch(targets)) == 1
    assert loss.right(some, batch(targets)) == pytest.approx(3 / 5)


def test_a_student_is_best_where_it_says_what_its_teacher_says() -> None:
    generator = torch.Generator().manual_seed(3)
    teacher = torch.randn(2, GRID * GRID, 7, generator=generator) * 2
    wanted = soften(teacher, 2.0)
    assert torch.equal(wanted[..., :4], teacher[..., :4])
    same, codes, classes = (teacher.clone() for _ in range(3))
    codes[..., :4] += 1.0
    classes[..., 4:] += 1.0
    own, *others = (imitation(one, wanted, 2.0) for one in (same, codes, classes))
    assert own < 1e-6
    assert min(float(other) for other in others) > 0.001
    # Where the teacher sees nothing, its codes mean nothing.
    background = soften(torch.full((1, 4, 7), -30.0), 1.0)
    assert imitation(torch.full((1, 4, 7), -30.0), background + torch.tensor([5.0] * 4 + [0.0] * 3), 1.0) < 1e-3


def test_matching_is_one_pass_over_the_batch() -> None:
    targets = torch.cat([rows((2, 0.2, 0.2, 0.45, 0.5, 0)), rows((0, 0.6, 0.6, 0.8, 0.8, 0)), rows()])
    together = assign(grid_anchors(), targets)
    for place in range(3):
        alone = assign(grid_anchors(), targets[place : place + 1])
        assert np.array_equal(together.labels[place], alone.labels[0])
