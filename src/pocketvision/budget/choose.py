"""From the top of the candidates down: what breaks the budget by count drops out, then latency is measured."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from pocketvision.errors import BudgetMissed
from pocketvision.progress import Progress, Silent, track
from pocketvision.values import Budget, Candidate, Choice, Cost, Latency
from pocketvision.words import bytes_text

CLOCK_MARGIN = 0.9
"""Share of the allowed latency that a candidate may take: the delivered file is timed again, at another moment, and a
net that misses by the clock's noise would be found out only after its training."""

Measure = Callable[[Candidate], tuple[int, Latency]]
"""Writes a candidate with fresh weights; returns the file's bytes and its latency."""


def choose(
    found: Sequence[Candidate],
    budget: Budget,
    *,
    measure: Measure,
    notes: tuple[str, ...] = (),
    progress: Progress = Silent(),
) -> Choice:
    """Take the first candidate, in the order given, that keeps every limit.

    Sizes, parameters, multiply-adds and memory are counted; then the exported candidate is weighed and timed.
    Raises BudgetMissed with the nearest feasible offer when none fits.
    """
    judged: list[Candidate] = []
    taken: Candidate | None = None
    for candidate in track(found, progress, "choosing", len(found)):
        if taken is not None:
            judged.append(replace(candidate, status="not needed", reason=f"{taken.spec} ranks higher and fits"))
            continue
        result = _judge(candidate, budget, measure, judged)
        judged.append(result)
        if result.status == "taken":
            taken = result
    if taken is None:
        raise BudgetMissed(_offer(judged, budget))
    return Choice(budget, taken, tuple(judged), notes)


def _judge(candidate: Candidate, budget: Budget, measure: Measure, judged: Sequence[Candidate]) -> Candidate:
    broken = broken_by_count(candidate.cost, candidate.size_bytes, budget)
    if broken:
        return replace(candidate, status="over budget", reason="; ".join(broken))
    bound = _at_least_ms(candidate, judged)
    if budget.max_latency_ms is not None and bound > budget.max_latency_ms:
        return replace(
            candidate,
            status="too slow",
            reason=f"at least {bound:.2f} ms, judged from a larger one measured; allowed {budget.max_latency_ms:g} ms",
        )
    size, latency = measure(candidate)
    candidate = replace(candidate, size_bytes=size, latency=latency)
    broken = broken_by_count(candidate.cost, candidate.size_bytes, budget)
    if broken:
        return replace(candidate, status="over budget", reason="; ".join(broken))
    if budget.max_latency_ms is not None and latency.median_ms > CLOCK_MARGIN * budget.max_latency_ms:
        reason = (
            f"{latency.median_ms:.2f} ms measured; allowed {budget.max_latency_ms:g} ms, less a tenth for the clock"
        )
        return replace(candidate, status="too slow", reason=reason)
    return replace(candidate, status="taken", reason="highest suggested accuracy of those that keep the budget")


def broken_by_count(cost: Cost, size_bytes: int, budget: Budget) -> list[str]:
    """Say which countable limits a net breaks."""
    limits = (
        ("size", size_bytes, budget.max_size_bytes, bytes_text),
        ("activation memory", cost.peak_activation_bytes, budget.max_memory_bytes, bytes_text),
        ("multiply-adds", cost.macs, budget.max_macs, _millions),
        ("parameters", cost.params, budget.max_params, _millions),
    )
    return [
        f"{name} {write(value)}; allowed {write(allowed)}"
        for name, value, allowed, write in limits
        if allowed is not None and value > allowed
    ]


def _millions(count: float) -> str:
    return f"{count / 1e6:.3g}M"


def _at_least_ms(candidate: Candidate, judged: Sequence[Candidate]) -> float:
    """Bound the latency from below: within a family and precision, time falls no faster than multiply-adds."""
    return max(
        (
            other.latency.median_ms * candidate.cost.macs / other.cost.macs
            for other in judged
            if other.latency is not None
            and other.spec.name == candidate.spec.name
            and other.precision == candidate.precision
            and other.cost.macs >= candidate.cost.macs
        ),
        default=0.0,
    )


def _offer(judged: Sequence[Candidate], budget: Budget) -> str:
    """Name the candidate that misses the budget by the smallest factor, and what it would need."""
    if not judged:
        return "no candidate was left to consider; allow a larger resolution or another model"
    nearest = min(judged, key=lambda item: _overshoot(item, budget))
    return (
        f"no candidate keeps the budget. Nearest: {nearest.spec}, {nearest.precision}: {nearest.reason}. "
        "Raise that limit, or lower --resolution if it is set."
    )


def _overshoot(candidate: Candidate, budget: Budget) -> float:
    latency = candidate.latency.median_ms if candidate.latency else None
    pairs = (
        (candidate.size_bytes, budget.max_size_bytes),
        (candidate.cost.peak_activation_bytes, budget.max_memory_bytes),
        (candidate.cost.macs, budget.max_macs),
        (candidate.cost.params, budget.max_params),
        (latency, budget.max_latency_ms),
    )
    unmeasured = 0.1 if budget.max_latency_ms is not None and latency is None else 0.0
    return max((value / limit for value, limit in pairs if value and limit), default=1.0) + unmeasured
