"""What a step is, and what goes from one to the next."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from pocketvision.compress.means import correct_means
from pocketvision.compress.measure import Measured, Range, measure
from pocketvision.compress.moments import Moments
from pocketvision.compress.rate_distortion import RoundingLayer
from pocketvision.errors import UsageError
from pocketvision.graph.graph import Graph
from pocketvision.graph.lower import without_affines
from pocketvision.graph.run import Images
from pocketvision.progress import Progress, Silent

MEASURED = 100
"""Images for the ranges of tensors; more changed nothing measurable."""
FEW = 32
"""Images for histograms and for the means of biases; over 100 the biases came out no better."""


@dataclass(frozen=True, eq=False)
class State:
    """The net between two steps, in float and, once it is rounded, in integers."""

    plain: Graph
    """The float graph whose values the integers stand for: the given net, but for scales of its channels."""
    measured: Measured
    """The spread of its tensors over all images."""
    ranges: Mapping[str, Range]
    """Of its tensors, as they are to be rounded."""
    images: Images
    """[N, R, R, C], without labels."""
    small: Graph | None = None
    """In integers."""
    moments: Moments | None = None
    """Of the float graph as it is rounded, once they are known."""
    layers: tuple[RoundingLayer, ...] | None = None
    """What `rate` weighs errors by, once it is known."""
    progress: Progress = Silent()

    @cached_property
    def few(self) -> Images:
        """Return some of the images, evenly spread."""
        return _some(self.images)[:: max(1, len(_some(self.images)) // FEW)]

    @property
    def graph(self) -> Graph:
        """Return the net as it is now."""
        return self.small or self.plain

    def rounded(self, step: str) -> Graph:
        """Return the net in integers; raises UsageError where `step` comes too early."""
        if self.small is None:
            raise UsageError(f"the step {step} needs the net in integers; put int8 before it")
        return self.small

    def unrounded(self, step: str) -> Graph:
        """Return the net in float; raises UsageError where `step` comes too late."""
        if self.small is not None:
            raise UsageError(f"the step {step} needs the net in float; put it before int8")
        return self.plain


class CompressionStep(Protocol):
    """One thing that is done to a net."""

    @property
    def name(self) -> str:
        """Return what ledgers and the command line call it."""
        ...

    def __call__(self, state: State) -> State:
        """Return what comes of it."""
        ...


def begin(graph: Graph, images: Images, progress: Progress = Silent()) -> State:
    """Measure a float graph over calibration images, before the first step."""
    plain = without_affines(graph)
    measured = measure(plain, _some(images), progress=progress)
    ranges = {name: spread.range for name, spread in measured.items()}
    return State(plain, measured, ranges, images, progress=progress)


def with_float(state: State, plain: Graph) -> State:
    """Return the state with other weights in float, whose biases give every layer's sums their means again."""
    corrected = correct_means(plain, measure(state.plain, state.few), state.few, progress=state.progress)
    measured = measure(corrected, _some(state.images), progress=state.progress)
    ranges = {name: spread.range for name, spread in measured.items()}
    return replace(state, plain=corrected, measured=measured, ranges=ranges, moments=None, layers=None)


def _some(images: Images) -> Images:
    return images[:: max(1, -(-len(images) // MEASURED))]
