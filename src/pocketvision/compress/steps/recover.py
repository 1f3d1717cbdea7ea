"""The step `recover`: integers learn to answer as the float net does."""

import math
from dataclasses import dataclass, replace

from pocketvision.compress.quantize import lower
from pocketvision.compress.steps.step import State


@dataclass(frozen=True)
class Recover:
    """Win back answers by distillation through the rounding, in as few bytes."""

    steps: int = 300
    """Batches of 32 images: minutes where the steps before take seconds."""
    rate: float = 0.03
    """Of a level a batch."""
    seed: int = 0
    within_s: float = math.inf
    """Seconds that it may take: fewer steps are taken where this machine is too slow for all."""
    name = "recover"

    def __call__(self, state: State) -> State:
        """Return the net in other integers of the same steps."""
        from pocketvision.compress.distill import Course
        from pocketvision.compress.recover import recovered

        course = Course(self.steps, self.rate, seed=self.seed, within_s=self.within_s)
        small, lowered = state.rounded(self.name), lower(state.plain).graph
        return replace(state, small=recovered(small, lowered, state.images, course=course, progress=state.progress))
