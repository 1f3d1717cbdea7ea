"""The step `int8`: weights and tensors become integers."""

from dataclasses import dataclass, replace

from pocketvision.compress.quantize import quantize
from pocketvision.compress.steps.step import State


@dataclass(frozen=True)
class Quantize:
    """Round weights and tensors to the nearest of 8 bits."""

    name = "int8"

    def __call__(self, state: State) -> State:
        """Return the net in integers too."""
        return replace(state, small=quantize(state.plain, state.ranges))
