"""Budgets: amounts, limits, what published figures suggest, and counted candidates."""

import pytest

from pocketvision.budget.candidates import candidates
from pocketvision.budget.forecast import suggested_top1
from pocketvision.budget.limits import Measured, broken, budget_of, judge
from pocketvision.cost import count
from pocketvision.errors import MissingExtra, UnknownName, UsageError
from pocketvision.graph.graph import Graph
from pocketvision.graph.trace import trace_spec
from pocketvision.models.catalogue import largest_useful_resolution
from pocketvision.models.published import main_figures
from pocketvision.packing import installed
from pocketvision.settings.groups import BudgetConfig
from pocketvision.values import Budget, ModelSpec
from pocketvision.verify.outcome import verdict_line


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
    for name in ("mobilenet_v1", "mobilenet_v2", "squeezenet1_1"):
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


def test_candidates_are_counted_at_both_precisions_best_suggested_first() -> None:
    settings = [ModelSpec("mobilenet_v1", width, side, 10) for width in (0.25, 0.125) for side in (64, 96)]
    found = candidates(settings, trace_spec)
    assert len(found) == 8
    tops = [one.suggested_top1 for one in found]
    assert tops == sorted(tops, reverse=True)
    for one in found:
        assert one.cost == count(trace_spec(one.spec), precision=one.precision)
        assert one.size_bytes > one.cost.weight_bytes


def test_a_net_is_traced_once_for_all_resolutions() -> None:
    asked: list[int] = []

    def graph_of(spec: ModelSpec) -> Graph:
        asked.append(spec.resolution)
        return trace_spec(spec)

    found = candidates([ModelSpec("mobilenet_v1", 0.25, side, 3) for side in (64, 96)], graph_of)
    assert asked == [64]
    assert len({one.cost.macs for one in found}) == 2
    assert len({one.cost.params for one in found}) == 1


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


def test_a_download_may_be_judged_under_another_compressor() -> None:
    if "brotli" not in installed():
        with pytest.raises(MissingExtra, match="brotli"):
            budget_of(BudgetConfig(max_download="400KB:brotli"))
    else:
        budget = budget_of(BudgetConfig(max_download="400KB:brotli"))
        (verdict,) = judge(budget, Measured(500_000, download_bytes=390_000))
        assert (budget.compressor, verdict.compressor, verdict.passed) == ("brotli", "brotli", True)
        assert verdict_line(verdict).endswith("(under brotli)")
    assert budget_of(BudgetConfig(max_download="400KB:deflate")).compressor == "deflate"
    with pytest.raises(UnknownName, match="Known: brotli, deflate, zstd"):
        budget_of(BudgetConfig(max_download="400KB:gzip"))
