"""What a finished run says of its choice: the plane, what was predicted and came true, and the answers in words."""

import dataclasses
import json
import math

import pytest

from pocketvision import words
from pocketvision.cli.fit import show
from pocketvision.files import read_json, write_json
from pocketvision.metrics.accuracy import wilson
from pocketvision.report import choice as told
from pocketvision.report import plots
from pocketvision.report.run import read
from pocketvision.values import Budget, Choice, Estimate, Probed
from pocketvision.verbs.report import report

STEP = "--max-size 1.4 MB would allow mobilenet_v2 0.75 @ 160px (int8), predicted +0.7 points"


@pytest.fixture
def raced(fake_run):
    """Return a run whose choice predicted accuracies, trained two nets whole and a third for a few epochs."""
    run = fake_run()
    write_json(run / "choice.json", predicted(read_json(Choice, run / "choice.json")))
    return run


def predicted(choice):
    def with_estimates(one):
        middle, ms = one.suggested_top1 / 100, one.cost.macs / 8e6
        return dataclasses.replace(
            one,
            accuracy=Estimate(middle, middle - 0.08, middle + 0.05),
            predicted_ms=Estimate(ms, 0.95 * ms, 1.05 * ms),
            start="sliced" if one.spec.width < 1 else "own",
            origin=f"{one.spec.name}_1.0.tflite",
        )

    every = [with_estimates(one) for one in choice.candidates]
    taken = next(one for one in every if one.status == "taken")
    second, third = sorted((one for one in every if one.status == "not needed"), key=lambda one: -one.suggested_top1)[
        :2
    ]
    ended = {
        taken: dataclasses.replace(taken, tried=wilson(110, 161), validation=wilson(102, 161)),
        second: dataclasses.replace(second, status="trained", tried=wilson(105, 161), validation=wilson(100, 161)),
        third: dataclasses.replace(third, status="tried", tried=wilson(96, 161)),
    }
    return dataclasses.replace(
        choice,
        taken=ended[taken],
        candidates=tuple(ended.get(one, one) for one in every),
        shortlist=(taken, second, third),
        considered=13_752,
        kept=7_061,
        steps=(STEP,),
        probed=(Probed("mobilenet_v2_1.0.tflite", taken.spec, 300_000_000, 2_200_000, wilson(100, 161)),),
    )


def answers(run):
    return {said.title: said.text.replace(words.SPACE, " ") for said in told.answers(read(run).choice)}


def test_the_choice_is_answered_in_words(raced):
    found = answers(raced)
    assert found["What was considered"].startswith("13,752 settings")
    assert "7,061 keep the budget" in found["What was considered"]
    assert "3 were trained for a few epochs and 2 to the end" in found["What was considered"]
    assert "Multiply-adds" in found["Which limit binds"] or "multiply-adds" in found["Which limit binds"]
    assert found["The next step up"] == f"{STEP}."
    assert found["The next step down"].startswith("At half the ")
    assert found["The same within noise"].startswith("These 2 cannot be told apart on 161 validation images")
    assert "2 whole trainings ended within the predicted 90% interval" in found["Predicted against true"]


def test_a_dial_that_could_be_larger_is_compared_with_the_best_that_has_more_of_it(raced):
    choice = read(raced).choice
    wider = [c for c in choice.candidates if c.spec.name == "mobilenet_v2" and c.spec.width > 0.5 and told.keeps(c)]
    text = answers(raced)["Why not a wider net"]
    if wider:
        best = max(wider, key=lambda one: one.accuracy.middle)
        assert str(best.spec) in text
        assert f"{best.accuracy.middle:.1%}" in text
    else:
        assert text.startswith("None on record keeps the budget; the nearest is mobilenet_v2 1 @")
    assert "Why not a deeper net" not in answers(raced), "the taken one is whole"


def test_where_no_pretrained_net_was_shown_the_images_the_forecast_is_called_an_order(raced):
    choice = read_json(Choice, raced / "choice.json")
    write_json(raced / "choice.json", dataclasses.replace(choice, probed=()))
    assert "an order more than a promise" in answers(raced)["What was considered"]


def test_the_plane_holds_predicted_intervals_truths_and_a_frontier_for_each_cost(raced):
    choice = read(raced).choice
    chart = plots.candidates(choice)
    assert [axis.limit is None for axis in chart.axes] == sorted(axis.limit is None for axis in chart.axes)
    figure = json.loads(chart.figure)
    lines = [trace for trace in figure["data"] if trace["mode"] == "lines"]
    assert [trace["meta"]["axis"] for trace in lines] == [0, 1, 2]
    for trace in lines:
        costs = [cost[trace["meta"]["axis"]] for cost in trace["customdata"]]
        assert costs == sorted(costs)
        assert trace["y"] == sorted(trace["y"])
    whiskers = [trace for trace in figure["data"] if "error_y" in trace]
    assert sum(len(trace["x"]) for trace in whiskers) == len(choice.candidates)
    truths = [
        trace for trace in figure["data"] if trace["mode"] == "markers" and trace["marker"].get("color") == "var(--ink)"
    ]
    assert [len(trace["x"]) for trace in truths] == [2, 3]
    asked = figure["layout"]["shapes"][0]
    assert asked["y0"] == pytest.approx(2.1972), "the log-odds of 90%"


def test_at_most_sixty_points_are_drawn_and_all_that_was_trained_is_among_them(raced):
    choice = read(raced).choice
    many = tuple(
        dataclasses.replace(one, spec=dataclasses.replace(one.spec, resolution=32 + number), status="not needed")
        for number, one in enumerate(choice.candidates * 4)
    )
    drawn = told.on_plot(dataclasses.replace(choice, candidates=(*choice.candidates, *many)))
    assert len(drawn) == told.PLOTTED
    assert all(one in drawn for one in told.raced(choice))


def test_page_and_card_show_what_was_predicted_beside_what_came_out(raced):
    page = report(raced).read_text(encoding="utf-8").replace(words.SPACE, " ")
    assert "Predicted, tried, trained" in page
    assert "out of 13,752 settings" in page
    assert "sliced from mobilenet_v2_1.0.tflite" in page
    assert "Suggested accuracy is" not in page
    card = (raced / "model_card.md").read_text(encoding="utf-8")
    assert "## Choice" in card
    assert "| taken |" in card
    assert "13,752 settings" in card


def test_an_older_run_is_shown_by_suggested_accuracy(fake_run):
    run = fake_run()
    page = report(run).read_text(encoding="utf-8")
    assert "Suggested accuracy is" in page
    assert "Predicted" not in page
    assert told.answers(read(run).choice) == ()
    assert "## Choice" not in (run / "model_card.md").read_text(encoding="utf-8")


def test_the_terminal_names_in_one_line_what_was_considered_and_trained(raced, capsys):
    show(read(raced).summary)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  chosen")]
    assert lines == [
        "  chosen    of 13,752 settings, 7,061 within the budget, 3 trained for a few epochs, 2 to the end",
    ]


def test_the_terminal_says_nothing_of_what_an_older_run_did_not_count(fake_run, capsys):
    show(read(fake_run()).summary)
    assert "chosen" not in capsys.readouterr().out


def test_a_limit_far_beyond_all_candidates_does_not_press_them_together(raced):
    choice = read(raced).choice
    far = dataclasses.replace(choice, budget=Budget({"max_size": 10**12, "max_macs": 60_000_000}))
    axes = {axis.name: axis for axis in plots.candidates(far).axes}
    assert 10 ** axes["File size"].range[1] < 10**9
    assert axes["File size"].limit == 10**12
    assert axes["Multiply-adds"].range[1] > math.log10(60_000_000)
