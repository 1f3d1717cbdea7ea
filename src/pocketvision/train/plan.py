"""What each epoch does: at which resolution and with which layers at rest; fitted to the time where it is limited."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from pocketvision.train.recipe import Recipe
from pocketvision.values import Plan

STEP = 16
"""Resolutions of early epochs are multiples of this."""
SMALLEST = 64
"""No epoch is below this resolution: the last maps would be a single pixel or two."""
MARGIN = 0.95
"""Share of the time left that a plan may fill: other programs may want the cores too."""
HEAD_SHARE = 0.5
"""Share of the time left that the head alone may take where not every image's features fit."""
FEWEST = 256
"""Images that a head learns from at least, where there are as many."""


def planned(recipe: Recipe, resolution: int, layers: int) -> Plan:
    """Plan `recipe.epochs` epochs: the resolution rises over the first part, the last ones see all pixels."""
    rising = math.floor(recipe.epochs * recipe.rising)
    sizes = [_between(recipe.smallest, resolution, place / max(1, rising)) for place in range(rising)]
    resting = math.floor(recipe.epochs * recipe.resting)
    return Plan(
        head_epochs=recipe.head_epochs,
        resolutions=(*sizes, *[resolution] * (recipe.epochs - rising)),
        resting=(*[layers // 2] * resting, *[0] * (recipe.epochs - resting)),
    )


def _between(share: float, resolution: int, place: float) -> int:
    exact = resolution * (share + (1 - share) * place)
    return min(resolution, max(SMALLEST, round(exact / STEP) * STEP))


@dataclass(frozen=True)
class Speed:
    """What this machine takes, in seconds."""

    step: float
    """One training step at the net's resolution."""
    small_step: float
    """One at `small` pixels."""
    small: int
    resolution: int
    validation: float
    """One pass over the validation images."""
    feature: float = 0.0
    """One image's features, which the head alone is trained on; 0 where no head is."""

    def of(self, resolution: int) -> float:
        """Return a training step's time at a resolution: a fixed part and one that grows with the area."""
        if self.small == self.resolution:
            return self.step
        share = (resolution**2 - self.small**2) / (self.resolution**2 - self.small**2)
        return max(0.0, self.small_step + share * (self.step - self.small_step))


def fitted(plan_of: Callable[[int], Plan], speed: Speed, *, steps: int, most: int, left_s: float) -> Plan:
    """Return the longest plan of at most `most` epochs that fits into `left_s`, with the forecast of every epoch.

    Of as many epochs the usual one is taken where it fits, else one with all but the last at the lowest resolution:
    what counts in few epochs is the number of steps. Where not even one low epoch fits, none where a head was trained
    alone, else that one, which the clock will cut.
    """
    for epochs in range(most, 0, -1):
        usual = plan_of(epochs)
        low = replace(usual, resolutions=(speed.small,) * (epochs - 1) + usual.resolutions[-1:])
        for plan in (forecast(usual, speed, steps=steps), forecast(low, speed, steps=steps)):
            if sum(plan.seconds) <= MARGIN * left_s:
                return plan
    last = forecast(replace(plan_of(1), resolutions=(speed.small,), resting=(0,)), speed, steps=steps)
    if last.head_epochs and sum(last.seconds) > left_s:
        return replace(last, resolutions=(), resting=(), seconds=())
    return last


def head_images(train: int, speed: Speed, *, mirrored: bool, left_s: float) -> tuple[int | None, float]:
    """Return from how many training images the head learns, and how many seconds that takes.

    None for all, with their mirror images if `mirrored`; else as many as fit, down to some hundred.
    """
    whole = speed.feature * train * (1 + mirrored)
    if whole <= HEAD_SHARE * left_s:
        return None, whole
    count = min(train, max(FEWEST, int(HEAD_SHARE * left_s / speed.feature)))
    return count, count * speed.feature


def forecast(plan: Plan, speed: Speed, *, steps: int) -> Plan:
    """Fill in the seconds that every epoch is expected to take."""
    seconds = (steps * speed.of(resolution) + speed.validation for resolution in plan.resolutions)
    return replace(plan, seconds=tuple(round(item, 3) for item in seconds))
