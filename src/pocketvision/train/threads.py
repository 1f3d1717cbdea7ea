"""How many threads compute a step: measured in turns, since one that waits for a core holds up all the others."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import torch

WORTH = 1.25
"""Fewer threads than all are taken where a step is so many times faster: gradients differ in their last bits then."""
TURNS = 3
"""Steps that each number of threads takes, in turns, after one that warms up."""
AGAIN_S = 60.0
COST = 0.05
"""Share of the time that measuring may take."""


class Threads:
    """Chooses between all threads and fewer; `most` of 1 never measures."""

    def __init__(
        self,
        most: int = 1,
        *,
        now: Callable[[], float] = time.perf_counter,
        use: Callable[[int], None] = torch.set_num_threads,
    ) -> None:
        self.most, self.taken = most, most
        self._now, self._use = now, use
        self._measured: float | None = None
        self._cost_s = 0.0

    @property
    def choices(self) -> tuple[int, ...]:
        """Return the numbers that are tried: all, one left to another program, half of them, one."""
        return tuple(sorted({self.most, max(1, self.most - 1), max(1, self.most // 2), 1}, reverse=True))

    def due(self, steps: int) -> bool:
        """Tell whether it is time to measure, with so many steps to come."""
        if self.most == 1:
            return False
        if self._measured is None:
            return steps * COST >= len(self.choices) * TURNS
        return self._now() - self._measured >= max(AGAIN_S, self._cost_s / COST)

    def measure(self, step: Callable[[], object]) -> int:
        """Time a step by each number of threads, in turns, and return the one to take."""
        began = self._now()
        times: dict[int, list[float]] = {count: [] for count in self.choices}
        for turn in range(TURNS + 1):
            for count, taken in times.items():
                self._use(count)
                started = self._now()
                step()
                if turn:
                    taken.append(self._now() - started)
        self._measured = self._now()
        self._cost_s = self._measured - began
        medians = {count: median(taken) for count, taken in times.items()}
        fastest = min(medians, key=lambda count: medians[count])
        return fastest if medians[self.most] >= WORTH * medians[fastest] else self.most

    def take(self, count: int) -> None:
        """Let steps be computed by so many threads from now on."""
        self.taken = min(count, self.most)
        if self.most > 1:
            self._use(self.taken)


@contextmanager
def all_threads_after(threads: Threads) -> Iterator[None]:
    """Give what follows the body all threads again."""
    try:
        yield
    finally:
        threads.take(threads.most)


def threads_for(device: torch.device, *, alone: bool) -> Threads:
    """Return what chooses the threads of a training: all that PyTorch has, a single choice where it is not ours."""
    fixed = "OMP_NUM_THREADS" in os.environ or device.type != "cpu" or not alone
    return Threads(1 if fixed else torch.get_num_threads())
