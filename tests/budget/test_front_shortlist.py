"""The choice among thousands of settings, held to its contract over made-up spaces and random budgets."""

import math
import zlib
from dataclasses import replace

import numpy as np
import pytest

from pocketvision.budget.choose import (
    CLOCK_MARGIN,
    DIFFERENT,
    Considered,
    PredictedTimes,
    Shortlist,
    front,
    key_of,
    nearest_misses,
    offers,
    on_record,
    shortlist,
    steps_up,
)
from pocketvision.budget.forecast import Forecast
from pocketvision.budget.limits import LIMITS
from pocketvision.budget.space import COLUMNS, Space, Trunk
from pocketvision.errors import BudgetMissed
from pocketvision.values import Budget, Candidate, Latency, ModelSpec, StartKind
from tests.budget.columns import columns

SEEDS = range(60)
NAMES = ("mobilenet_v1", "mobilenet_v2", "squeezenet1_1")
DEPTHS, SIDES = (6, 9, None), (64, 96, 128)


def made_up(seed: int) -> Considered:
    """Draw a space with forecasts and latencies; nothing is limited."""
    dice = np.random.default_rng(seed)
    kinds: tuple[StartKind, ...] = ("cut", "cut", "own")
    trunks = tuple(
        Trunk(ModelSpec(name, width, 128, 3), DEPTHS, SIDES, kinds if width == 1 else ("sliced",) * 3, f"{name}.tflite")
        for name in NAMES
        for width in (1.0, 0.5)
    )
    grids = np.indices((len(trunks), len(DEPTHS), len(SIDES), 2)).reshape(4, -1)
    trunk, depth, side, precision = grids
    scale = np.exp(dice.normal(0, 0.4, len(trunks)))[trunk] * (1 + depth)
    weights = np.round(20_000 * scale).astype(np.int64)
    macs = np.round(1e6 * scale * np.array(SIDES)[side] ** 2 / 4096 * np.exp(dice.normal(0, 0.2, len(trunks)))[trunk])
    counted = columns(len(trunk), params=weights, macs=macs, peak=9 * np.array(SIDES)[side] ** 2, weights=weights)
    counted[:, COLUMNS.index("layers")], counted[:, COLUMNS.index("sums")] = depth * 9, depth * 5
    space = Space(trunks, trunk, depth, np.array(SIDES)[side], precision, counted, 3, 60)
    middle = np.round(0.5 + 0.4 * np.tanh(np.log(macs) / 4 - 3.5) + dice.normal(0, 0.04, len(space)), 2)
    middle = np.clip(middle, 0.05, 0.99)
    took = macs / np.where(precision == 1, 2e7, 1e7)
    forecast = Forecast(middle - 0.02, middle, np.minimum(middle + 0.02, 0.995))
    return Considered(space, forecast, Budget(), PredictedTimes(took, took * 0.9, took * 1.1))


def limited(found: Considered, seed: int) -> Considered:
    """Draw limits so that some of the settings keep them all, more often than not."""
    dice = np.random.default_rng(1000 + seed)
    assert found.latency is not None
    amounts = {
        "max_size": found.space.size_bytes,
        "max_latency": found.latency.middle,
        "max_macs": found.space.macs,
        "max_memory": found.space.peak_bytes,
        "max_params": found.space.params,
    }
    chosen = dice.permutation(list(amounts))[: dice.integers(1, 4)]
    limits = {str(name): float(np.quantile(amounts[name], dice.uniform(0.05, 0.9))) for name in chosen}
    return replace(found, budget=Budget(limits))


def clock(candidate: Candidate, *, slower: float = 1.0) -> Candidate:
    """Stand for a machine that does 10M multiply-adds a millisecond, twice that in int8."""
    took = slower * candidate.cost.macs / (2e7 if candidate.precision == "int8" else 1e7)
    return replace(candidate, latency=Latency(took, took, 10, 1, "none", "none", 1.0))


def rows_of(found: Considered) -> dict[str, int]:
    return {key_of(found.candidate(row)): row for row in range(len(found.space))}


def beaten(found: Considered, row: int, score: np.ndarray, among: np.ndarray) -> bool:
    """Tell whether one of some rows has a higher score at no higher size and multiply-adds."""
    size, macs = found.space.size_bytes, found.space.macs
    return bool((among & (score > score[row]) & (size <= size[row]) & (macs <= macs[row])).any())


def picked_of(found: Considered, count: int = 4) -> list[Candidate]:
    try:
        return shortlist(found, clock, count=count).picked
    except BudgetMissed:
        return []


@pytest.mark.parametrize("seed", SEEDS)
def test_the_front_is_what_a_comparison_of_all_with_all_gives(seed: int) -> None:
    dice = np.random.default_rng(seed)
    count = int(dice.integers(1, 60))
    score, *costs = (dice.integers(0, 8, count).astype(float) for _ in range(1 + seed % 3 + 1))
    no_worse = np.stack([score[:, None] >= score, *(cost[:, None] <= cost for cost in costs)]).all(axis=0)
    same = no_worse & no_worse.T
    earlier = np.arange(count)[:, None] < np.arange(count)
    beaten = (no_worse & (~same | earlier)).any(axis=0)
    assert (front(score, costs) == ~beaten).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_shortlist_keeps_every_limit_and_nothing_beats_it(seed: int) -> None:
    found = limited(made_up(seed), seed)
    kept, rows = found.keeping(), rows_of(found)
    picked = picked_of(found)
    assert bool(picked) == bool(kept.any())
    for one in picked:
        row = rows[key_of(one)]
        assert one.latency is not None
        held = {
            "max_size": one.size_bytes,
            "max_latency": one.latency.median_ms / CLOCK_MARGIN,
            "max_macs": one.cost.macs,
            "max_memory": one.cost.peak_activation_bytes,
            "max_params": one.cost.params,
        }
        assert all(held[name] <= allowed for name, allowed in found.budget.limits.items())
        assert not beaten(found, row, found.utility, kept)
    if picked:
        assert found.utility[rows[key_of(picked[0])]] == found.utility[kept].max()
    utilities = [found.utility[rows[key_of(one)]] for one in picked]
    assert utilities == sorted(utilities, reverse=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_picks_from_the_same_weights_differ_in_width_resolution_or_depth(seed: int) -> None:
    def apart(first: ModelSpec, second: ModelSpec) -> float:
        ratios = {"width": first.width / second.width, "resolution": first.resolution / second.resolution}
        layers = (first.depth or DEPTHS[-2] + 1) - (second.depth or DEPTHS[-2] + 1)
        dials = [abs(math.log(ratio)) / math.log(DIFFERENT[name]) for name, ratio in ratios.items()]
        return sum(dials) + abs(layers) / DIFFERENT["depth"]

    picked = picked_of(limited(made_up(seed), seed), count=6)
    for place, one in enumerate(picked):
        for other in picked[:place]:
            assert one.origin != other.origin or apart(one.spec, other.spec) >= 1 - 1e-9


@pytest.mark.parametrize("seed", SEEDS)
def test_the_smallest_that_is_predicted_to_reach_an_accuracy_comes_first(seed: int) -> None:
    found = limited(made_up(seed), seed)
    asked = float(np.random.default_rng(seed).uniform(0.3, 0.95))
    found = replace(found, budget=Budget({**found.budget.limits, "min_accuracy": asked}))
    kept, rows = found.keeping(), rows_of(found)
    picked = picked_of(found)
    reaching = kept & (found.forecast.middle >= asked)
    if reaching.any():
        first = rows[key_of(picked[0])]
        assert reaching[first]
        assert found.space.size_bytes[first] == found.space.size_bytes[reaching].min()
    elif kept.any():
        first = rows[key_of(picked[0])]
        assert found.forecast.middle[first] == found.forecast.middle[kept].max()


def wrong_clock(candidate: Candidate) -> Candidate:
    """Stand for a machine that is up to four times slower than predicted, each family in its own way."""
    words = f"{candidate.spec.name} {candidate.precision}".encode()
    return clock(candidate, slower=1 + zlib.crc32(words) % 4)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_refused_while_a_measured_setting_would_keep_the_budget(seed: int) -> None:
    found = made_up(seed)
    assert found.latency is not None
    budget = Budget({"max_latency": float(np.quantile(found.latency.middle, 0.1 + seed % 7 / 10))})
    found = replace(found, budget=budget)
    allowed = CLOCK_MARGIN * budget.limits["max_latency"]
    every = [wrong_clock(found.candidate(int(row))) for row in np.flatnonzero(found.keeping())]
    in_time = [one for one in every if one.latency_ms is not None and one.latency_ms <= allowed]
    result = Shortlist()
    if in_time:
        result = shortlist(found, wrong_clock, count=4)
        assert all(one.latency_ms is not None and one.latency_ms <= allowed for one in result.picked)
    else:
        with pytest.raises(BudgetMissed, match=r"Nearest: .* ms measured on this machine"):
            shortlist(found, wrong_clock, count=4)
    assert bool(result.picked) == bool(in_time)
    assert all(one.status == "too slow" and "ms" in one.reason for one in result.refused)


def test_a_file_that_weighs_more_than_counted_is_not_picked() -> None:
    found = replace(made_up(3), budget=Budget({"max_size": 100_000}))

    def heavy(candidate: Candidate) -> Candidate:
        more = 2 if candidate.spec.name == "mobilenet_v2" else 1
        return replace(clock(candidate), size_bytes=candidate.size_bytes * more)

    result = shortlist(found, heavy, count=4)
    assert all(one.size_bytes <= 100_000 for one in result.picked)
    assert all(one.status == "over budget" for one in result.refused)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_offer_names_what_its_limit_would_need(seed: int) -> None:
    found = limited(made_up(seed), seed)
    rows, kept = rows_of(found), found.keeping()
    for step in steps_up(found):
        allowed = found.budget.limits[step.limit]
        assert step.needs > allowed
        raised = replace(found, budget=Budget({**found.budget.limits, step.limit: step.needs}))
        assert raised.keeping()[rows[key_of(step.candidate)]]
        gain = found.forecast.middle[raised.keeping()].max() - found.forecast.middle[kept].max(initial=0.0)
        assert 100 * gain >= step.gain - 1e-9
        assert f"--{step.limit.replace('_', '-')} {LIMITS[step.limit].unit.write(step.needs)}" in str(step)


@pytest.mark.parametrize(
    "limits",
    [
        {"max_size": 9_000},
        {"max_latency": 1e-4},
        {"max_macs": 1000},
        {"max_memory": 10},
        {"max_params": 10},
        {"max_size": 60_000, "max_latency": 1e-4},
    ],
)
def test_an_impossible_budget_names_the_nearest_and_what_would_do(limits: dict[str, float]) -> None:
    found = replace(made_up(1), budget=Budget(limits))
    with pytest.raises(BudgetMissed, match=r"Nearest: .*(int8|float)") as caught:
        shortlist(found, clock, count=4)
    assert caught.value.exit_code == 3
    impossible = next(reversed(limits))
    assert f"--{impossible.replace('_', '-')} " in str(caught.value)


def test_where_no_single_limit_stands_in_the_way_the_nearest_is_named() -> None:
    found = replace(made_up(1), budget=Budget({"max_macs": 1000, "max_params": 10}))
    assert steps_up(found) == []
    assert "Nearest: " in offers(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_kept_on_record_has_reasons_and_no_doubles(seed: int) -> None:
    found = limited(made_up(seed), seed)
    picked = picked_of(found)
    if not picked:
        return
    chosen = {key_of(one): replace(one, reason="picked") for one in picked}
    record = on_record(found, chosen)
    keys = [key_of(one) for one in record]
    assert len(keys) == len(set(keys))
    assert keys[: len(chosen)] == list(chosen)
    assert all(one.reason for one in record)
    rows, kept = rows_of(found), found.keeping()
    for one in record:
        assert kept[rows[key_of(one)]] == (one.status == "not needed")


@pytest.mark.parametrize("seed", SEEDS)
def test_misses_are_the_nearest(seed: int) -> None:
    found = limited(made_up(seed), seed)
    misses = nearest_misses(found, 5)
    rows, kept = rows_of(found), found.keeping()
    assert not any(kept[rows[key_of(one)]] for one in misses)
    assert len({(one.spec.name, one.spec.width) for one in misses}) == len(misses)
    assert all(one.status in ("over budget", "too slow") and one.reason for one in misses)
