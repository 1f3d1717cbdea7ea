"""The step `rate`: of the weights that answer alike, those that pack into few bytes."""

from dataclasses import dataclass, replace

from pocketvision.compress.quantize import lower
from pocketvision.compress.rate_distortion import layers_to_round, rate_distorted
from pocketvision.compress.steps.step import State

_PRICE = 1e-8
"""Nats of expected loss a bit at strength 1, where nets of a thousand classes begin to answer otherwise."""


@dataclass(frozen=True)
class RateDistortion:
    """Choose int8 weights by their loss and the bits that they cost a compressor."""

    strength: float = 1.0
    """The price of a bit: twice as much takes about half a bit off every weight."""
    name = "rate"

    def __call__(self, state: State) -> State:
        """Return the net in other integers; what it was weighed by is kept for other strengths."""
        state = weighed(state)
        assert state.layers is not None
        small = rate_distorted(state.rounded(self.name), state.layers, _PRICE * self.strength)
        return replace(state, small=small)


def weighed(state: State, step: str = "rate") -> State:
    """Return the same net with what `rate` needs to know of it, which takes longer than choosing the weights."""
    if state.layers is not None:
        return state
    small, state = state.rounded(step), with_moments(state)
    assert state.moments is not None
    return replace(state, layers=layers_to_round(small, lower(state.plain).graph, state.moments))


def with_moments(state: State) -> State:
    """Return the same net with what its layers saw, which is the same for every rounding of it."""
    if state.moments is not None:
        return state
    from pocketvision.compress.sensitivity import moments_of

    return replace(state, moments=moments_of(lower(state.plain).graph, state.images, progress=state.progress))
