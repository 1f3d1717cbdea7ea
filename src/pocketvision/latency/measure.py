"""Time of one image, measured in turns with a reference net so that both meet the same neighbors.

Other processes and other guests of the same processor slow a core down in bursts of a fraction of a second, by a
third or more, and no load average shows it. So a fixed loop of Python, the canary, is timed before and after each
call; a call counts only if both canaries sang at their usual speed. What is reported is then the time on a quiet core.
"""

import math
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.graph.graph import Graph
from pocketvision.graph.sketch import Sketch
from pocketvision.values import Latency

Call = Callable[[], object]

_WARM_UPS = 2
QUIET = 1.18  # times the canaries' 10th percentile
_LEAST_QUIET = 0.2  # of the calls; where fewer are quiet the whole time was noisy, and all calls count
_ROUNDS = 12
_WIDEST = 0.05
"""Largest share by which a median may be off; beyond it the machine was too noisy to tell."""


class Timed(NamedTuple):
    """One call."""

    seconds: float
    canary: float
    """The slower one of the two around the call."""


def measure(
    run: Call, reference: Call, *, threads: int, runtime: str, visits: int = _ROUNDS, visit_ms: float = 40
) -> Latency:
    """Time `run` and `reference` in turns; each visit warms up, then calls for `visit_ms`.

    Takes about 2 * visits * visit_ms, a second by default. `threads` and `runtime` are recorded, not set.
    """
    (found,) = measure_in_turns([(run, runtime)], reference, threads=threads, rounds=range(visits), visit_ms=visit_ms)
    return found


def measure_in_turns(
    calls: Sequence[tuple[Call, str]],
    reference: Call,
    *,
    threads: int,
    rounds: Iterable[object] = range(_ROUNDS),
    visit_ms: float = 40,
) -> list[Latency]:
    """Time calls, each given with the name of its runtime, side by side: each round visits all, the reference last."""
    every = [*(call for call, _ in calls), reference]
    visits: list[list[list[Timed]]] = [[] for _ in every]
    for _ in rounds:
        for call, own in zip(every, visits, strict=True):
            own.append(visit(call, visit_ms / 1000))
    canaries = [timed.canary for own in visits for timed in _joined(own)]
    loudest = float(np.percentile(canaries, 10)) * QUIET
    others = _joined(visits[-1])
    reference_ms = float(np.median(_quiet(others, loudest))) * 1000
    # A large net clears the cache, which slows the canary behind it; the small reference tells how quiet it was.
    quiet = sum(call.canary <= loudest for call in others) / len(others)
    return [
        _latency(own, loudest, threads=threads, runtime=name, reference_ms=reference_ms, quiet=quiet)
        for own, (_, name) in zip(visits, calls, strict=False)
    ]


def noise_words(found: Latency) -> str:
    """Say that the machine was too noisy to tell; empty where it was quiet enough, or nobody listened."""
    if found.quiet is None or found.margin is None:
        return ""
    if found.quiet < _LEAST_QUIET:
        slowed = f"{1 - found.quiet:.0%} of the reference net's calls"
        return f"too noisy to tell: other work slowed down {slowed}; time it again later"
    if found.margin > _WIDEST:
        return f"too noisy to tell: from round to round the median moved by up to {found.margin:.0%}; time it again"
    return ""


def quick(run: Call, reference: Call, *, threads: int, runtime: str) -> Latency:
    """Time roughly, in a quarter of a second: enough to order candidates, not to judge a budget's last percent."""
    return measure(run, reference, threads=threads, runtime=runtime, visits=5, visit_ms=25)


def machine() -> str:
    """Describe this machine, such as `x86_64 AMD EPYC 9454, 2 cores, Linux`."""
    names = [platform.machine(), _processor()]
    return f"{' '.join(name for name in names if name)}, {os.cpu_count()} cores, {platform.system()}"


def reference_graph() -> Graph:
    """Return MobileNet V1 0.25 at 128 px with 1000 outputs (Howard et al. 2017, table 1) and seeded random weights.

    Other latencies are given as ratios to this net's. It never changes: ratios of different days stay comparable.
    """
    sketch = Sketch(128, seed=20170417)
    tensor = sketch.conv("image", 8, kernel=3, stride=2, activation="relu6")
    rows = [(1, 16), (2, 32), (1, 32), (2, 64), (1, 64), (2, 128), *[(1, 128)] * 5, (2, 256), (1, 256)]
    for stride, outputs in rows:
        tensor = sketch.depthwise(tensor, stride=stride, activation="relu6")
        tensor = sketch.conv(tensor, outputs, activation="relu6")
    return sketch.finish(sketch.linear(sketch.mean(tensor), 1000))


def visit(call: Call, seconds: float) -> list[Timed]:
    """Warm a call up, then time it again and again for so many seconds."""
    for _ in range(_WARM_UPS):
        call()
    timed: list[Timed] = []
    before, end = _canary(), perf_counter() + seconds
    while not timed or perf_counter() < end:
        start = perf_counter()
        call()
        stop = perf_counter()
        after = _canary()
        timed.append(Timed(stop - start, max(before, after)))
        before = after
    return timed


def _canary() -> float:
    """Time about 20 us of Python, which touches no memory to speak of."""
    start = perf_counter()
    total = 0
    for number in range(500):
        total += number
    return perf_counter() - start


def _latency(
    visits: Sequence[Sequence[Timed]], loudest: float, *, threads: int, runtime: str, reference_ms: float, quiet: float
) -> Latency:
    own = _quiet(_joined(visits), loudest)
    return Latency(
        median_ms=float(np.median(own)) * 1000,
        p90_ms=float(np.percentile(own, 90)) * 1000,
        runs=len(own),
        threads=threads,
        runtime=runtime,
        machine=machine(),
        reference_ms=reference_ms,
        quiet=quiet,
        margin=_margin([float(np.median(_quiet(calls, loudest))) for calls in visits]),
    )


def _margin(medians: Sequence[float]) -> float:
    """Return half the 95% interval of the rounds' median as a share of it: between two of them, by the sign test.

    Of fewer than six rounds it is the whole range.
    """
    count, ends = len(medians), sorted(medians)
    tails = [
        sum(math.comb(count, below) for below in range(left + 1)) / 2.0 ** (count - 1) for left in range(count // 2)
    ]
    left = max(sum(tail <= 0.05 for tail in tails) - 1, 0)
    return (ends[-1 - left] - ends[left]) / 2 / float(np.median(ends))


def _joined(visits: Iterable[Sequence[Timed]]) -> list[Timed]:
    return [timed for calls in visits for timed in calls]


def _quiet(timed: Sequence[Timed], loudest: float) -> NDArray[np.float64]:
    kept = [call.seconds for call in timed if call.canary <= loudest]
    enough = len(kept) >= _LEAST_QUIET * len(timed)
    return np.array(kept if enough else [call.seconds for call in timed])


def _processor() -> str:
    """Return the processor's name; Python's own answer is empty on most Linux systems."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return " ".join(line.split(":", 1)[1].split())
    return platform.processor() if platform.processor() != platform.machine() else ""
