"""The step `share`: a layer's weights take one of a few values."""

from dataclasses import dataclass

from pocketvision.compress.share import shared
from pocketvision.compress.steps.step import State, with_float


@dataclass(frozen=True)
class Share:
    """Share 2**bits values among the weights of each layer."""

    bits: int
    """Of a weight's place in its layer's table, 2 to 8."""

    @property
    def name(self) -> str:
        """Return what ledgers and the command line call it."""
        return f"share={self.bits}"

    def __call__(self, state: State) -> State:
        """Return the net with fewer different weights."""
        return with_float(state, shared(state.unrounded(self.name), self.bits))
