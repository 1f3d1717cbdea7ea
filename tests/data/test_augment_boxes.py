"""Random views of images with boxes: the boxes stay on what they were drawn around, and all follows from the seeds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pocketvision.data.augment import BILINEAR, seeds_of
from pocketvision.data.augment_boxes import AugmentBoxes, augment_boxes, seen_boxes

NOTHING = AugmentBoxes((1.0, 1.0), (1.0, 1.0), False, 0.0, 0.0, 0.0, filters=BILINEAR)
SIDE = 64


def seeds(count: int, seed: int = 1) -> np.ndarray:
    return seeds_of(seed, 0, np.arange(count))


def scenes(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Black images with one white rectangle each, well inside, and its box; a second row is absent."""
    rng = np.random.default_rng(3)
    images = np.zeros((count, SIDE, SIDE, 3), np.uint8)
    targets = np.zeros((count, 2, 7), np.float32)
    targets[:, 1, 0] = -1
    for image, target in zip(images, targets, strict=True):
        top, left = rng.integers(8, 30, 2)
        tall, wide = rng.integers(10, 24, 2)
        image[top : top + tall, left : left + wide] = 255
        target[0] = (2, top / SIDE, left / SIDE, (top + tall) / SIDE, (left + wide) / SIDE, tall * wide, 1)
    return torch.from_numpy(images), torch.from_numpy(targets)


def measured(view: torch.Tensor) -> np.ndarray:
    """Return the corners of what is white in a view, as shares."""
    white = view.mean(0).numpy() > (view.max() + view.min()).item() / 2
    rows, columns = np.flatnonzero(white.any(1)), np.flatnonzero(white.any(0))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]) / len(view[0])


def test_nothing_changes_nothing() -> None:
    images, targets = scenes(4)
    views, found = augment_boxes(images, targets, SIDE, NOTHING, seeds=seeds(4))
    assert torch.allclose(views, images.permute(0, 3, 1, 2) / 255, atol=1e-4)
    assert torch.allclose(found, targets, atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        replace(NOTHING, flip=True),
        replace(NOTHING, zoom=(0.5, 0.5)),
        replace(NOTHING, zoom=(1.5, 1.5), least=0.01),
        replace(NOTHING, ratio=(0.5, 2.0)),
        replace(AugmentBoxes(), filters=BILINEAR, contrast=0.1, least=0.01),
    ],
)
def test_boxes_stay_around_what_they_were_drawn_around(settings: AugmentBoxes) -> None:
    images, targets = scenes(40)
    views, found = augment_boxes(images, targets, 96, settings, seeds=seeds(40))
    present = (found[:, 0, 0] == 2).numpy()
    assert present.mean() > 0.8
    for view, target in zip(views[present], found[present], strict=True):
        assert np.allclose(measured(view), target[0, 1:5].numpy(), atol=2 / 96)
    assert (found[:, 1, 0] == -1).all()
    assert torch.equal(found[..., 5:], targets[..., 5:])


def test_a_box_that_hardly_lies_in_the_view_is_absent_and_others_are_clipped() -> None:
    rows = ((0, 0.0, 0.0, 0.4, 0.4), (1, 0.2, 0.2, 0.4, 0.4), (2, 0.3, 0.3, 0.6, 0.5))
    whole = torch.tensor([[(*row, 9, 0) for row in rows]])
    # The view is the lower right three quarters of the image on a side: shares from 0.25 on.
    window = torch.tensor([[[0.75, 0.0, 0.25], [0.0, 0.75, 0.25]]])
    (found,) = seen_boxes(whole, window, least=0.4)
    assert found[:, 0].tolist() == [-1, 1, 2]
    assert found[1, 1:5].tolist() == pytest.approx([0, 0, 0.2, 0.2], abs=1e-6)
    assert found[2, 1:5].tolist() == pytest.approx([0.05 / 0.75, 0.05 / 0.75, 0.35 / 0.75, 0.25 / 0.75], abs=1e-6)
    assert seen_boxes(whole, window, least=0.1)[0, 0, 0] == 0


def test_zooming_out_fills_with_the_mean_color_and_loses_no_box() -> None:
    images, targets = scenes(20)
    views, found = augment_boxes(images, targets, SIDE, replace(NOTHING, zoom=(0.5, 0.5)), seeds=seeds(20))
    assert (found[:, 0, 0] == 2).all()
    sides = found[:, 0, 3:5] - found[:, 0, 1:3]
    assert torch.allclose(sides, (targets[:, 0, 3:5] - targets[:, 0, 1:3]) / 2, atol=1e-6)
    means = images.float().mean((1, 2, 3)) / 255
    for view, mean in zip(views, means, strict=True):
        assert ((view - mean).abs() < 1e-4).float().mean() > 0.7


def test_a_view_follows_from_its_seed_alone() -> None:
    images, targets = scenes(6)
    views, found = augment_boxes(images, targets, 48, AugmentBoxes(), seeds=seeds(6))
    alone = augment_boxes(images[2:3], targets[2:3], 48, AugmentBoxes(), seeds=seeds(6)[2:3])
    assert torch.allclose(views[2:3], alone[0], atol=1e-6)
    assert torch.equal(found[2:3], alone[1])
    other = augment_boxes(images, targets, 48, AugmentBoxes(), seeds=seeds(6, seed=2))
    assert not torch.equal(views, other[0])
    assert not torch.equal(found, other[1])


def test_images_without_boxes_stay_without() -> None:
    images, _ = scenes(3)
    empty = torch.full((3, 1, 7), -1.0)
    _, found = augment_boxes(images, empty, 48, AugmentBoxes(), seeds=seeds(3))
    assert (found[..., 0] == -1).all()
