"""Random views of training images and of the boxes in them: zoom in and out, mirror, colors, a whole batch at a time.

As `augment` does it: one resampling, and all randomness from a seed for each image. A view is never turned, since the
box around a turned box is too large.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from pocketvision.data.augment import (
    Draws,
    Filters,
    Seeds,
    between,
    draws_of,
    recolored,
    resampled,
    sample_grid,
    ways_of,
)

_DRAWS = 10
LABEL, FIRST, LAST, AREA, FLAG = 0, 1, 5, 5, 6
"""Columns of targets [n, G, 7]: label, corners y1, x1, y2, x2 as shares of the image, area in pixels, flag."""
ABSENT = -1.0
"""Label of a row without a box."""


@dataclass(frozen=True)
class AugmentBoxes:
    """How far the views may differ from the image; zero or (1, 1) turns a thing off."""

    zoom: tuple[float, float] = (0.7, 1.4)
    """Size of the view's objects beside the image's; below 1 the mean color fills what the image leaves free."""
    ratio: tuple[float, float] = (4 / 5, 5 / 4)
    """Width by height of the zoom."""
    flip: bool = True
    """Mirror every second image; not where a mirrored image means something else."""
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    """Each a factor from 1 - x to 1 + x."""
    least: float = 0.4
    """Share of a box's area that must lie within the view; of one that has less nothing is said."""
    filters: Filters = field(default_factory=Filters)


def augment_boxes(
    batch_nhwc: Tensor, targets: Tensor, resolution: int, settings: AugmentBoxes, *, seeds: Seeds
) -> tuple[Tensor, Tensor]:
    """Turn uint8 images [n, s, s, 3] into views as `augment` does, and targets [n, G, 7] into those of the views.

    Boxes are clipped to the view; rows of those that hardly lie in it become absent. `seeds` [n] decides all that is
    random, each of its own image only.
    """
    assert len(seeds) == len(batch_nhwc) == len(targets), (len(seeds), len(batch_nhwc), len(targets))
    draws = draws_of(seeds, _DRAWS)
    windows = torch.from_numpy(_windows(draws[:, :6], settings)).to(batch_nhwc.device, torch.float32)
    ways = ways_of(draws[:, 6], settings.filters)
    spread = (settings.brightness, settings.contrast, settings.saturation)
    views = torch.empty((len(seeds), 3, resolution, resolution), device=batch_nhwc.device)
    for way in np.unique(ways):
        places = np.flatnonzero(ways == way)
        chosen = torch.from_numpy(places).to(batch_nhwc.device)
        images = batch_nhwc.index_select(0, chosen).permute(0, 3, 1, 2).float()
        # Beyond the edge lies zero, so that it is the mean that has to be zero.
        mean = images.mean((2, 3), keepdim=True)
        grid = sample_grid(windows.index_select(0, chosen), resolution)
        cut = resampled(images - mean, grid, int(way), outside="zeros") + mean
        views.index_copy_(0, chosen, recolored(cut, draws[places, 7:], spread))
    return views, seen_boxes(targets, windows, least=settings.least)


def seen_boxes(targets: Tensor, windows: Tensor, *, least: float) -> Tensor:
    """Return targets [n, G, 7] as they lie in windows [n, 2, 3], clipped; those with less than `least` are absent."""
    size, place = windows[:, :, :2].diagonal(dim1=1, dim2=2).flip(1)[:, None], windows[:, :, 2].flip(1)[:, None]
    corners = targets[..., FIRST:LAST].reshape(*targets.shape[:2], 2, 2) * 2 - 1
    moved = ((corners - place[:, :, None]) / size[:, :, None] + 1) / 2
    lower, upper = moved.amin(2), moved.amax(2)
    clipped = torch.cat([lower.clamp(0, 1), upper.clamp(0, 1)], -1)
    whole = (upper - lower).prod(-1)
    part = (clipped[..., 2:] - clipped[..., :2]).prod(-1)
    stays = (targets[..., LABEL] >= 0) & (part >= least * whole) & (part > 0)
    label = torch.where(stays, targets[..., LABEL], ABSENT)
    return torch.cat([label[..., None], clipped, targets[..., AREA:]], -1)


def _windows(draws: Draws, settings: AugmentBoxes) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return matrices [n, 2, 3] from the view's square (-1..1, edge to edge) to the image's: sizes and places."""
    zoom = np.exp(between(draws[:, 0], *(math.log(one) for one in settings.zoom)))
    stretch = np.sqrt(np.exp(between(draws[:, 1], *(math.log(one) for one in settings.ratio))))
    size = np.stack([1 / (zoom * stretch), stretch / zoom], 1)
    mirror = np.where(draws[:, 5] < 0.5 * settings.flip, -1.0, 1.0)
    windows = np.zeros((len(draws), 2, 3))
    windows[:, 0, 0], windows[:, 1, 1] = size[:, 0] * mirror, size[:, 1]
    # Within the image where the view is smaller, around it where it is larger.
    windows[:, :, 2] = np.abs(1 - size) * (draws[:, 2:4] * 2 - 1)
    return windows
