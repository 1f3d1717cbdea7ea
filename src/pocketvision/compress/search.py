"""The strength of `rate` searched: the strongest that keeps a condition, or the weakest."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from pocketvision.compress.compress import Compressed, compressed
from pocketvision.compress.ledger import LedgerEntry
from pocketvision.compress.steps.bias import CorrectBias
from pocketvision.compress.steps.equalize import Equalize
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.compress.steps.ranges import Ranges
from pocketvision.compress.steps.rate_distortion import RateDistortion, weighed
from pocketvision.compress.steps.recover import Recover
from pocketvision.compress.steps.step import CompressionStep, begin
from pocketvision.graph.graph import Graph
from pocketvision.graph.run import Images
from pocketvision.progress import Progress, Silent

STRENGTHS = tuple(2.0 ** (place / 4) for place in range(-44, 41))
"""From where next to nothing is saved to where next to nothing is left, for nets of two classes and of a thousand; a
place takes off about an eighth of a bit."""
BEFORE: Sequence[CompressionStep] = (Equalize(), Ranges(), Quantize())
RECOVER = Recover()
Keeps = Callable[[Graph], bool]
"""Tells whether a net in integers keeps a condition, which stronger settings break sooner than weaker ones."""


class RateSearch:
    """A net that is weighed once, and its integers at every strength that is asked for."""

    def __init__(self, graph: Graph, images: Images, *, progress: Progress = Silent()) -> None:
        """Weigh a float graph over unlabeled images [N, R, R, C]; some 500 are enough."""
        state = begin(graph, images, progress)
        self._entries = [LedgerEntry("float", graph)]
        for step in BEFORE:
            state = step(state)
            self._entries.append(LedgerEntry(step.name, state.graph))
        self._state = weighed(state)
        self._found: dict[int, Compressed] = {}

    def at(self, place: int) -> Compressed:
        """Return the net at a place of STRENGTHS."""
        if place not in self._found:
            state, entries = self._state, list(self._entries)
            for step in (RateDistortion(STRENGTHS[place]), CorrectBias(coarse=True)):
                state = step(state)
                entries.append(LedgerEntry(step.name, state.graph))
            self._found[place] = compressed(state, entries)
        return self._found[place]

    def recovered(self, place: int, images: Images, *, step: Recover = RECOVER) -> Compressed:
        """Return the net at a place of STRENGTHS after its integers have learned what the float net answers to images.

        [N, R, R, C] without labels: the more differ, the better.
        """
        found = self.at(place)
        state = step(replace(self._state, small=found.graph, images=images))
        return compressed(state, (*found.ledger, LedgerEntry(step.name, state.graph)))

    def rounded(self) -> Graph:
        """Return the net in plain int8, which strengths are compared with."""
        return CorrectBias()(self._state).graph

    @property
    def tried(self) -> dict[int, Graph]:
        """Return the nets that were asked for so far, by place, the weakest first."""
        return {place: self._found[place].graph for place in sorted(self._found)}

    @property
    def last(self) -> int:
        """Return the strongest place."""
        return len(STRENGTHS) - 1

    def strongest(self, keeps: Keeps) -> int | None:
        """Return the strongest place that keeps what weaker ones keep better; None where not even the weakest does."""
        low, high = -1, len(STRENGTHS)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if keeps(self.at(middle).graph) else (low, middle)
        return low if low >= 0 else None

    def weakest(self, keeps: Keeps) -> int | None:
        """Return the weakest place that keeps what stronger ones keep better; None where none does."""
        broken = self.strongest(lambda graph: not keeps(graph))
        place = 0 if broken is None else broken + 1
        return place if place < len(STRENGTHS) else None
