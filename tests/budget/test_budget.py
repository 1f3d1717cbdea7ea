"""Budgets: amounts, the order of candidates, and the choice."""

from dataclasses import replace

import pytest

from pocketvision.budget.candidates import WIDTHS, candidates, specs
from pocketvision.budget.choose import choose
from pocketvision.budget.forecast import suggested_top1
from pocketvision.budget.limits import Measured, broken, budget_of, judge
from pocketvision.errors import BudgetMissed, UsageError
from pocketvision.graph.trace import trace_spec
from pocketvision.models.catalogue import largest_useful_resolution
from pocketvision.models.published import main_figures
from pocketvision.settings.groups import BudgetConfig
from pocketvision.values import Budget, Candidate, Latency, ModelSpec


@pytest.mark.parametrize(
    ("text", "count"),
    [("500KB", 500_000), ("2MB", 2_000_000), ("1.5MiB", 1_572_864), ("64 KiB", 65_536), ("1234", 1234), (99, 99)],
)
def test_sizes(text: str, count: int) -> None:
    assert budget_of(BudgetConfig(max_size=text)).limits["max_size"] == count


def test_other_amounts() -> None:
    budget = budget_of(
        BudgetConfig(max_latency="0.5s", max_macs="50M", max_params="250k", max_memory="4MB", min_accuracy="90%")
    )
    assert budget == Budget(
        {
            "max_latency": 500.0,
            "max_macs": 50_000_000,
            "max_memory": 4_000_000,
            "max_params": 250_000,
            "min_accuracy": 0.9,
        }
    )
    assert budget_of(BudgetConfig()).empty
    assert not budget_of(BudgetConfig(min_accuracy=0.5)).empty


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_size": "2XB"},
        {"max_size": "-1MB"},
        {"max_size": "0"},
        {"max_latency": "fast"},
        {"max_latency": "10KB"},
        {"min_accuracy": "90"},
        {"min_accuracy": "x"},
        {"max_macs": ""},
    ],
)
def test_wrong_amounts_say_how_to_write_them(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"write "):
        budget_of(BudgetConfig(**wrong))  # type: ignore[arg-type]


def test_suggestions_follow_the_printed_figures() -> None:
    for name in WIDTHS:
        for line in main_figures(name):
            suggested = suggested_top1(ModelSpec(name, line.width, line.resolution))
            assert line.top1 is not None
            assert abs(suggested - line.top1) < 2.5, (line, suggested)


def test_suggestions_do_not_move_with_what_else_is_published() -> None:
    """Values of when the file held three nets only."""
    known = {
        ("mobilenet_v1", 0.25, 128): 42.2784,
        ("mobilenet_v2", 0.5, 96): 51.9611,
        ("squeezenet1_1", 0.5, 64): 28.9679,
    }
    for (name, width, resolution), top1 in known.items():
        assert suggested_top1(ModelSpec(name, width, resolution)) == pytest.approx(top1, abs=1e-4)


def test_a_net_without_figures_is_suggested_something() -> None:
    assert 40 < suggested_top1(ModelSpec("vgg19")) < 90


def test_suggestions_fall_with_either_dial() -> None:
    for name in ("mobilenet_v1", "mobilenet_v2", "squeezenet1_1"):
        by_width = [suggested_top1(ModelSpec(name, width)) for width in (1.0, 0.75, 0.5, 0.25, 0.125)]
        by_resolution = [suggested_top1(ModelSpec(name, 1.0, size)) for size in (224, 160, 96, 64, 32)]
        assert by_width == sorted(by_width, reverse=True)
        assert by_resolution == sorted(by_resolution, reverse=True)


@pytest.mark.parametrize(("side", "resolution"), [(8, 48), (48, 48), (49, 64), (100, 128), (224, 224), (4000, 224)])
def test_images_are_not_enlarged_without_need(side: int, resolution: int) -> None:
    assert largest_useful_resolution(side) == resolution


def test_given_weights_fix_the_net_but_not_the_resolution() -> None:
    settings = specs(3, 128, ModelSpec("mobilenet_v1", 0.25, 128, 1001, "same"))
    assert {(item.name, item.width, item.num_classes, item.padding) for item in settings} == {
        ("mobilenet_v1", 0.25, 3, "same")
    }
    assert [item.resolution for item in settings] == [128, 96, 64, 48, 32]


@pytest.fixture(scope="module")
def found() -> list[Candidate]:
    return candidates(specs(10, 128), trace_spec)


def clock(candidate: Candidate) -> Candidate:
    """A machine that does 10M multiply-adds a millisecond, twice that in int8."""
    speed = 2e7 if candidate.precision == "int8" else 1e7
    time_ms = candidate.cost.macs / speed
    return replace(candidate, latency=Latency(time_ms, time_ms, 10, 1, "none", "none", 1.0))


def test_without_limits_the_highest_suggestion_is_taken(found: list[Candidate]) -> None:
    choice = choose(found, Budget(), measure=clock)
    assert choice.taken.suggested_top1 == max(item.suggested_top1 for item in found)
    assert {item.status for item in choice.candidates} == {"taken", "not needed"}
    assert len(choice.candidates) == len(found)


def test_every_limit_is_kept_by_what_is_taken(found: list[Candidate]) -> None:
    budget = Budget(
        {
            "max_size": 600_000,
            "max_latency": 1.5,
            "max_macs": 20_000_000,
            "max_memory": 300_000,
            "max_params": 1_000_000,
        }
    )
    choice = choose(found, budget, measure=clock)
    taken = choice.taken
    assert taken.size_bytes <= 600_000
    assert taken.latency is not None
    assert taken.latency.median_ms <= 1.5
    assert taken.cost.macs <= 20_000_000
    assert taken.cost.peak_activation_bytes <= 300_000
    assert taken.cost.params <= 1_000_000
    higher = [item for item in choice.candidates if item.suggested_top1 > taken.suggested_top1]
    assert all(item.status in ("over budget", "too slow") and item.reason for item in higher)


def test_int8_is_taken_where_float_is_too_large(found: list[Candidate]) -> None:
    only_v1 = [item for item in found if (item.spec.name, item.spec.width) == ("mobilenet_v1", 0.25)]
    choice = choose(only_v1, Budget({"max_size": 300_000}), measure=clock)
    assert choice.taken.precision == "int8"


def test_slow_candidates_are_ruled_out_without_measuring_each(found: list[Candidate]) -> None:
    measured: list[Candidate] = []

    def watched(candidate: Candidate) -> Candidate:
        measured.append(candidate)
        return clock(candidate)

    choice = choose(found, Budget({"max_latency": 0.3}), measure=watched)
    bounded = [item for item in choice.candidates if item.reason.startswith("at least")]
    assert bounded
    assert all(clock(item).latency.median_ms > 0.3 for item in bounded)
    assert len(measured) < len(choice.candidates) / 2


def test_a_file_that_weighs_more_than_counted_is_not_taken(found: list[Candidate]) -> None:
    def heavy(candidate: Candidate) -> Candidate:
        return replace(clock(candidate), size_bytes=candidate.size_bytes * 2)

    choice = choose(found, Budget({"max_size": 1_000_000}), measure=heavy)
    assert choice.taken.size_bytes <= 1_000_000


@pytest.mark.parametrize(
    "budget", [Budget({"max_size": 10_000}), Budget({"max_latency": 0.0001}), Budget({"max_macs": 1000})]
)
def test_an_impossible_budget_names_the_nearest(found: list[Candidate], budget: Budget) -> None:
    with pytest.raises(BudgetMissed, match=r"Nearest: .*(int8|float)") as caught:
        choose(found, budget, measure=clock)
    assert caught.value.exit_code == 3


def test_scratch_puts_nets_without_norms_behind() -> None:
    spec = ModelSpec("squeezenet1_1", 0.25, 64, 10)
    plain, handicapped = (candidates([spec], trace_spec, scratch=scratch)[0] for scratch in (False, True))
    assert handicapped.suggested_top1 < plain.suggested_top1
    assert replace(handicapped, suggested_top1=plain.suggested_top1) == plain


def test_a_download_is_a_limit_like_any_other() -> None:
    """Its row is all that it takes: read, judged and told from the table."""
    budget = budget_of(BudgetConfig(max_download="400KB"))
    assert budget.limits == {"max_download": 400_000}
    (kept,) = judge(budget, Measured(500_000, download_bytes=390_000))
    (missed,) = judge(budget, Measured(500_000, download_bytes=410_000))
    (unknown,) = judge(budget, Measured(500_000))
    assert (kept.passed, missed.passed, unknown.passed) == (True, False, False)
    assert broken(Measured(500_000, download_bytes=410_000), budget) == [
        "download 410 KB (410,000 bytes); allowed 400 KB (400,000 bytes)"
    ]
    assert broken(Measured(500_000), budget) == []
