"""The step `compensate`: weights are rounded against each other's errors."""

from dataclasses import dataclass, replace

from pocketvision.compress.compensate import compensated
from pocketvision.compress.steps.rate_distortion import weighed
from pocketvision.compress.steps.step import State


@dataclass(frozen=True)
class Compensate:
    """Round each weight where those after it make up for its error, at the bits and scales of the step before."""

    name = "compensate"

    def __call__(self, state: State) -> State:
        """Return the net in other integers."""
        state = weighed(state, self.name)
        assert state.layers is not None
        return replace(state, small=compensated(state.rounded(self.name), state.layers))
