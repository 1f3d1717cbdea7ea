"""The step `equalize`: channels of a tensor get alike ranges."""

from dataclasses import dataclass, replace

from pocketvision.compress.equalize import equalize
from pocketvision.compress.steps.step import State


@dataclass(frozen=True)
class Equalize:
    """Scale channels, and the weights that read them, before anything is rounded."""

    name = "equalize"

    def __call__(self, state: State) -> State:
        """Return the equal net whose channels are more alike."""
        plain, measured = equalize(state.plain, state.measured)
        ranges = {name: spread.range for name, spread in measured.items()}
        return replace(state, plain=plain, measured=measured, ranges=ranges, moments=None)
