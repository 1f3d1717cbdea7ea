"""Which nets are considered: what the weights at hand give, whole, cut or sliced, and every family from scratch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pocketvision.budget.space import Trunk
from pocketvision.models.catalogue import RESOLUTIONS, depths, families, family_of
from pocketvision.values import ModelSpec, StartKind

WIDTH_STEPS = 16
"""Widths are considered in steps of one sixteenth: finer ones round to the same channels in most layers."""
NARROWEST = 0.2
"""Share of the width of the weights at hand: channels cut away beyond that leave little of what was learned."""
SHALLOWEST = 1 / 3
"""Share of the layers that a cut keeps at least."""
SCRATCH_WIDTHS = {
    "mobilenet_v1": (1.0, 0.75, 0.5, 0.25, 0.1875, 0.125),
    "mobilenet_v2": (1.4, 1.3, 1.0, 0.75, 0.5, 0.35, 0.25),
    "squeezenet1_1": (1.0, 0.75, 0.5, 0.25),
}
"""Narrower widths than the papers', where budgets ask for them."""
SMALLEST = 64
"""Pixels a side that pretrained nets are considered from on, where the images have them."""


@dataclass(frozen=True)
class Pretrained:
    """Weights at hand."""

    origin: str
    """Name of the file."""
    spec: ModelSpec
    slices: bool = True
    """Whether narrower nets can be cut out of it."""


@dataclass(frozen=True)
class Wish:
    """What a user fixed, and what the images allow."""

    num_classes: int
    largest: int
    """Most pixels a side that tell more than fewer do."""
    name: str | None = None
    width: float | None = None
    depth: int | None = None
    resolution: int | None = None
    groups: int | None = None


def trunks_for(pretrained: Sequence[Pretrained], wish: Wish, *, scratch: bool) -> list[Trunk]:
    """List the nets to consider at each width; with `scratch` also all families without weights."""
    wanted = [one for one in pretrained if wish.name in (None, one.spec.name)]
    found = [trunk for one in wanted for trunk in _of_weights(one, wanted, wish)]
    known = {(trunk.spec.name, trunk.spec.width) for trunk in found}
    if scratch:
        found += [trunk for trunk in _from_scratch(wish) if (trunk.spec.name, trunk.spec.width) not in known]
    return [trunk for trunk in found if trunk.resolutions and trunk.depths]


def resolutions(wish: Wish, smallest: int, *, fine: bool) -> tuple[int, ...]:
    """List the sides to consider: the one that was asked for, or steps of 16 and 32 up to what the images hold."""
    if wish.resolution is not None:
        return (wish.resolution,) if wish.resolution >= smallest else ()
    grid: Iterable[int] = (*range(32, 128, 16), *range(128, 513, 32)) if fine else RESOLUTIONS
    least = max(smallest, min(SMALLEST, wish.largest)) if fine else smallest
    return tuple(side for side in sorted(grid) if least <= side <= wish.largest)


def _of_weights(one: Pretrained, others: Sequence[Pretrained], wish: Wish) -> list[Trunk]:
    family = family_of(one.spec.name)
    sides = resolutions(wish, family.smallest, fine=True)
    base = replace(one.spec, num_classes=wish.num_classes, resolution=family.resolution, depth=None)
    cuts = _cuts(one, wish)
    kinds: tuple[StartKind, ...] = tuple("own" if depth == one.spec.depth else "cut" for depth in cuts)
    own = Trunk(base, cuts, sides, kinds, one.origin)
    found = [own] if wish.width in (None, one.spec.width) else []
    if one.slices:
        narrow: tuple[StartKind, ...] = tuple("sliced" for _ in cuts)
        widths = _narrower(one, others, wish)
        found += [Trunk(replace(base, width=width), cuts, sides, narrow, one.origin) for width in widths]
    return found


def _cuts(one: Pretrained, wish: Wish) -> tuple[int | None, ...]:
    whole = one.spec.depth
    if wish.depth is not None:
        return (wish.depth,) if whole is None or wish.depth <= whole else ()
    every = depths(one.spec.name)
    least = SHALLOWEST * max(every, default=0)
    return (*(depth for depth in every if least <= depth and (whole is None or depth < whole)), whole)


def _narrower(one: Pretrained, others: Sequence[Pretrained], wish: Wish) -> list[float]:
    """Return the widths that are cut out of these weights: those down to the next narrower ones at hand."""
    same = [other.spec.width for other in others if other.spec.name == one.spec.name]
    if wish.width is not None:
        wider = min((width for width in same if width >= wish.width), default=0.0)
        return [wish.width] if one.spec.width == wider > wish.width else []
    below = max((width for width in same if width < one.spec.width), default=NARROWEST * one.spec.width)
    grid = {step / WIDTH_STEPS for step in range(1, int(one.spec.width * WIDTH_STEPS) + 1)}
    return sorted(width for width in grid | set(family_of(one.spec.name).widths) if below < width < one.spec.width)


def _from_scratch(wish: Wish) -> list[Trunk]:
    return [
        Trunk(
            ModelSpec(name, width, family.resolution, wish.num_classes, groups=wish.groups if family.groups else None),
            (wish.depth,),
            resolutions(wish, family.smallest, fine=False),
            ("scratch",),
        )
        for name, family in families().items()
        if wish.name in (None, name)
        for width in (SCRATCH_WIDTHS.get(name, family.widths) if wish.width is None else (wish.width,))
    ]
