"""The step `slim`: fewer channels, after which the net learns again what it answered before."""

import math
from dataclasses import dataclass

from pocketvision.compress.steps.step import State, begin
from pocketvision.cost import count
from pocketvision.graph.graph import Graph

_WEIGHED = 500
"""Images that channels are weighed by."""


@dataclass(frozen=True)
class Slim:
    """Cut whole channels of a trained net until it has this share of its multiply-adds, and let the others learn."""

    share: float
    """Of the multiply-adds, that is left; 0..1."""
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
        return f"slim={self.share:g}"

    def __call__(self, state: State) -> State:
        """Return the net of fewer channels, measured anew."""
        from pocketvision.compress.cut import cut_to
        from pocketvision.compress.distill import Course
        from pocketvision.compress.retrain import retrained
        from pocketvision.compress.sensitivity import moments_of

        plain, images = state.unrounded(self.name), state.images
        moments = moments_of(plain, images[:: max(1, len(images) // _WEIGHED)], progress=state.progress)
        fewer = cut_to(plain, moments, macs_of, self.share * macs_of(plain))
        course = Course(self.steps, self.rate, seed=self.seed, within_s=self.within_s)
        return begin(retrained(fewer, plain, images, course, state.progress), images, state.progress)


def macs_of(graph: Graph) -> float:
    """Return a graph's multiply-adds."""
    return float(count(graph).macs)
