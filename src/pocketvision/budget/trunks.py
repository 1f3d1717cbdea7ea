"""Which nets are considered: what the weights at hand give, whole, cut or sliced, and every family from scratch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pocketvision.budget.space import Trunk
from pocketvision.models.catalogue import COARSEST, RESOLUTIONS, depths, families, family_of, strides_of
from pocketvision.values import DetectorSpec, ModelSpec, StartKind

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
class Wanted:
    """What a user fixed, and what the images allow."""

    num_classes: int
    largest: int
    """Most pixels a side that tell more than fewer do."""
    name: str | None = None
    width: float | None = None
    depth: int | None = None
    resolution: int | None = None
    groups: int | None = None
    detector: DetectorSpec | None = None
    """Maps and head of the detectors that are wanted; None for classifiers."""
    smallest: int = 0
    """Pixels a side that detectors are considered from on: things are a part of the image only."""


def trunks_for(pretrained: Sequence[Pretrained], wanted: Wanted, *, scratch: bool) -> list[Trunk]:
    """List the nets to consider at each width; with `scratch` also all families without weights."""
    named = [one for one in pretrained if wanted.name in (None, one.spec.name)]
    found = [trunk for one in named for trunk in _of_weights(one, named, wanted)]
    known = {(trunk.spec.name, trunk.spec.width) for trunk in found}
    if scratch:
        found += [trunk for trunk in _from_scratch(wanted) if (trunk.spec.name, trunk.spec.width) not in known]
    found = [trunk for trunk in found if trunk.resolutions and trunk.depths]
    return found if wanted.detector is None else [one for one in map(partial(_detecting, wanted), found) if one]


def _detecting(wanted: Wanted, trunk: Trunk) -> Trunk | None:
    """Return a net with prediction layers, whole, at multiples of the coarsest stride; None where it has no maps for
    them."""
    assert wanted.detector is not None
    strides = {one.stride for one in wanted.detector.maps if one.stride <= COARSEST}
    places = [place for place, depth in enumerate(trunk.depths) if depth is None]
    if not places or not strides <= set(strides_of(trunk.spec.name)):
        return None
    kinds = tuple(trunk.kinds[place] for place in places)
    sides = tuple(side for side in trunk.resolutions if side >= wanted.smallest or side == wanted.resolution)
    return replace(
        trunk, spec=replace(trunk.spec, detector=wanted.detector), depths=(None,), kinds=kinds, resolutions=sides
    )


def resolutions(wanted: Wanted, smallest: int, *, fine: bool) -> tuple[int, ...]:
    """List the sides to consider: the one that was asked for, or steps of 16 and 32 up to what the images hold."""
    if wanted.resolution is not None:
        return (wanted.resolution,) if wanted.resolution >= smallest else ()
    grid: Iterable[int] = (*range(32, 128, 16), *range(128, 513, 32)) if fine else RESOLUTIONS
    least = max(smallest, min(SMALLEST, wanted.largest)) if fine else smallest
    return tuple(side for side in sorted(grid) if least <= side <= wanted.largest)


def _of_weights(one: Pretrained, others: Sequence[Pretrained], wanted: Wanted) -> list[Trunk]:
    family = family_of(one.spec.name)
    sides = resolutions(wanted, family.smallest, fine=True)
    base = replace(one.spec, num_classes=wanted.num_classes, resolution=family.resolution, depth=None)
    cuts = _cuts(one, wanted)
    kinds: tuple[StartKind, ...] = tuple("own" if depth == one.spec.depth else "cut" for depth in cuts)
    own = Trunk(base, cuts, sides, kinds, one.origin)
    found = [own] if wanted.width in (None, one.spec.width) else []
    if one.slices:
        narrow: tuple[StartKind, ...] = tuple("sliced" for _ in cuts)
        widths = _narrower(one, others, wanted)
        found += [
            Trunk(replace(base, width=width), cuts, sides, narrow, one.origin, one.spec.width) for width in widths
        ]
    return found


def _cuts(one: Pretrained, wanted: Wanted) -> tuple[int | None, ...]:
    whole = one.spec.depth
    if wanted.depth is not None:
        return (wanted.depth,) if whole is None or wanted.depth <= whole else ()
    every = depths(one.spec.name)
    least = SHALLOWEST * max(every, default=0)
    return (*(depth for depth in every if least <= depth and (whole is None or depth < whole)), whole)


def _narrower(one: Pretrained, others: Sequence[Pretrained], wanted: Wanted) -> list[float]:
    """Return the widths that are cut out of these weights: those down to the next narrower ones at hand."""
    same = [other.spec.width for other in others if other.spec.name == one.spec.name]
    if wanted.width is not None:
        wider = min((width for width in same if width >= wanted.width), default=0.0)
        return [wanted.width] if one.spec.width == wider > wanted.width else []
    below = max((width for width in same if width < one.spec.width), default=NARROWEST * one.spec.width)
    grid = {step / WIDTH_STEPS for step in range(1, int(one.spec.width * WIDTH_STEPS) + 1)}
    return sorted(width for width in grid | set(family_of(one.spec.name).widths) if below < width < one.spec.width)


def _from_scratch(wanted: Wanted) -> list[Trunk]:
    return [
        Trunk(
            ModelSpec(
                name, width, family.resolution, wanted.num_classes, groups=wanted.groups if family.groups else None
            ),
            (wanted.depth,),
            resolutions(wanted, family.smallest, fine=False),
            ("scratch",),
        )
        for name, family in families().items()
        if wanted.name in (None, name)
        for width in (SCRATCH_WIDTHS.get(name, family.widths) if wanted.width is None else (wanted.width,))
    ]
