"""Schedules: the learning rate of each step, resolution and frozen layers of each epoch, fitted to a time limit."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from pocketvision.train.recipe import Recipe
from pocketvision.values import Schedule

STEP = 16
"""Resolutions of early epochs are multiples of this."""
SMALLEST = 64
"""No epoch is below this resolution: the last maps would be a single pixel or two."""
MARGIN = 0.95
"""Share of the time left that a schedule may fill: other programs may want the cores too."""
HEAD_SHARE = 0.5
"""Share of the time left that the head alone may take where not every image's features fit."""
FEWEST = 256
"""Images that a head learns from at least, where there are as many."""


def scheduled(recipe: Recipe, resolution: int, layers: int) -> Schedule:
    """Schedule `recipe.epochs` epochs: the resolution rises over the first part, the last ones see all pixels."""
    progressive_epochs = math.floor(recipe.epochs * recipe.progressive_epochs)
    sizes = [
        _between(recipe.progressive_start, resolution, place / max(1, progressive_epochs))
        for place in range(progressive_epochs)
    ]
    frozen = math.floor(recipe.epochs * recipe.frozen)
    return Schedule(
        head_epochs=recipe.head_epochs,
        resolutions=(*sizes, *[resolution] * (recipe.epochs - progressive_epochs)),
        frozen=(*[layers // 2] * frozen, *[0] * (recipe.epochs - frozen)),
    )


def _between(share: float, resolution: int, place: float) -> int:
    exact = resolution * (share + (1 - share) * place)
    return min(resolution, max(SMALLEST, round(exact / STEP) * STEP))


def learning_rate(step: int, total: int, warmup: float, peak: float) -> float:
    """Return the rate of a step: linear up to `peak` over `warmup` steps, then half a cosine down to zero."""
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, total - warmup)))


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


def fitted(schedule_of: Callable[[int], Schedule], speed: Speed, *, steps: int, most: int, left_s: float) -> Schedule:
    """Return the longest schedule of at most `most` epochs that fits into `left_s`, with the forecast of every epoch.

    Of as many epochs the usual one is taken where it fits, else one with all but the last at the lowest resolution:
    what counts in few epochs is the number of steps. Where not even one low epoch fits, none where a head was trained
    alone, else that one, which the clock will cut.
    """
    for epochs in range(most, 0, -1):
        usual = schedule_of(epochs)
        low = replace(usual, resolutions=(speed.small,) * (epochs - 1) + usual.resolutions[-1:])
        for schedule in (forecast(usual, speed, steps=steps), forecast(low, speed, steps=steps)):
            if sum(schedule.seconds) <= MARGIN * left_s:
                return schedule
    last = forecast(replace(schedule_of(1), resolutions=(speed.small,), frozen=(0,)), speed, steps=steps)
    if last.head_epochs and sum(last.seconds) > left_s:
        return replace(last, resolutions=(), frozen=(), seconds=())
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


def forecast(schedule: Schedule, speed: Speed, *, steps: int) -> Schedule:
    """Fill in the seconds that every epoch is expected to take."""
    seconds = (steps * speed.of(resolution) + speed.validation for resolution in schedule.resolutions)
    return replace(schedule, seconds=tuple(round(item, 3) for item in seconds))
