"""How much time a run may take and has taken: its start-up and interrupted tries included."""

import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from pocketvision.values.ranges import in_range, read

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_COMMAND: ContextVar[float | None] = ContextVar("command", default=None)
_MOST_SLOW = 6.0


def command_begins() -> None:
    """Let clocks made from here on count from now: a command's time is the user's, PyTorch's loading included."""
    _COMMAND.set(time.monotonic())


class Clock:
    """Counts a run's time from its making, or the command's beginning; `limit_s` of infinity never runs out."""

    def __init__(self, limit_s: float = math.inf) -> None:
        self.limit_s = limit_s
        begun = _COMMAND.get()
        self._started = time.monotonic() if begun is None else begun
        self._earlier = 0.0
        self._reserved = 0.0

    @property
    def limited(self) -> bool:
        """Whether there is a limit at all."""
        return math.isfinite(self.limit_s)

    def count(self, earlier_s: float) -> None:
        """Count the time of the interrupted tries, as last stored."""
        self._earlier = max(self._earlier, earlier_s)

    def reserve(self, later_s: float) -> None:
        """Keep time for what follows: `left` no longer counts it."""
        self._reserved = later_s

    def spent(self) -> float:
        """Return the seconds spent so far, this try's and the earlier ones'."""
        return self._earlier + time.monotonic() - self._started

    def left(self) -> float:
        """Return the seconds left but for those reserved; negative where there are none."""
        return self.limit_s - self._reserved - self.spent()

    def slowness(self) -> float:
        """Return how many times longer work takes than on idle cores, as this command fared so far: 1 to 6."""
        return min(_MOST_SLOW, max(1.0, (time.monotonic() - self._started) / max(0.1, time.process_time())))


def seconds(text: str | float | None) -> float:
    """Read a time limit such as '90s', '10m' or '1.5h'; a bare number is seconds, None is infinity.

    Raises UsageError.
    """
    if text is None:
        return math.inf
    match = re.fullmatch(r"(.*?)\s*(s|m|min|h)?\s*", text, re.DOTALL) if isinstance(text, str) else None
    found, unit = (read(match[1]), match[2] or "s") if match else (read(text), "s")
    return in_range("time_limit", None if found is None else found * _UNITS[unit], text)


@dataclass
class Watch:
    """Wall time of each step in seconds."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add what the body takes to a step's time."""
        started = time.perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - started, 2)
