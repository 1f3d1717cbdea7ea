"""From thousands of settings to the few that are trained: limits as masks, what nothing beats, and the shortlist."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketvision.budget.dials import turned_up
from pocketvision.budget.forecast import Forecast, suggested_top1
from pocketvision.budget.limits import LIMITS, Measured, asked, broken, bytes_text
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
"""Log-odds of accuracy that a doubling of the multiply-adds must be predicted to bring."""
FRONT, MISSES = 48, 12
"""So many of the best at every cost, and of the nearest that break the budget, are kept on record."""
REACH = 4.0
"""Times a limit that is looked beyond it for what raising it would bring."""
DIFFERENT = {"width": 1.35, "resolution": 1.6, "depth": 3}
"""Two settings of the same weights count as different where width or resolution differ by such a factor, or depth by so
many layers, or each by a part of it."""

Measure = Callable[[Candidate], Candidate]
"""Writes a candidate with fresh weights; returns it with the file's bytes and its latency."""
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PredictedTimes:
    """Latency in milliseconds of every row, predicted; nine of ten lie between `low` and `high`."""

    middle: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class Considered:
    """All settings with what is predicted of them."""

    space: Space
    forecast: Forecast
    budget: Budget
    latency: PredictedTimes | None = None
    """None where no latency is limited, or nothing is known of this machine."""
    predicts: bool = True
    """Whether what the forecast says is told: of what ImageNet's figures can only put in an order it is not."""

    def keeping(self, *, without: str = "") -> Mask:
        """Tell which rows keep every limit, but for one that is left out, as far as is counted or predicted."""
        kept = np.ones(len(self.space), bool)
        for limit, allowed in asked(self.budget):
            if limit.name == without:
                continue
            if limit.column:
                kept &= getattr(self.space, limit.column) <= _margin(limit.name, self.budget) * allowed
            elif limit.name == "max_latency" and self.latency is not None:
                kept &= self.latency.middle <= _margin(limit.name, self.budget) * allowed
        return kept

    @property
    def utility(self) -> Floats:
        """Return what rows are ranked by: predicted log-odds, less a little for every doubling of the work."""
        odds = np.log(self.forecast.middle / (1 - self.forecast.middle))
        return np.asarray(odds - THRIFT * np.log2(self.space.macs))

    def candidate(self, row: int) -> Candidate:
        """Return a row as a record."""
        space = self.space
        spec, precision = space.spec(row), space.precision_of(row)
        columns = (space.params, space.macs, space.weight_bytes, space.peak_bytes)
        cost = Cost(*(int(column[row]) for column in columns))
        predicted = None
        if self.latency is not None and np.isfinite(self.latency.middle[row]):
            parts = (self.latency.middle, self.latency.low, self.latency.high)
            predicted = Estimate(*(round(float(part[row]), 4) for part in parts))
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
            accuracy=self.forecast.of(row) if self.predicts else None,
            predicted_ms=predicted,
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
    """Pick up to `count` different nets that keep the budget, each written and timed; the best predicted comes first.

    Where an accuracy is asked for, the smallest that are predicted to reach it come first. Raises BudgetMissed with the
    nearest offers where nothing keeps the budget.
    """
    kept = found.keeping()
    if not kept.any():
        raise BudgetMissed(offers(found))
    rows, picked = list(_ranked(found, kept)), list[int]()
    result = Shortlist()
    with progress.bar("choosing", count) as bar:
        while rows and len(result.picked) < count:
            row = rows.pop(0)
            candidate = measure(found.candidate(row))
            if fault := _fault(candidate, found.budget):
                result.refused.append(replace(candidate, status=fault.status, reason=fault.reason))
                kept &= ~_slower(found, row, candidate)
                rows = list(_ranked(found, kept))  # what the refused one beat may keep the budget
            else:
                result.picked.append(candidate)
                picked.append(row)
                bar.advance(1)
            rows = [other for other in rows if all(_differs(found.space, other, mine) for mine in picked)]
        bar.advance(count - len(result.picked))
    if not result.picked:
        raise BudgetMissed(offers(found, result.refused))
    return result


def _ranked(found: Considered, kept: Mask) -> Iterator[int]:
    """Yield the rows that keep the budget and that nothing beats, the first to train first."""
    space = found.space
    asked_for = found.budget.limits.get("min_accuracy") if found.predicts else None
    utility = found.utility if asked_for is None else found.forecast.middle
    places = np.flatnonzero(kept)
    places = places[front(utility[places], [space.size_bytes[places], space.macs[places]])]
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


def _slower(found: Considered, row: int, measured: Candidate) -> Mask:
    """Tell which rows are out with a refused one: itself and, where it takes too long, those of its family that do too,
    since time falls no faster than multiply-adds."""
    space, allowed = found.space, found.budget.limits.get("max_latency", math.inf)
    names = np.array([trunk.spec.name == measured.spec.name for trunk in space.trunks])
    alike = names[space.trunk] & (space.precision == space.precision[row])
    predicted = (measured.latency_ms or 0.0) * space.macs / space.macs[row]
    out = alike & (predicted > _margin("max_latency", found.budget) * allowed)
    out[row] = True
    return np.asarray(out)


def _differs(space: Space, other: int, row: int) -> bool:
    first, second = space.trunks[int(space.trunk[other])], space.trunks[int(space.trunk[row])]
    if (first.spec.name, first.origin) != (second.spec.name, second.origin):
        return True
    width = abs(math.log(first.spec.width / second.spec.width)) / math.log(DIFFERENT["width"])
    pixels = abs(math.log(space.resolution[other] / space.resolution[row])) / math.log(DIFFERENT["resolution"])
    layers = [space.spec(place).depth or 1 + max(depth or 0 for depth in first.depths) for place in (other, row)]
    return width + pixels + abs(layers[0] - layers[1]) / DIFFERENT["depth"] >= 1


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
    gain: float | None
    """Points of predicted accuracy; None where nothing keeps the budget as it is, or none is predicted."""
    needs: float
    """What the best without this limit takes, in the limit's unit."""
    candidate: Candidate

    def __str__(self) -> str:
        needs = LIMITS[self.limit].unit.write(self.needs)
        told = "" if self.gain is None else f", predicted {self.gain:+.1f} points"
        net = f"{self.candidate.spec} ({self.candidate.precision})"
        return f"--{self.limit.replace('_', '-')} {needs} would allow {net}{told}"


def steps_up(found: Considered) -> list[Step]:
    """Return, for each limit, what the best setting within reach beyond it would bring, where it brings anything; where
    nothing keeps the budget, the smallest raise of that limit alone that lets anything in."""
    kept = found.keeping()
    told = kept.any() and found.predicts
    here = found.forecast.middle[kept].max(initial=0.0)
    steps = []
    for limit, allowed in asked(found.budget):
        needs = _amounts(found, limit.name)
        if not limit.at_most or needs is None:
            continue
        free = found.keeping(without=limit.name) & (needs > allowed) & np.isfinite(needs)
        if kept.any():
            free &= needs <= REACH * allowed
        if not free.any():
            continue
        rows = np.flatnonzero(free)
        row = int(rows[np.argmax(found.utility[rows]) if kept.any() else np.argmin(needs[rows])])
        gain = 100 * float(found.forecast.middle[row] - here)
        if gain > 0 or not kept.any():
            steps.append(Step(limit.name, gain if told else None, float(needs[row]), found.candidate(row)))
    return steps


def _amounts(found: Considered, name: str) -> Floats | None:
    """Return what a limit must allow for each row to keep it, its margin included; None where nothing is known."""
    if column := LIMITS[name].column:
        return np.asarray(np.ceil(getattr(found.space, column) / _margin(name, found.budget)), float)
    if name == "max_latency" and found.latency is not None:
        return np.asarray(found.latency.middle / _margin(name, found.budget))
    return None


def _margin(name: str, budget: Budget) -> float:
    """Return the share of what a limit allows that counts and predictions may take; what is predicted for another
    device is judged by the same prediction."""
    return {"max_size": SIZE_MARGIN, "max_latency": 1.0 if budget.profile else CLOCK_MARGIN}.get(name, 1.0)


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
            over = np.maximum(over, getattr(found.space, LIMITS[name].column) / (_margin(name, found.budget) * allowed))
        elif name == "max_latency" and found.latency is not None:
            # What breaks another limit was not predicted.
            times = np.where(np.isfinite(found.latency.middle), found.latency.middle, 0.0)
            over = np.maximum(over, times / (_margin(name, found.budget) * allowed))
    out = np.flatnonzero(~found.keeping())
    best: dict[int, int] = {}
    for row in out[np.argsort(over[out], kind="stable")]:
        best.setdefault(int(found.space.trunk[row]), int(row))
    rows = list(best.values())[:count]
    return [_missing(found.candidate(row), found.budget) for row in rows]


def _missing(candidate: Candidate, budget: Budget) -> Candidate:
    found = broken(figures_of(candidate), budget)
    allowed, most = budget.limits.get("max_latency"), budget.limits.get("max_size", math.inf)
    if SIZE_MARGIN * most < candidate.size_bytes <= most:
        found.append(
            f"size {bytes_text(candidate.size_bytes)} as counted; allowed {bytes_text(most)}, less a hundredth"
        )
    margin = _margin("max_latency", budget)
    if allowed is not None and candidate.predicted_ms and candidate.predicted_ms.middle > margin * allowed:
        less = ", less a tenth" if margin < 1 else ""
        found.append(f"{candidate.predicted_ms.middle:.2f} ms predicted; allowed {allowed:g} ms{less}")
    status: Status = "too slow" if found and "ms predicted" in found[0] else "over budget"
    return replace(candidate, status=status, reason="; ".join(found))


def on_record(found: Considered, chosen: Mapping[str, Candidate]) -> tuple[Candidate, ...]:
    """Return what a choice keeps: the best at every size and at every amount of work, and the nearest misses."""
    kept = np.flatnonzero(found.keeping())
    rows: set[int] = set()
    for cost in (found.space.size_bytes, found.space.macs):
        best = kept[front(found.utility[kept], [cost[kept]])]
        best = best[np.argsort(cost[best])]
        rows |= {int(row) for row in best[np.unique(np.linspace(0, len(best) - 1, FRONT // 2).astype(int))]}
    reasons = {row: "nothing smaller is predicted to be better" for row in rows}
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
