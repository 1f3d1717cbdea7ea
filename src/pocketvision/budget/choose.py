"""From thousands of settings to the few that are trained: limits as masks, what nothing beats, and the shortlist."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.budget.dials import turned_up
from pocketvision.budget.forecast import Forecast, suggested_top1
from pocketvision.budget.limits import LIMITS, Measured, asked, broken
from pocketvision.budget.prediction import prediction_words
from pocketvision.budget.space import Space
from pocketvision.errors import BudgetMissed
from pocketvision.progress import Progress, Silent
from pocketvision.values import Budget, Candidate, Cost, Estimate

CLOCK_MARGIN = 0.9
"""Share of the allowed latency that a candidate may take: the delivered file is timed again, at another moment, and a
net that misses by the clock's noise would be found out only after its training."""
SIZE_MARGIN = 0.99
"""Share of the allowed bytes that a counted file may have: written ones differ by up to a hundredth."""
THRIFT = 0.03
"""Log-odds of accuracy that a doubling of the multiply-adds must be foretold to bring."""
FRONT, MISSES = 48, 12
"""So many of the best at every cost, and of the nearest that break the budget, are kept on record."""
DIFFERENT = 1.25
"""From this ratio of multiply-adds on, two settings of one net at one width count as different."""

Measure = Callable[[Candidate], Candidate]
"""Writes a candidate with fresh weights; returns it with the file's bytes and its latency."""
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Foretold:
    """Latency in milliseconds of every row, foretold; nine of ten lie between `low` and `high`."""

    middle: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class Considered:
    """All settings with what is foretold of them."""

    space: Space
    forecast: Forecast
    budget: Budget
    latency: Foretold | None = None
    """None where no latency is limited, or nothing is known of this machine."""

    def keeping(self, *, without: str = "") -> Mask:
        """Tell which rows keep every limit, but for one that is left out, as far as is counted or foretold."""
        kept = np.ones(len(self.space), bool)
        for limit, allowed in asked(self.budget):
            if limit.name == without:
                continue
            if limit.column:
                margin = SIZE_MARGIN if limit.name == "max_size" else 1.0
                kept &= getattr(self.space, limit.column) <= margin * allowed
            elif limit.name == "max_latency" and self.latency is not None:
                kept &= self.latency.middle <= CLOCK_MARGIN * allowed
        return kept

    @property
    def utility(self) -> Floats:
        """Return what rows are ranked by: foretold log-odds, less a little for every doubling of the work."""
        odds = np.log(self.forecast.middle / (1 - self.forecast.middle))
        return np.asarray(odds - THRIFT * np.log2(self.space.macs))

    def candidate(self, row: int) -> Candidate:
        """Return a row as a record."""
        space = self.space
        spec, precision = space.spec(row), space.precision_of(row)
        counted = space.counted[row]
        cost = Cost(
            int(counted[0]), int(counted[1]), int(counted[2 if precision == "float" else 3]), int(space.peak_bytes[row])
        )
        foretold = None
        if self.latency is not None and np.isfinite(self.latency.middle[row]):
            parts = (self.latency.middle, self.latency.low, self.latency.high)
            foretold = Estimate(*(round(float(part[row]), 4) for part in parts))
        return Candidate(
            spec,
            precision,
            cost,
            int(space.size_bytes[row]),
            max(0.0, suggested_top1(spec, precision)),
            "not needed",
            "",
            start=space.start(row),
            origin=space.trunks[int(space.trunk[row])].origin,
            accuracy=self.forecast.of(row),
            predicted_ms=foretold,
        )


def front(score: Floats, costs: Sequence[NDArray[np.generic]]) -> Mask:
    """Tell which rows no other one beats: none has as high a score at no higher cost of any kind."""
    order = np.lexsort((*reversed([np.asarray(cost, float) for cost in costs]), -score))
    table = np.stack([np.asarray(cost, float) for cost in costs], axis=1)
    kept: list[int] = []
    lowest = np.empty((0, table.shape[1]))
    for row in order:
        if not (lowest <= table[row]).all(axis=1).any():
            kept.append(int(row))
            lowest = np.vstack([lowest, table[row]])
    found = np.zeros(len(score), bool)
    found[kept] = True
    return found


# ---------------------------------------------------------------- the shortlist


@dataclass(eq=False)
class Shortlist:
    """The candidates to train, best first, and those that fell out when they were written and timed."""

    picked: list[Candidate] = field(default_factory=list)
    refused: list[Candidate] = field(default_factory=list)


def shortlist(found: Considered, measure: Measure, *, count: int, progress: Progress = Silent()) -> Shortlist:
    """Pick up to `count` different nets that keep the budget, each written and timed; the best foretold comes first.

    Where an accuracy is asked for, the smallest that are foretold to reach it come first. Raises BudgetMissed with the
    nearest offers where nothing keeps the budget.
    """
    kept = found.keeping()
    if not kept.any():
        raise BudgetMissed(offers(found))
    rows = list(_ranked(found, kept))
    result = Shortlist()
    with progress.bar("choosing", count) as bar:
        while rows and len(result.picked) < count:
            row = rows.pop(0)
            candidate = measure(found.candidate(row))
            fault = _fault(candidate, found.budget)
            if fault:
                result.refused.append(replace(candidate, status=fault.status, reason=fault.reason))
                rows = [other for other in rows if not _slower(found, other, row, candidate)]
                continue
            result.picked.append(candidate)
            bar.advance(1)
            rows = [other for other in rows if _differs(found.space, other, row)]
        bar.advance(count - len(result.picked))
    if not result.picked:
        raise BudgetMissed(offers(found, result.refused))
    return result


def _ranked(found: Considered, kept: Mask) -> Iterator[int]:
    """Yield the rows that keep the budget and that nothing beats, the first to train first."""
    space, utility = found.space, found.utility
    places = np.flatnonzero(kept)
    best = front(utility[places], [space.size_bytes[places], space.macs[places]])
    places = places[best]
    asked_for = found.budget.limits.get("min_accuracy")
    if asked_for is not None:
        reached = found.forecast.middle[places] >= asked_for
        order = np.lexsort((-utility[places], np.where(reached, space.size_bytes[places], 0), ~reached))
        yield from (int(row) for row in places[order])
    else:
        yield from (int(row) for row in places[np.argsort(-utility[places], kind="stable")])


Status = Literal["over budget", "too slow"]


class _Refusal(NamedTuple):
    status: Status
    reason: str


def _fault(candidate: Candidate, budget: Budget) -> "_Refusal | None":
    if found := broken(replace(figures_of(candidate), latency=None, predicted=None), budget):
        return _Refusal("over budget", "; ".join(found))
    if slow := too_slow(candidate, budget):
        return _Refusal("too slow", slow)
    return None


def _slower(found: Considered, other: int, row: int, measured: Candidate) -> bool:
    """Tell whether another row of the same family takes too long too: time falls no faster than multiply-adds."""
    space, allowed = found.space, found.budget.limits.get("max_latency", math.inf)
    alike = (
        space.trunks[int(space.trunk[other])].spec.name == measured.spec.name
        and space.precision[other] == space.precision[row]
    )
    if not alike or measured.latency_ms is None:
        return False
    return float(measured.latency_ms * space.macs[other] / space.macs[row]) > CLOCK_MARGIN * allowed


def _differs(space: Space, other: int, row: int) -> bool:
    if space.trunk[other] != space.trunk[row]:
        return True
    ratio = space.macs[other] / space.macs[row]
    return bool(max(ratio, 1 / ratio) >= DIFFERENT)


def figures_of(candidate: Candidate) -> Measured:
    """Return what is known of a candidate: counts, and what the file with fresh weights showed."""
    return Measured(
        candidate.size_bytes,
        candidate.cost,
        candidate.latency,
        download_bytes=candidate.download_bytes,
        predicted=candidate.predicted,
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


# ---------------------------------------------------------------- in words


@dataclass(frozen=True)
class Step:
    """What leaving one limit out would change."""

    limit: str
    gain: float
    """Points of foretold accuracy."""
    needs: float
    """What the best without this limit takes, in the limit's unit."""
    candidate: Candidate

    def __str__(self) -> str:
        unit = LIMITS[self.limit].unit
        return (
            f"--{self.limit.replace('_', '-')} {unit.write(self.needs)} would allow {self.candidate.spec} "
            f"({self.candidate.precision}), foretold {self.gain:+.1f} points"
        )


def steps_up(found: Considered) -> list[Step]:
    """Return, for each limit, what the best setting without it would bring, where it brings anything."""
    kept = found.keeping()
    here = found.forecast.middle[kept].max(initial=0.0)
    steps = []
    for limit, allowed in asked(found.budget):
        free = found.keeping(without=limit.name)
        if not limit.at_most or not free.any():
            continue
        row = int(np.flatnonzero(free)[np.argmax(found.utility[free])])
        needs = _amount(found, limit.name, row)
        gain = 100 * float(found.forecast.middle[row] - here)
        if needs is not None and needs > allowed and (gain > 0 or not kept.any()):
            steps.append(Step(limit.name, gain, needs, found.candidate(row)))
    return steps


def _amount(found: Considered, name: str, row: int) -> float | None:
    if column := LIMITS[name].column:
        return float(getattr(found.space, column)[row])
    return float(found.latency.middle[row]) if name == "max_latency" and found.latency is not None else None


def offers(found: Considered, refused: Sequence[Candidate] = ()) -> str:
    """Say that nothing keeps the budget, what comes nearest, and which single limit stands in the way."""
    if not len(found.space):
        return "no candidate was left to consider; allow a larger resolution or another model"
    nearest = nearest_misses(found, 1)
    lines = ["no candidate keeps the budget."]
    if refused:
        last = min(refused, key=lambda one: one.latency_ms or math.inf)
        lines.append(f"Nearest: {last.spec}, {last.precision}: {last.reason}.")
    elif nearest:
        lines.append(f"Nearest: {nearest[0].spec}, {nearest[0].precision}: {nearest[0].reason}.")
    lines += [f"{step}." for step in steps_up(found)]
    return " ".join([*lines, "Raise that limit, or lower --resolution if it is set."])


def nearest_misses(found: Considered, count: int) -> list[Candidate]:
    """Return the settings that break the budget by the smallest factor, one a net and width."""
    over = np.full(len(found.space), 1.0)
    for name, allowed in found.budget.limits.items():
        if LIMITS[name].column:
            over = np.maximum(over, getattr(found.space, LIMITS[name].column) / allowed)
        elif name == "max_latency" and found.latency is not None:
            over = np.maximum(over, found.latency.middle / (CLOCK_MARGIN * allowed))
    out = np.flatnonzero(~found.keeping())
    best: dict[int, int] = {}
    for row in out[np.argsort(over[out], kind="stable")]:
        best.setdefault(int(found.space.trunk[row]), int(row))
    rows = list(best.values())[:count]
    return [_missing(found.candidate(row), found.budget) for row in rows]


def _missing(candidate: Candidate, budget: Budget) -> Candidate:
    found = broken(figures_of(candidate), budget)
    allowed = budget.limits.get("max_latency")
    if allowed is not None and candidate.predicted_ms and candidate.predicted_ms.middle > CLOCK_MARGIN * allowed:
        found.append(f"{candidate.predicted_ms.middle:.2f} ms foretold; allowed {allowed:g} ms, less a tenth")
    status: Status = "too slow" if found and "ms foretold" in found[0] else "over budget"
    return replace(candidate, status=status, reason="; ".join(found))


def on_record(found: Considered, chosen: Mapping[str, Candidate]) -> tuple[Candidate, ...]:
    """Return what a choice keeps: the best at every size and at every amount of work, and the nearest misses."""
    kept = np.flatnonzero(found.keeping())
    rows: set[int] = set()
    for cost in (found.space.size_bytes, found.space.macs):
        best = kept[front(found.utility[kept], [cost[kept]])]
        best = best[np.argsort(cost[best])]
        rows |= {int(row) for row in best[np.unique(np.linspace(0, len(best) - 1, FRONT // 2).astype(int))]}
    reasons = {row: "nothing smaller is foretold to be better" for row in rows}
    picked = [one for one in chosen.values() if one.status not in ("over budget", "too slow")]
    reasons = turned_up(found.space, kept, found.utility, picked) | reasons
    others = [
        replace(found.candidate(row), reason=reasons[row])
        for row in sorted(reasons, key=lambda row: -found.forecast.middle[row])
    ]
    told = [one for one in others if key_of(one) not in chosen]
    return (*chosen.values(), *told, *nearest_misses(found, MISSES))


def key_of(candidate: Candidate) -> str:
    """Name a candidate by what is trained and stored."""
    return f"{candidate.spec} {candidate.origin} {candidate.precision}"
