"""The step `ranges`: levels end where the squared error is least."""

from dataclasses import dataclass, replace

from pocketvision.compress.ranges import search
from pocketvision.compress.steps.step import State


@dataclass(frozen=True)
class Ranges:
    """Search the range of each tensor."""

    name = "ranges"

    def __call__(self, state: State) -> State:
        """Return the same net with narrower ranges."""
        return replace(state, ranges=search(state.plain, state.ranges, state.few, progress=state.progress))
