"""From the top of the candidates down: what breaks the budget by count drops out, then latency is measured."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from pocketvision.budget.limits import Measured, broken, overshoot
from pocketvision.budget.prediction import prediction_words
from pocketvision.errors import BudgetMissed
from pocketvision.progress import Progress, Silent, track
from pocketvision.values import Budget, Candidate, Choice

CLOCK_MARGIN = 0.9
"""Share of the allowed latency that a candidate may take: the delivered file is timed again, at another moment, and a
net that misses by the clock's noise would be found out only after its training."""

Measure = Callable[[Candidate], Candidate]
"""Writes a candidate with fresh weights; returns it with the file's bytes and its latency."""


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
    if found := broken(figures_of(candidate), budget):
        return replace(candidate, status="over budget", reason="; ".join(found))
    bound, allowed = _at_least_ms(candidate, judged), budget.limits.get("max_latency", math.inf)
    if bound > allowed:
        reason = f"at least {bound:.2f} ms, judged from a larger one measured; allowed {allowed:g} ms"
        return replace(candidate, status="too slow", reason=reason)
    candidate = measure(candidate)
    if found := broken(replace(figures_of(candidate), latency=None, predicted=None), budget):
        return replace(candidate, status="over budget", reason="; ".join(found))
    if slow := too_slow(candidate, budget):
        return replace(candidate, status="too slow", reason=slow)
    return replace(candidate, status="taken", reason="highest suggested accuracy of those that keep the budget")


def figures_of(candidate: Candidate) -> Measured:
    """Return what is known of a candidate: counts, and what the file with fresh weights showed."""
    return Measured(
        candidate.size_bytes,
        candidate.cost,
        candidate.latency,
        download_bytes=candidate.download_bytes,
        predicted=candidate.predicted,
    )


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


def too_slow(candidate: Candidate, budget: Budget) -> str:
    """Say by how much a candidate is too slow, also where it leaves the clock no margin; empty where it keeps the
    limit, or its time is not known. A prediction is the same at any moment and needs no margin."""
    allowed = budget.limits.get("max_latency", math.inf)
    if candidate.predicted is not None:
        words = prediction_words(candidate.predicted, allowed)
        took, margin, told = candidate.predicted.median_ms, 1.0, f"{words}; allowed {allowed:g} ms"
    else:
        took, margin = candidate.latency.median_ms if candidate.latency else 0.0, CLOCK_MARGIN
        told = f"measured on this machine; allowed {allowed:g} ms, less a tenth for the clock"
    return f"{took:.2f} ms {told}" if took > margin * allowed else ""


def _overshoot(candidate: Candidate, budget: Budget) -> float:
    unmeasured = 0.1 if "max_latency" in budget.limits and candidate.latency_ms is None else 0.0
    return overshoot(figures_of(candidate), budget) + unmeasured
