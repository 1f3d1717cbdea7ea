"""What a runtime runs of a net: its kernels as arrays, at any resolution, read off the graph without running it.

Channels, weights and what is fused do not depend on the resolution; maps' sides do, by few rules that many kernels
share. So a graph is read once, and all resolutions cost one pass over some arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import GraphError
from pocketvision.graph.graph import AvgPool, Conv, MaxPool, Pads

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

KINDS = (
    "image",
    "stem",
    "convolution",
    "pointwise",
    "depthwise",
    "grouped",
    "plain convolution",
    "plain pointwise",
    "plain depthwise",
    "vector",
    "linear",
    "add",
    "multiply",
    "scale",
    "concat",
    "slice",
    "shuffle",
    "max pool",
    "average pool",
    "mean",
    "flatten",
    "local norm",
    "relu",
    "leaky_relu",
    "hardswish",
    "hardsigmoid",
    "sigmoid",
    "silu",
    "reorder in",
    "reorder out",
    "ending",
    "plain grouped",
)
"""`stem` reads fewer than 16 channels, `vector` is a 1x1 convolution of one pixel, `scale` multiplies by a value a
channel. `plain` convolutions and `reorder` are onnxruntime's in float, whose fast kernels take maps in blocks of
channels."""
FUSED = ("none", "relu", "relu6", "leaky_relu", "hardswish", "hardsigmoid", "sigmoid")


class Kernel(NamedTuple):
    """One kernel; `source` and `target` are places in the list of map sizes."""

    kind: int
    source: int
    target: int
    read: int
    """Channels of all its inputs."""
    inputs: int
    """Channels of a convolution's input."""
    outputs: int
    groups: int
    height: int
    """Of the window."""
    width: int
    stride: int
    """Steps down times steps across."""
    weights: int
    fused: int
    joined: bool
    """Whether an addition is done by it too."""


class Rule(NamedTuple):
    """How a map's size follows from another's; `parent` is that one's place."""

    parent: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: Pads | Literal["same"]
    ceil: bool


@dataclass
class Sizes:
    """The sizes of a net's maps, each by a rule: place 0 is the image, place 1 one pixel."""

    rules: list[Rule] = field(default_factory=list)

    def after(self, parent: int, node: Conv | MaxPool | AvgPool) -> int:
        """Return the place of the size that a window makes of another."""
        kernel: tuple[int, ...] = node.weight.shape[2:] if isinstance(node, Conv) else node.kernel
        tall, wide = kernel
        padding = node.padding
        kept = padding == "same" or (padding[0] + padding[2], padding[1] + padding[3]) == (tall - 1, wide - 1)
        if node.stride == (1, 1) and kept:
            return parent
        rule = Rule(parent, (tall, wide), node.stride, padding, isinstance(node, MaxPool) and node.ceil)
        if rule not in self.rules:
            self.rules.append(rule)
        return self.rules.index(rule) + 2

    def at(self, resolutions: Ints) -> Ints:
        """Return all sizes [places, resolutions, 2]; raises GraphError where an image is too small."""
        sizes = [np.stack([resolutions, resolutions], axis=1), np.ones((len(resolutions), 2), np.int64)]
        for rule in self.rules:
            sizes.append(np.stack([_side(rule, sizes[rule.parent][:, axis], axis) for axis in (0, 1)], axis=1))
        found = np.stack(sizes)
        if (found < 1).any():
            smallest = int(resolutions[(found < 1).any(axis=(0, 2))].max())
            raise GraphError(f"images of {smallest} px are too small for this net; try a larger resolution")
        return found


def _side(rule: Rule, side: Ints, axis: int) -> Ints:
    step, window = rule.stride[axis], rule.kernel[axis]
    if rule.padding == "same":
        return -(-side // step)
    before, after = rule.padding[axis], rule.padding[axis + 2]
    steps = side + before + after - window
    if not rule.ceil:
        return steps // step + 1
    count = -(-steps // step) + 1
    return count - ((count - 1) * step >= side + before)


@dataclass(frozen=True, eq=False)
class Kernels:
    """A net as one runtime runs it."""

    rows: tuple[Kernel, ...]
    """Each different one once."""
    counts: tuple[int, ...]
    """How many of each there are."""
    sizes: Sizes
    resolution: int
    """Of the graph that it was read off."""
    flexible: bool
    """Whether the net takes other resolutions: not where a classifier stands on flattened maps."""
    boxes: bool = False
    """Whether maps become rows, a detector's, whose kernels are left out."""

    @cached_property
    def columns(self) -> Ints:
        """The rows as an array [fields, kernels]."""
        return np.array(self.rows, np.int64).T

    @property
    def weights(self) -> int:
        """Count the weights of convolutions and fully connected layers."""
        return int(self.columns[10] @ np.array(self.counts))

    def areas(self, resolutions: Sequence[int] | Ints) -> tuple[Ints, Ints, Ints]:
        """Return what is read and made, in pixels [kernels, resolutions], and the sides made [kernels, resolutions]."""
        wanted = np.asarray(resolutions, np.int64)
        if not self.flexible and (wanted != self.resolution).any():
            raise GraphError(f"this net is made for images of {self.resolution} px; trace it at the size wanted")
        sizes = self.sizes.at(wanted)
        areas = sizes.prod(axis=2)
        source, target = self.columns[1], self.columns[2]
        return areas[source], areas[target], sizes[target, :, 1]

    def macs(self, resolutions: Sequence[int] | Ints) -> Ints:
        """Count the multiply-adds at each resolution."""
        _, made, _ = self.areas(resolutions)
        found: Ints = (self.columns[10] * np.array(self.counts)) @ made
        return found
