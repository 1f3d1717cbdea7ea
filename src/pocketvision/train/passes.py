"""How many images go through a net at once where nothing is learned: as many as the device takes fastest."""

from collections.abc import Iterator

import torch

MOST = 64
"""On any device: more are no faster, and take memory."""
CPU_PIXELS = 224 * 224 * 4
"""Of one pass on a CPU. Larger maps are given back to the system after each layer and cost a page fault each time;
docs/measurements/training.md has what that makes."""


def pass_size(resolution: int, device: torch.device) -> int:
    """Return how many images [3, R, R] to run at once."""
    return MOST if device.type != "cpu" else max(1, min(MOST, CPU_PIXELS // resolution**2))


def passes(count: int, resolution: int, device: torch.device) -> Iterator[slice]:
    """Cut `count` images into the parts that are run at once."""
    size = pass_size(resolution, device)
    return (slice(start, min(count, start + size)) for start in range(0, count, size))
