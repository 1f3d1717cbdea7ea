"""Prepared images as a net takes them: tensors, normalized, as many at once as the device takes fastest."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketvision.values import ImageSpec

MOST = 64
"""On any device: more are no faster, and take memory."""
CPU_PIXELS = 224 * 224 * 4
"""Of one batch on a CPU. Larger maps are given back to the system after each layer and cost a page fault each time;
docs/measurements/training.md has what that makes."""


def to_input(pixels: NDArray[np.uint8] | Tensor, image: ImageSpec, device: torch.device) -> Tensor:
    """Turn uint8 [N, R, R, 3] into normalized float [N, 3, R, R]."""
    batch = torch.as_tensor(pixels).to(device).permute(0, 3, 1, 2).float().div_(255)
    return normalize(batch, image)


def normalize(batch_nchw: Tensor, image: ImageSpec) -> Tensor:
    """Apply (x - mean) / std to values in 0..1, channels last in memory."""
    mean = torch.tensor(image.mean, device=batch_nchw.device).view(1, 3, 1, 1)
    std = torch.tensor(image.std, device=batch_nchw.device).view(1, 3, 1, 1)
    # In place, since each new batch of this size costs the page faults of its memory.
    return (batch_nchw - mean).div_(std).contiguous(memory_format=torch.channels_last)


def eval_batch_size(resolution: int, device: torch.device) -> int:
    """Return how many images [3, R, R] to run at once where nothing is learned."""
    return MOST if device.type != "cpu" else max(1, min(MOST, CPU_PIXELS // resolution**2))


def eval_batches(count: int, resolution: int, device: torch.device) -> Iterator[slice]:
    """Cut `count` images into the batches that are run at once."""
    size = eval_batch_size(resolution, device)
    return (slice(start, min(count, start + size)) for start in range(0, count, size))
