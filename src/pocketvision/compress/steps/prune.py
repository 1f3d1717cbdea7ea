"""The steps `prune` and `magnitude`: weights become zero."""

from dataclasses import dataclass

from pocketvision.compress.prune import pruned_by_loss, pruned_by_size
from pocketvision.compress.steps.step import State, with_float


@dataclass(frozen=True)
class Prune:
    """Leave out a share of all weights, by the loss of the answer, where others make up for them."""

    share: float
    """Of the net's weights, 0..1."""

    @property
    def name(self) -> str:
        """Return what ledgers and the command line call it."""
        return f"prune={self.share:g}"

    def __call__(self, state: State) -> State:
        """Return the net without those weights."""
        from pocketvision.compress.sensitivity import moments_of

        plain = state.unrounded(self.name)
        moments = moments_of(plain, state.images, progress=state.progress)
        return with_float(state, pruned_by_loss(plain, moments, self.share))


@dataclass(frozen=True)
class Magnitude:
    """Leave out the same share of each layer's weights, the smallest, as Deep Compression does before it trains on."""

    share: float
    """Of each layer's weights, 0..1."""

    @property
    def name(self) -> str:
        """Return what ledgers and the command line call it."""
        return f"magnitude={self.share:g}"

    def __call__(self, state: State) -> State:
        """Return the net without those weights."""
        return with_float(state, pruned_by_size(state.unrounded(self.name), self.share))
