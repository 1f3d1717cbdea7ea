"""The steps `int8` and `quantize`: weights and tensors become integers."""

from dataclasses import dataclass, replace

from pocketvision.compress.quantize import quantize
from pocketvision.compress.steps.step import State


@dataclass(frozen=True)
class Quantize:
    """Round weights to the nearest of so many bits and tensors to the nearest of 8."""

    bits: int = 8
    """Of a weight, 2 to 8; files have a byte for it all the same, which packs into fewer."""

    @property
    def name(self) -> str:
        """Return what ledgers and the command line call it."""
        return "int8" if self.bits == 8 else f"quantize={self.bits}"

    def __call__(self, state: State) -> State:
        """Return the net in integers too."""
        return replace(state, small=quantize(state.plain, state.ranges, bits=self.bits), layers=None)
