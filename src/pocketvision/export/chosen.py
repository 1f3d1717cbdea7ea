"""Which net of a search is written: one that lost answers gets the chance to learn them again from the float net."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.compress import Compressed
from pocketvision.compress.search import RateSearch
from pocketvision.compress.steps.recover import Recover
from pocketvision.graph.graph import Graph, Sigmoid, Softmax, Suppress
from pocketvision.graph.run import Images
from pocketvision.metrics.paired import as_right

LEARNING_S = 300.0
"""Seconds that a net learns at most, where nothing else is said."""
FURTHER = (8, 4)
"""Places of strengths, an eighth of a bit each, by which nets that learn are tried beyond those that do not."""


@dataclass(frozen=True, eq=False)
class Recovery:
    """How a net of a search learns, and what it is judged by."""

    search: RateSearch
    right: Callable[[Graph], NDArray[np.bool_]]
    """Tells which images a graph answers rightly."""
    images: Callable[[], Images]
    """Gives the images to learn from, [N, R, R, C] without labels."""
    within_s: float
    """Seconds that each learning may take; 0 or less for none."""

    def best_at(self, place: int, wanted: NDArray[np.bool_]) -> Compressed:
        """Return the net at a place; where it lost more of the wanted answers than chance explains, and answers better
        after it has learned, as it is then."""
        plain = self.search.at(place)
        found = self.right(plain.graph)
        if not self._learns(plain) or as_right(wanted, found):
            return plain
        learned = self._learned(place)
        return learned if self.right(learned.graph).sum() >= found.sum() else plain

    def beyond(self, place: int, keeps: Callable[[Graph], bool]) -> tuple[int, Compressed]:
        """Return a place, or a stronger one that keeps a condition after its net has learned, and the net.

        Few are tried, since each takes minutes.
        """
        best = self.search.at(place)
        for further in FURTHER if self._learns(best) else ():
            if place + further <= self.search.last and keeps((learned := self._learned(place + further)).graph):
                place, best = place + further, learned
        return place, best

    def _learns(self, found: Compressed) -> bool:
        """Tell whether there is time to learn, and answers that are learned from."""
        return self.within_s > 0 and isinstance(found.plain.nodes[-1], Softmax | Sigmoid | Suppress)

    def _learned(self, place: int) -> Compressed:
        return self.search.recovered(place, self.images(), step=Recover(within_s=self.within_s))
