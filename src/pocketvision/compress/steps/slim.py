"""The step `slim`: fewer channels, after which the net learns again what it answered before."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from pocketvision.compress.steps.step import State, begin
from pocketvision.cost import count
from pocketvision.errors import UsageError
from pocketvision.graph.graph import Graph

_WEIGHED = 500
"""Images that channels are weighed by."""
_FACTORS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "ms": 1.0}


@dataclass(frozen=True)
class SlimTarget:
    """How much of a net is to be left."""

    text: str
    """As it was written: `0.5` of the multiply-adds, `40M` multiply-adds, or `3ms`."""
    amount: float
    milliseconds: bool = False

    @property
    def unit(self) -> str:
        """Return what the amount counts."""
        return "ms" if self.milliseconds else "multiply-adds"

    @classmethod
    def read(cls, text: str) -> "SlimTarget":
        """Read a target; raises UsageError that shows how to write it."""
        match = re.fullmatch(r"(\d*\.?\d+)\s*(|k|m|g|ms)", text.lower())
        amount = float(match[1]) * _FACTORS[match[2]] if match else 0.0
        if match is None or amount <= 0 or (not match[2] and amount >= 1):
            raise UsageError(
                "the step slim needs a share of the multiply-adds between 0 and 1, their number, or a latency, such as "
                f"slim=0.5, slim=40M or slim=3ms, not slim={text}"
            )
        return cls(text, amount, match[2] == "ms")


@dataclass(frozen=True)
class Slim:
    """Cut whole channels of a trained net until it is as small as the target says, and let the others learn."""

    target: SlimTarget
    latency: Callable[[Graph], float] | None = None
    """Predicts the milliseconds of a float graph as it will run; for a target in them."""
    steps: int = 300
    """Batches of 32 images from which the net learns again; 0 for none."""
    rate: float = 0.004
    """Of a weight's size a batch."""
    seed: int = 0
    within_s: float = math.inf
    """Seconds that learning may take: fewer steps are taken where this machine is too slow for all."""

    @property
    def name(self) -> str:
        """Return what ledgers and the command line call it."""
        return f"slim={self.target.text}"

    def __call__(self, state: State) -> State:
        """Return the net of fewer channels, measured anew."""
        from pocketvision.compress.cut import cut_to
        from pocketvision.compress.distill import Course
        from pocketvision.compress.retrain import retrained
        from pocketvision.compress.sensitivity import moments_of

        plain, images = state.unrounded(self.name), state.images
        moments = moments_of(plain, images[:: max(1, len(images) // _WEIGHED)], progress=state.progress)
        fewer = cut_to(plain, moments, *self._allowed(plain), unit=self.target.unit)
        course = Course(self.steps, self.rate, seed=self.seed, within_s=self.within_s)
        return begin(retrained(fewer, plain, images, course, state.progress), images, state.progress)

    def _allowed(self, plain: Graph) -> tuple[Callable[[Graph], float], float]:
        """Return what graphs are weighed by, and what they may weigh."""
        if self.target.milliseconds:
            assert self.latency is not None, "a target in milliseconds needs a prediction of them"
            return self.latency, self.target.amount
        return macs_of, self.target.amount * (macs_of(plain) if self.target.amount < 1 else 1.0)


def macs_of(graph: Graph) -> float:
    """Return a graph's multiply-adds."""
    return float(count(graph).macs)
