"""What a training needs in memory at least, held against what there is: systems kill what takes too much, wordless."""

import math
import os
from pathlib import Path

import torch

from pocketvision.cost.rules import params
from pocketvision.data.arrays import IN_MEMORY_BYTES
from pocketvision.errors import PocketvisionError
from pocketvision.graph.trace import trace_spec
from pocketvision.models.catalogue import check_spec
from pocketvision.train.inputs import Loaded
from pocketvision.values import Cost, ModelSpec

FEWEST_IMAGES = 2
"""In a step: a batch norm cannot be estimated from one."""
KEPT_FOR_GRADIENTS = 1.25
"""Times a net's outputs, layer by layer, that a step keeps at least; measured: 1.25 (SqueezeNet) to 3.2 (MobileNet)."""
COPIES_OF_WEIGHTS = 4
"""Weights, gradients, moments of the optimizer, and the average."""


def require_memory(loaded: Loaded, spec: ModelSpec, device: str, *, system: Path = Path("/")) -> None:
    """Raise PocketvisionError where the smallest step of a training on the processor is more than memory holds, and
    UsageError for settings that the net cannot take.

    What an accelerator cannot hold, it says itself. The estimate is a lower bound: nothing that fits is refused.
    """
    check_spec(spec)
    there = _there(device, system)
    if there is None:
        return
    images = images_bytes(loaded, spec.resolution)
    needed = images + step_bytes(spec, FEWEST_IMAGES)
    if needed > there:
        raise PocketvisionError(
            f"training {spec} takes at least {needed / 1e9:.1f} GB of memory, {images / 1e9:.1f} GB of them for the "
            f"images, and {there / 1e9:.1f} GB are free; take a lower --resolution or --width, another --model, or "
            "end other programs"
        )


def shortage(cost: Cost, device: str, *, system: Path = Path("/")) -> str:
    """Say what memory lacks to show one image to a net in float, on the processor; empty where it lacks nothing.

    The estimate is a lower bound, as that of `require_memory`; `cost` counts the net in float.
    """
    there, needed = _there(device, system), cost.peak_activation_bytes + 4 * cost.params
    if there is None or needed <= there:
        return ""
    return f"one image takes at least {needed / 1e9:.1f} GB of memory, and {there / 1e9:.1f} GB are free"


def step_bytes(spec: ModelSpec, images: int) -> int:
    """Return how many bytes a training step of so many images takes at least."""
    graph = trace_spec(spec)
    outputs = 4 * sum(math.prod(shape) for shape in graph.shapes.values())
    weights = 4 * sum(params(node) for node in graph.nodes)
    return int(images * KEPT_FOR_GRADIENTS * outputs) + COPIES_OF_WEIGHTS * weights


def images_bytes(loaded: Loaded, resolution: int) -> int:
    """Return how many bytes the prepared images take in memory at least; what is larger stays on disk."""
    counts = [len(loaded.dataset.of(split)) for split in ("train", "val")]
    arrays = (count * resolution**2 * 3 for count in counts)
    return sum(size for size in arrays if size <= IN_MEMORY_BYTES)


def available_bytes(system: Path = Path("/")) -> int | None:
    """Return the bytes that this process can still take; None where the system does not say."""
    found = [size for size in (_unused(system), *_grouped(system)) if size is not None]
    return min(found, default=None)


def _there(device: str, system: Path) -> int | None:
    """Return the bytes that are free for a net on the processor; None for an accelerator, which says it itself."""
    on_processor = device == "cpu" or (device == "auto" and not _accelerated())
    return available_bytes(system) if on_processor else None


def _unused(system: Path) -> int | None:
    try:
        lines = (system / "proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration, IndexError):
        pass
    names = getattr(os, "sysconf_names", {})
    if {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= set(names):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _grouped(system: Path) -> list[int | None]:
    """Return what containers leave of their limits, by either version of control groups."""
    group = system / "sys/fs/cgroup"
    pairs = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
    return [_left(group / limit, group / used) for limit, used in pairs]


def _left(limit: Path, used: Path) -> int | None:
    """Return limit less use, to which the files' pages that can be given back are not counted; None without a limit."""
    try:
        most, now = int(limit.read_text(encoding="ascii")), int(used.read_text(encoding="ascii"))
        facts = dict(line.split() for line in (used.parent / "memory.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return None
    given_back = int(facts.get("total_inactive_file", facts.get("inactive_file", 0)))
    return most - now + given_back


def _accelerated() -> bool:
    return bool(torch.cuda.is_available() or torch.backends.mps.is_available())
