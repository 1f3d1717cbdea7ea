"""Random views of training pictures: crop, turn, mirror and colours, a whole batch at a time.

Geometry is one resampling, so that a view is no blurrier than the picture that evaluation sees. All randomness comes
from a private generator: the same seed gives the same views, in any thread, and torch's own random state is untouched.
"""

import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Augment:
    """How far the views may differ from the picture; zero or (1, 1) turns a thing off."""

    scale: tuple[float, float] = (0.6, 1.0)
    """Area of the crop, as a share of the picture's."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width by height of the crop."""
    flip: bool = True
    """Mirror every second picture; not where a mirrored picture means something else."""
    degrees: float = 10.0
    """Largest turn to either side."""
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    """Each a factor from 1 - x to 1 + x."""
    hue: float = 0.0
    """Largest shift to either side, as a share of the colour circle; slow on CPUs."""


def seed_of(seed: int, epoch: int, batch: int) -> int:
    """Return the seed of one batch: the same wherever a run was interrupted."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{epoch}:{batch}".encode()).digest()[:7], "big")


def augment(batch_nhwc: Tensor, resolution: int, settings: Augment, *, seed: int) -> Tensor:
    """Turn uint8 pictures [n, s, s, 3] into views: float [n, 3, resolution, resolution] in 0..1, on their device."""
    dice = torch.Generator().manual_seed(seed)
    pictures = batch_nhwc.permute(0, 3, 1, 2).float().div_(255)
    views = _geometry(pictures, resolution, settings, dice=dice)
    return _colours(views, settings, dice)


def _geometry(pictures: Tensor, resolution: int, settings: Augment, *, dice: torch.Generator) -> Tensor:
    from kornia.geometry.transform import warp_affine

    count, side = pictures.shape[0], pictures.shape[-1]
    inward = _views(count, settings, dice)
    # kornia wants the matrix from the picture's pixels to the view's.
    to_view = torch.linalg.inv(_pixels(side) @ inward @ torch.linalg.inv(_pixels(resolution)))[:, :2]
    views: Tensor = warp_affine(
        pictures,
        to_view.to(pictures.device, torch.float32),
        (resolution, resolution),
        padding_mode="reflection",
        align_corners=True,
    )
    return views


def _views(count: int, settings: Augment, dice: torch.Generator) -> Tensor:
    """Draw matrices [n, 3, 3] from the view's square (-1..1, edge to edge) to the picture's."""
    area = _uniform(count, *settings.scale, dice=dice)
    stretch = _uniform(count, *(math.log(ratio) for ratio in settings.ratio), dice=dice).exp().sqrt()
    size = torch.stack([area.sqrt() * stretch, area.sqrt() / stretch], 1).clamp_(max=1)
    centre = (1 - size) * (torch.rand(count, 2, generator=dice, dtype=torch.float64) * 2 - 1)
    angle = _uniform(count, -settings.degrees, settings.degrees, dice=dice).deg2rad()
    mirror = 1 - 2 * (torch.rand(count, generator=dice) < 0.5 * settings.flip).double()
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    matrices = torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)
    matrices[:, :2, :2] = turn * size[:, None]
    matrices[:, :2, 0] *= mirror[:, None]
    matrices[:, :2, 2] = centre
    return matrices


def _pixels(side: int) -> Tensor:
    """Return the matrix from the square -1..1, edge to edge, to pixel centres 0..side-1."""
    half = side / 2
    return torch.tensor([[half, 0, half - 0.5], [0, half, half - 0.5], [0, 0, 1]], dtype=torch.float64)


def _colours(views: Tensor, settings: Augment, dice: torch.Generator) -> Tensor:
    from kornia import enhance

    count = views.shape[0]
    if settings.brightness:
        views = enhance.adjust_brightness_accumulative(views, _factor(count, settings.brightness, dice).to(views))
    if settings.contrast:
        views = enhance.adjust_contrast_with_mean_subtraction(views, _factor(count, settings.contrast, dice).to(views))
    if settings.saturation:
        factor = _factor(count, settings.saturation, dice).to(views)
        views = enhance.adjust_saturation_with_gray_subtraction(views, factor)
    if settings.hue:
        shift = _uniform(count, -settings.hue, settings.hue, dice=dice) * math.tau
        views = enhance.adjust_hue(views, shift.to(views))
    return views.clamp(0, 1)


def _factor(count: int, spread: float, dice: torch.Generator) -> Tensor:
    return _uniform(count, max(0.0, 1 - spread), 1 + spread, dice=dice)


def _uniform(count: int, low: float, high: float, *, dice: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=dice, dtype=torch.float64)
