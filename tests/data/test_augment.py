"""Random views: the same for the same seed, within bounds, and nothing at all when everything is off."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from pocketvision.data.augment import BILINEAR, Augment, Filters, augment, seed_of, seeds_of, turns_of

NOTHING = Augment((1.0, 1.0), (1.0, 1.0), False, 0.0, 0.0, 0.0, 0.0, filters=BILINEAR)


def dice(seed: int, count: int = 6) -> np.ndarray:
    return seeds_of(seed, 0, np.arange(count))


def image_batch(count=6, side=40) -> torch.Tensor:
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))


def as_float(batch: torch.Tensor) -> torch.Tensor:
    return batch.permute(0, 3, 1, 2) / 255


def test_views_are_floats_of_the_size_asked_for():
    views = augment(image_batch(), 32, Augment(), seeds=dice(1))
    assert views.shape == (6, 3, 32, 32)
    assert views.dtype == torch.float32
    assert views.is_contiguous()
    assert 0 <= views.min() < views.max() <= 1


def test_nothing_changes_nothing():
    batch = image_batch()
    assert torch.allclose(augment(batch, 40, NOTHING, seeds=dice(1)), as_float(batch), atol=1e-4)


def test_without_changes_another_size_is_a_plain_resize():
    batch = image_batch()
    expected = torch.nn.functional.interpolate(as_float(batch), size=(80, 80), mode="bilinear", align_corners=False)
    views = augment(batch, 80, NOTHING, seeds=dice(1))
    assert torch.allclose(views[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], atol=1e-4)


def test_the_same_seed_gives_the_same_views_in_any_thread():
    batch, settings, found = image_batch(), Augment(), []
    expected = augment(batch, 32, settings, seeds=dice(7))
    threads = [
        threading.Thread(target=lambda: found.append(augment(batch, 32, settings, seeds=dice(7)))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
        torch.rand(3)
    for thread in threads:
        thread.join()
    assert all(torch.equal(views, expected) for views in found)
    assert not torch.equal(augment(batch, 32, settings, seeds=dice(8)), expected)


def test_torchs_own_dice_are_not_thrown():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    augment(image_batch(), 32, Augment(), seeds=dice(1))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_images_of_a_batch_differ():
    batch = image_batch(1).repeat(8, 1, 1, 1)
    views = augment(batch, 32, Augment(), seeds=dice(1, 8))
    assert all(not torch.allclose(views[0], view) for view in views[1:])


def test_flip_mirrors_about_half_and_only_if_asked():
    batch = image_batch(200, 8)
    plain = as_float(batch)
    mirrored = augment(batch, 8, replace(NOTHING, flip=True), seeds=dice(4, 200))
    flipped = [torch.allclose(view, own.flip(-1), atol=1e-4) for view, own in zip(mirrored, plain, strict=True)]
    kept = [torch.allclose(view, own, atol=1e-4) for view, own in zip(mirrored, plain, strict=True)]
    assert all(a != b for a, b in zip(flipped, kept, strict=True))
    assert 70 < sum(flipped) < 130


def test_crops_keep_to_their_area_and_stay_inside():
    """A ramp tells where a view was cut: left to right it grows by the crop's width."""
    side, count = 64, 300
    ramp = torch.linspace(0, 255, side).round().to(torch.uint8)
    batch = torch.stack([ramp.expand(side, side), ramp[:, None].expand(side, side), ramp.expand(side, side)], -1)
    settings = replace(NOTHING, scale=(0.5, 0.8), ratio=(3 / 4, 4 / 3))
    views = augment(batch.expand(count, -1, -1, -1), 32, settings, seeds=dice(2, 300)) * (side - 1) / side
    width = (views[:, 0, 16, -2] - views[:, 0, 16, 1]) * 32 / 29
    height = (views[:, 1, -2, 16] - views[:, 1, 1, 16]) * 32 / 29
    area, ratio = width * height, width / height
    assert 0.47 < area.min() < 0.53
    assert 0.75 < area.max() < 0.84
    assert 0.7 < ratio.min() < 0.8
    assert 1.25 < ratio.max() < 1.4


def test_turns_are_small_and_go_both_ways():
    batch = torch.zeros(60, 65, 65, 3, dtype=torch.uint8)
    batch[:, 30:35, 40:] = 255
    settings = replace(NOTHING, degrees=10.0)
    views = augment(batch, 65, settings, seeds=dice(3, 60))[:, 0]
    rows = torch.arange(65.0)[:, None]
    center = (views[:, :, 52] * rows.T).sum(1) / views[:, :, 52].sum(1)
    shift = center - 32
    assert shift.max() > 2
    assert shift.min() < -2
    assert shift.abs().max() < 20 * torch.tensor(10.5).deg2rad().tan()


@pytest.mark.parametrize("field", ["brightness", "contrast", "saturation"])
def test_each_color_setting_changes_colors(field):
    batch = image_batch(4, 16)
    views = augment(batch, 16, replace(NOTHING, **{field: 0.3}), seeds=dice(9, 4))
    assert (views - as_float(batch)).abs().max() > 0.02


def test_seeds_of_batches_differ():
    seeds = {seed_of(seed, epoch, batch) for seed in range(4) for epoch in range(20) for batch in range(20)}
    assert len(seeds) == 1600
    assert seed_of(42, 3, 5) == seed_of(42, 3, 5)
    assert 0 <= min(seeds) <= max(seeds) < 2**63


def test_seeds_of_images_differ_by_seed_epoch_place_and_turn():
    places = np.arange(50)
    kinds = [(seed, epoch, turn) for seed in (0, 1, 42) for epoch in range(5) for turn in range(3)]
    found = np.concatenate([seeds_of(seed, epoch, places, np.full(50, turn)) for seed, epoch, turn in kinds])
    assert len(np.unique(found)) == 50 * len(kinds)


def test_turns_count_earlier_draws_of_the_same_image():
    assert turns_of(np.array([3, 1, 3, 3, 0, 1])).tolist() == [0, 0, 1, 2, 0, 1]


def test_a_view_does_not_depend_on_the_rest_of_the_batch():
    batch, settings, seeds = image_batch(24), Augment(), dice(7, 24)
    together = augment(batch, 32, settings, seeds=seeds)
    order = np.random.default_rng(0).permutation(24)
    shuffled = augment(batch[order], 32, settings, seeds=seeds[order])
    alone = torch.cat([augment(batch[i : i + 1], 32, settings, seeds=seeds[i : i + 1]) for i in range(24)])
    assert torch.allclose(shuffled, together[order], atol=1e-6)
    assert torch.allclose(alone, together, atol=1e-6)


@pytest.mark.parametrize("field", ["nearest", "bicubic"])
def test_a_way_of_resampling_is_what_it_says(field):
    batch = image_batch(4, 20)
    views = augment(batch, 40, replace(NOTHING, filters=replace(BILINEAR, **{field: 1.0})), seeds=dice(1, 4))
    expected = torch.nn.functional.interpolate(as_float(batch), size=(40, 40), mode=field).clamp(0, 1)
    assert torch.allclose(views[..., 4:-4, 4:-4], expected[..., 4:-4, 4:-4], atol=1e-3)


def test_area_is_the_mean_of_four_source_pixels():
    """Two source pixels wide, stripes of one pixel become grey, and a slope keeps its place."""
    stripes = torch.zeros(1, 20, 20, 3, dtype=torch.uint8)
    stripes[:, :, ::2] = 255
    slope = (torch.arange(20) * 10).to(torch.uint8).view(1, 1, 20, 1).expand(1, 20, 20, 3)
    batch = torch.cat([stripes, slope])
    views = augment(batch, 40, replace(NOTHING, filters=Filters(0.0, 0.0, 1.0)), seeds=dice(1, 2))
    assert torch.allclose(views[0], torch.tensor(0.5), atol=1e-3)
    middle = torch.arange(4, 36)
    assert torch.allclose(views[1, 0, 20, 4:36], ((middle + 0.5) / 2 - 0.5) * 10 / 255, atol=1e-3)


def test_ways_of_resampling_come_as_often_as_asked():
    seeds = dice(3, 4000)
    batch = image_batch(1, 8).expand(4000, -1, -1, -1)
    settings = replace(NOTHING, filters=Filters(0.1, 0.2, 0.3))
    views = augment(batch, 6, settings, seeds=seeds)
    shares = torch.unique((views * 1e4).round().long().flatten(1), dim=0, return_counts=True)[1] / 4000
    assert torch.allclose(shares.sort().values, torch.tensor([0.1, 0.2, 0.3, 0.4]), atol=0.03)
