"""The step `bias`: the mean of what rounding added leaves the biases."""

from dataclasses import dataclass, replace

from pocketvision.compress.bias import coarse_biases, correct_biases
from pocketvision.compress.measure import measure
from pocketvision.compress.steps.step import State


@dataclass(frozen=True)
class CorrectBias:
    """Set the mean of every layer's sums back to the float net's."""

    coarse: bool = False
    """Whether biases end in zero bits as far as a quarter of an output's level allows: they pack better."""
    name = "bias"

    def __call__(self, state: State) -> State:
        """Return the same integers with other biases."""
        small, few = state.rounded(self.name), state.few
        measured = measure(state.plain, few, progress=state.progress)
        corrected = correct_biases(small, measured, few, progress=state.progress)
        return replace(state, small=coarse_biases(corrected) if self.coarse else corrected)
