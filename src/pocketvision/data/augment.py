"""Random views of training images: crop, turn, mirror, resizer and colors, a whole batch at a time.

Geometry is one resampling, so that a view is no blurrier than the image that evaluation sees. All randomness comes
from a seed for each image: the same seed gives the same view, whatever else is in the batch, in any thread, and
torch's own random state is untouched.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Seeds = NDArray[np.uint64]
Draws = NDArray[np.float64]

_GREY = (0.299, 0.587, 0.114)
"""ITU-R BT.601."""
_DRAWS = 10
_MODES = ("bilinear", "nearest", "bicubic", "bilinear")
_AREA = 3


@dataclass(frozen=True)
class Filters:
    """How often a view is resampled in each way, so that a net does not come to rely on one; the rest is bilinear."""

    nearest: float = 0.15
    """The nearest source pixel: jagged, as the cheapest decoders and cameras' own thumbnails are."""
    bicubic: float = 0.15
    """Sharper than bilinear; A = -0.75, as in OpenCV."""
    area: float = 0.2
    """The mean of a square of four source pixels first: softer, as antialiased resizers are."""


BILINEAR = Filters(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Augment:
    """How far the views may differ from the image; zero or (1, 1) turns a thing off."""

    scale: tuple[float, float] = (0.6, 1.0)
    """Area of the crop, as a share of the image's."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width by height of the crop."""
    flip: bool = True
    """Mirror every second image; not where a mirrored image means something else."""
    degrees: float = 10.0
    """Largest turn to either side."""
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    """Each a factor from 1 - x to 1 + x."""
    filters: Filters = Filters()


def seeds_of(seed: int, epoch: int, places: NDArray[np.int64], turns: NDArray[np.int64] | None = None) -> Seeds:
    """Return a seed for each image of an epoch, known by its place among the training images.

    `turns` tells how often each was drawn before in this epoch, where images are drawn with replacement.
    """
    turn = np.zeros_like(places) if turns is None else turns
    seeds = np.full(places.shape, seed % 2**64, np.uint64)
    for number in (np.full_like(places, epoch), places, turn):
        seeds = _mix(seeds * _GOLDEN + number.astype(np.uint64) + np.uint64(1))
    return seeds


def seed_of(seed: int, epoch: int, batch: int) -> int:
    """Return the seed of what is drawn for a whole batch: the same wherever a run was interrupted."""
    return int(seeds_of(seed, epoch, np.array([batch]))[0] >> np.uint64(1))


def turns_of(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often each place of an order came before in it."""
    sorting = np.argsort(order, kind="stable")
    ordered = order[sorting]
    first = np.searchsorted(ordered, ordered)
    turns = np.empty_like(order)
    turns[sorting] = np.arange(len(order)) - first
    return turns


def augment(batch_nhwc: Tensor, resolution: int, settings: Augment, *, seeds: Seeds) -> Tensor:
    """Turn uint8 images [n, s, s, 3] into views: float [n, 3, resolution, resolution] in 0..1, on their device.

    `seeds` [n] decides all that is random, each of its own image only.
    """
    assert len(seeds) == len(batch_nhwc), (len(seeds), len(batch_nhwc))
    draws = draws_of(seeds, _DRAWS)
    matrices = torch.from_numpy(_matrices(draws[:, :6], settings)).to(batch_nhwc.device, torch.float32)
    ways = ways_of(draws[:, 6], settings.filters)
    views = torch.empty((len(seeds), 3, resolution, resolution), device=batch_nhwc.device)
    spread = (settings.brightness, settings.contrast, settings.saturation)
    for way in np.unique(ways):
        places = np.flatnonzero(ways == way)
        chosen = torch.from_numpy(places).to(batch_nhwc.device)
        images = batch_nhwc.index_select(0, chosen).permute(0, 3, 1, 2).float()
        cut = resampled(images, sample_grid(matrices.index_select(0, chosen), resolution), int(way))
        views.index_copy_(0, chosen, recolored(cut, draws[places, 7:], spread))
    return views


# ---------------------------------------------------------------- dice


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(numbers: Seeds) -> Seeds:
    """Return SplitMix64's finalizer of 64-bit numbers (G. Steele, D. Lea, C. Flood, Fast Splittable PRNGs, 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def draws_of(seeds: Seeds, count: int) -> Draws:
    """Return `count` numbers in [0, 1) for each seed: [n, count]."""
    steps = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    bits = _mix(seeds[:, None] + steps)
    return np.asarray((bits >> np.uint64(11)) * 2.0**-53, np.float64)


# ---------------------------------------------------------------- geometry


def _matrices(draws: Draws, settings: Augment) -> NDArray[np.float64]:
    """Return matrices [n, 2, 3] from the view's square (-1..1, edge to edge) to the image's."""
    area = between(draws[:, 0], *settings.scale)
    stretch = np.sqrt(np.exp(between(draws[:, 1], *(math.log(ratio) for ratio in settings.ratio))))
    side = np.sqrt(area)
    size = np.minimum(np.stack([side * stretch, side / stretch], 1), 1.0)
    angle = np.deg2rad(between(draws[:, 4], -settings.degrees, settings.degrees))
    mirror = np.where(draws[:, 5] < 0.5 * settings.flip, -1.0, 1.0)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], 1).reshape(-1, 2, 2)
    matrices = np.empty((len(draws), 2, 3))
    matrices[:, :, :2] = turn * size[:, None]
    matrices[:, :, 0] *= mirror[:, None]
    matrices[:, :, 2] = (1 - size) * (draws[:, 2:4] * 2 - 1)
    return matrices


def ways_of(draws: Draws, filters: Filters) -> NDArray[np.int64]:
    """Return each view's way of resampling: places in `_MODES`."""
    ends = np.cumsum([1 - filters.nearest - filters.bicubic - filters.area, filters.nearest, filters.bicubic])
    return np.searchsorted(ends, draws, side="right")


def resampled(images: Tensor, grid: Tensor, way: int, *, outside: str = "reflection") -> Tensor:
    """Return what lies at a grid of places in images [n, 3, s, s]; `outside` says what is beyond the edge."""
    if way == _AREA:
        side = images.shape[-1]
        images = images[..., 1:] + images[..., :-1]
        images = (images[..., 1:, :] + images[..., :-1, :]).mul_(0.25)
        grid = grid * (side / (side - 1))
    return functional.grid_sample(images, grid, _MODES[way], outside, align_corners=False)


def sample_grid(matrices: Tensor, resolution: int) -> Tensor:
    """Return where in the images each pixel of the views lies: [n, resolution, resolution, 2] in -1..1."""
    steps = (torch.arange(resolution, device=matrices.device) * 2 + 1) / resolution - 1
    # As complex numbers, x + iy: their sums are several times as fast as those of pairs.
    columns = torch.view_as_complex(matrices.mT.contiguous())
    across = columns[:, :1] * steps
    down = columns[:, 1:2] * steps + columns[:, 2:]
    return torch.view_as_real(down[:, :, None] + across[:, None])


# ---------------------------------------------------------------- colors


def recolored(views: Tensor, draws: Draws, spread: tuple[float, float, float]) -> Tensor:
    """Change brightness, contrast about the mean grey, and saturation: together one linear map of each view's colors.

    `spread` is how far each may go; takes views in 0..255, returns them in 0..1.
    """
    light, contrast, color = (
        torch.from_numpy(between(draws[:, place], max(0.0, 1 - most), 1 + most)).to(views)
        for place, most in enumerate(spread)
    )
    grey = torch.tensor(_GREY, device=views.device)
    gain = (light * contrast / 255).view(-1, 1, 1)
    mix = color.view(-1, 1, 1)
    matrix = gain * (mix * torch.eye(3, device=views.device) + (1 - mix) * grey.expand(3, 3))
    mean = views.mean((2, 3)) @ grey
    offset = ((1 - contrast) * light * mean / 255).view(-1, 1, 1).expand(-1, 3, 1)
    return torch.baddbmm(offset, matrix, views.flatten(2)).view_as(views).clamp_(0, 1)


def between(draws: Draws, low: float, high: float) -> Draws:
    """Spread numbers in [0, 1) over a range."""
    return low + (high - low) * draws
