"""A limit for another device: read with its profile, judged by prediction, and said to be so."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketvision.budget import prediction
from pocketvision.budget.choose import Considered, PredictedTimes, shortlist
from pocketvision.budget.forecast import Forecast
from pocketvision.budget.limits import Measured, broken, budget_of, judge
from pocketvision.budget.space import Space, Trunk
from pocketvision.cost import count
from pocketvision.errors import BudgetMissed, UsageError
from pocketvision.graph.graph import Graph
from pocketvision.graph.trace import trace_spec
from pocketvision.settings.groups import BudgetConfig
from pocketvision.values import (
    Budget,
    Candidate,
    Latency,
    ModelSpec,
    PredictedLatency,
    Verdict,
    from_json,
    to_json,
)
from pocketvision.verify.outcome import verdict_line
from tests.budget.columns import columns

HERE = Latency(1.0, 1.2, 100, 1, "onnxruntime", "a workstation", 0.5)


@dataclass(frozen=True)
class FoundTimes:
    """What a profile predicts, an entry a graph."""

    median_ms: NDArray[np.float64]
    low_ms: NDArray[np.float64]
    high_ms: NDArray[np.float64]
    covered: NDArray[np.bool_]


class FixedProfile:
    """A device that takes a millisecond for a million multiply-adds."""

    machine, runtime_name, threads, precision = "Pixel 7", "LiteRT", 1, "float"

    def predict(self, graphs: list[Graph]) -> FoundTimes:
        times = np.array([count(graph).macs / 1e6 for graph in graphs])
        return FoundTimes(times, times * 0.9, times * 1.1, np.ones(len(times), bool))


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(prediction, "read_profile", lambda path: FixedProfile())
    path = tmp_path / "pixel7.json"
    path.write_text("{}", encoding="utf-8")
    return path


def predicted(median_ms: float, *, covered: bool = True) -> PredictedLatency:
    return PredictedLatency("Pixel 7", "LiteRT", 1, median_ms, median_ms * 0.9, median_ms * 1.1, covered)


def test_an_amount_may_name_the_profile_of_a_device(profile: Path) -> None:
    assert budget_of(BudgetConfig(max_latency=f"10ms@{profile}")) == Budget({"max_latency": 10}, str(profile))
    assert budget_of(BudgetConfig(max_latency=f"0.5s@{profile}")).limits == {"max_latency": 500}
    assert budget_of(BudgetConfig(max_latency="10ms")).profile is None
    assert from_json(Budget, to_json(Budget({"max_latency": 10}))) == Budget({"max_latency": 10})
    assert "profile" not in to_json(Budget({"max_latency": 10})), "files of before stay as they are"


@pytest.mark.parametrize("amount", ["10ms@absent.json", "10ms@", "10ms@.", "@pixel7.json"])
def test_a_profile_that_is_none_is_told_before_anything_is_done(amount: str) -> None:
    with pytest.raises(UsageError, match=r"no such file; write 10ms@FILE"):
        budget_of(BudgetConfig(max_latency=amount))


def test_an_amount_that_is_none_is_told_with_a_profile_too(profile: Path) -> None:
    with pytest.raises(UsageError, match=r"write 10ms, 0\.5s, 10ms@PROFILE"):
        budget_of(BudgetConfig(max_latency=f"10KB@{profile}"))
    with pytest.raises(UsageError, match="--max-size takes"):
        budget_of(BudgetConfig(max_size=f"1MB@{profile}"))


def test_this_machines_time_does_not_count_for_another_device() -> None:
    asked = Budget({"max_latency": 10.0}, "pixel7.json")
    assert not judge(asked, Measured(1, latency=HERE))[0].passed, "nothing is known of the device"
    assert broken(Measured(1, latency=HERE, predicted=predicted(12)), asked) == ["latency 12 ms; allowed 10 ms"]
    (kept,) = judge(asked, Measured(1, latency=HERE, predicted=predicted(8)))
    assert (kept.passed, kept.measured, kept.predicted) == (True, 8, predicted(8))
    here = Budget({"max_latency": 10.0})
    (plain,) = judge(here, Measured(1, latency=HERE, predicted=predicted(12)))
    assert (plain.passed, plain.measured, plain.predicted) == (True, 1.0, None)
    assert from_json(Verdict, to_json(kept)) == kept
    assert "predicted" not in to_json(plain)


@pytest.mark.parametrize(
    ("median", "passed", "words"),
    [
        (8.0, True, "predicted for Pixel 7, 7.20 ms to 8.80 ms)"),
        (9.5, True, "the limit lies in that interval, so only a measurement there can tell)"),
        (10.5, False, "the limit lies in that interval, so only a measurement there can tell)"),
        (12.0, False, "predicted for Pixel 7, 10.8 ms to 13.2 ms)"),
    ],
)
def test_a_verdict_by_prediction_says_so(median: float, passed: bool, words: str) -> None:
    asked = Budget({"max_latency": 10.0}, "pixel7.json")
    (verdict,) = judge(asked, Measured(1, predicted=predicted(median)))
    line = verdict_line(verdict).replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert verdict.passed == passed
    assert line.startswith("PASS max_latency: " if passed else "FAIL max_latency: ")
    assert line.endswith(words)


def test_what_the_profile_does_not_cover_is_said() -> None:
    (verdict,) = judge(Budget({"max_latency": 10.0}, "p"), Measured(1, predicted=predicted(5, covered=False)))
    assert verdict_line(verdict).endswith("; the profile has no nets of this kind, so the interval promises nothing)")


def test_a_profile_of_float_nets_covers_no_int8_file(profile: Path) -> None:
    graph, budget = trace_spec(ModelSpec("mobilenet_v1", 0.25, 64, 10)), Budget({"max_latency": 10.0}, str(profile))
    plain = prediction.predicted_latency(graph, budget, "float")
    small = prediction.predicted_latency(graph, budget, "int8")
    assert plain is not None
    assert small is not None
    assert (plain.covered, small.covered) == (True, False)
    assert (plain.device, plain.median_ms) == ("Pixel 7", count(graph).macs / 1e6)
    assert prediction.predicted_latency(graph, Budget({"max_latency": 10.0}), "float") is None


def test_the_choice_goes_by_the_device() -> None:
    trunks = tuple(
        Trunk(ModelSpec("mobilenet_v1", width, 96, 10), (None,), (96,), ("own",)) for width in (1, 0.5, 0.25)
    )
    place, none, precision = np.arange(3), np.zeros(3, np.int64), np.zeros(3, np.int64)
    counted = columns(3, macs=(30_000_000, 9_500_000, 2_000_000))
    space = Space(trunks, place, none, np.full(3, 96), precision, counted, 0, 0)
    middle = np.array([0.9, 0.8, 0.7])
    times = space.macs / 1e6
    found = Considered(
        space,
        Forecast(middle - 0.1, middle, middle + 0.05),
        Budget({"max_latency": 10.0}, "p"),
        PredictedTimes(times, times, times),
    )

    def measure(candidate: Candidate) -> Candidate:
        return replace(candidate, predicted=predicted(candidate.cost.macs / 1e6))

    listed = shortlist(found, measure, count=1)
    assert listed.picked[0].spec.width == 0.5, "a prediction needs no margin for the clock"
    blind = shortlist(replace(found, latency=None), measure, count=1)
    assert blind.picked[0].spec.width == 0.5
    assert blind.refused[0].status == "too slow"
    assert "predicted for Pixel 7" in blind.refused[0].reason
    with pytest.raises(BudgetMissed, match="predicted for Pixel 7"):
        shortlist(replace(found, budget=Budget({"max_latency": 0.5}, "p"), latency=None), measure, count=1)
