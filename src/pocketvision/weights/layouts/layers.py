"""Our nets' layers in running order, and what a map of another project's names says."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import groupby
from typing import Literal, NamedTuple

from pocketvision.models.catalogue import build, family_of

Shapes = Mapping[str, tuple[int, ...]]
Padding = Literal["symmetric", "same"]


class Leaf(NamedTuple):
    """One layer of ours that has weights."""

    name: str
    kind: Literal["conv", "norm", "linear"]
    biased: bool
    depthwise: bool


class Match(NamedTuple):
    """Which net of ours a state dict is, and what its project calls our layers."""

    name: str
    layers: tuple[str, ...]
    """The other project's names, one for each of our layers in running order."""
    norm_eps: float = 1e-5
    padding: Padding = "symmetric"
    dropped: tuple[str, ...] = ()
    """How the names begin that have no place in a net of ours, such as auxiliary heads."""
    groups: int | None = None
    """Of the pointwise convolutions, for the family that offers a choice."""


@cache
def leaves(name: str, groups: int | None = None) -> tuple[Leaf, ...]:
    """Return a net's layers in running order; they are the same at every width."""
    import torch
    from torch import nn

    with torch.device("meta"):
        net = build(name, padding=family_of(name).paddings[0], groups=groups)  # type: ignore[arg-type]  # read as text
    found = []
    for label, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            depthwise = module.groups == module.in_channels > 1
            found.append(Leaf(label, "conv", module.bias is not None, depthwise))
        elif isinstance(module, nn.Linear):
            found.append(Leaf(label, "linear", module.bias is not None, depthwise=False))
        elif isinstance(module, nn.BatchNorm2d):
            found.append(Leaf(label, "norm", biased=True, depthwise=False))
    return tuple(found)


Pairs = tuple[tuple[Leaf, Leaf], ...]


@cache
def blocks(name: str) -> tuple[Pairs, ...]:
    """Return the layers of each child of `features`, two by two: convolution and norm, or squeeze and excite."""
    inside = [leaf for leaf in leaves(name) if leaf.name.startswith("features.")]
    children = [list(group) for _, group in groupby(inside, lambda leaf: leaf.name.split(".")[1])]
    return tuple(tuple(zip(child[::2], child[1::2], strict=True)) for child in children)


def excites(pair: tuple[Leaf, Leaf]) -> bool:
    """Tell whether a pair is a squeeze-and-excite unit's."""
    return pair[1].kind == "conv"


def numbered(counts: tuple[int, ...], start: int = 0) -> Iterator[tuple[int, int]]:
    """Yield (stage, place in it) of every block, stages counted from `start`."""
    for stage, count in enumerate(counts, start):
        for place in range(count):
            yield stage, place


def highest(shapes: Shapes, prefix: str) -> int:
    """Return the largest number that stands directly behind `prefix` in any name, -1 without any."""
    # No net has a thousand of anything; a damaged file could claim more than can be counted.
    found = (re.match(r"\d{1,3}(?!\d)", key[len(prefix) :]) for key in shapes if key.startswith(prefix))
    return max((int(number[0]) for number in found if number), default=-1)


def side(shapes: Shapes, key: str, axis: int) -> int:
    """Return one side of an array, 0 where there is no such array or axis."""
    shape = shapes.get(key, ())
    return shape[axis] if axis < len(shape) else 0
