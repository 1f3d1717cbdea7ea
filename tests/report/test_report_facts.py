"""The figures behind the page: words, tables, charts, and the list of what was not tested."""

import dataclasses
import json
import math
import subprocess
import sys

import pytest

from pocketvision import words
from pocketvision.report import plots, tables
from pocketvision.report.run import read
from pocketvision.report.untested import untested
from pocketvision.report.words import bound, budget
from pocketvision.values import Agreement, Answer, Budget, Score


def spaced(text):
    return text.replace(words.SPACE, " ")


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (1.2e6, "bytes", "1.2 MB"),
        (500e3, "bytes", "500 KB"),
        (8.0, "ms", "8 ms"),
        (0.9, "share", "90%"),
        (0.925, "share", "92.5%"),
        (60e6, "count", "60 M"),
        (100, "ms", "100 ms"),
    ],
)
def test_limits_have_no_idle_digits(value, kind, text):
    assert spaced(bound(value, kind)) == text


def test_a_budget_as_a_phrase():
    asked = Budget({"max_size": 500_000, "min_accuracy": 0.9})
    assert spaced(budget(asked)) == "file size at most 500 KB, accuracy at least 90%"
    assert budget(Budget()) == ""


def test_the_head_of_the_candidates_holds_the_taken_one_and_each_way_of_losing(fake_run):
    choice = read(fake_run()).choice
    head = tables.nearest_candidates(choice)
    assert len(head) == tables.HEAD_CANDIDATES
    assert choice.taken in head
    assert {c.status for c in head} == {c.status for c in choice.candidates}
    assert [c.suggested_top1 for c in head] == sorted((c.suggested_top1 for c in head), reverse=True)


def small_proof(fake_run, confusion, labels=("a", "b", "c")):
    proof = read(fake_run(labels=labels)).proof
    return dataclasses.replace(proof, confusion=confusion)


def test_classes_come_worst_first_and_untested_ones_last(fake_run):
    rows = tables.class_results(small_proof(fake_run, ((0, 0, 0), (1, 9, 0), (0, 5, 5))))
    assert [row.label for row in rows] == ["c", "b", "a"]
    assert rows[0].recall is not None
    assert rows[0].recall.value == 0.5
    assert (rows[0].mistaken_for, rows[0].mistaken) == ("b", 5)
    assert rows[1].precision == pytest.approx(9 / 14)
    assert rows[2].recall is None
    assert rows[2].precision == 0.0


def test_a_small_matrix_is_whole_and_a_large_one_keeps_the_most_confused(fake_run):
    whole = tables.matrix(small_proof(fake_run, ((3, 0, 0), (1, 9, 0), (0, 5, 5))))
    assert whole.whole
    assert [cell.kind for cell in whole.rows[1].cells] == ["wrong", "right", "wrong"]
    labels = [f"l{number}" for number in range(30)]
    rows = [[10 if i == j else 0 for j in labels] for i in labels]
    rows[29][0] = 5
    rows[3][29] = 2
    cut = tables.matrix(small_proof(fake_run, tuple(map(tuple, rows)), labels))
    assert not cut.whole
    assert len(cut.rows) == tables.MATRIX_CLASSES
    assert {"l29", "l0", "l3"} <= set(cut.labels)
    assert all(sum(cell.count for cell in row.cells) == row.total for row in cut.rows)


def test_worst_answers_are_the_surest_wrong_ones(fake_run):
    proof = read(fake_run()).proof
    answers = (Answer("1", "a", "b", 0.5), Answer("2", "a", "a", 0.99), Answer("3", "a", "b", 0.9))
    found = tables.worst_answers(dataclasses.replace(proof, answers=answers))
    assert [answer.file for answer in found] == ["3", "1"]


def test_thresholds_need_every_answer(fake_run):
    proof = read(fake_run()).proof
    rows = tables.thresholds(proof)
    assert rows[0].kept == 1.0
    assert rows[0].right is not None
    assert rows[0].right.value == pytest.approx(proof.accuracy.value)
    assert [row.kept for row in rows] == sorted((row.kept for row in rows), reverse=True)
    assert tables.thresholds(dataclasses.replace(proof, answers=proof.answers[1:])) == ()


def test_candidates_chart_offers_each_cost_with_its_limit(fake_run):
    choice = read(fake_run()).choice
    chart = plots.candidates(choice)
    assert [(axis.name, axis.limit) for axis in chart.axes] == [
        ("Multiply-adds", 60_000_000),
        ("File size", 1_200_000),
        ("Latency", 8.0),
    ]
    figure = json.loads(chart.figure)
    points = [costs for trace in figure["data"][:-1] for costs in trace["customdata"]]
    assert len(points) == 40
    for number, axis in enumerate(chart.axes):
        inside = [10 ** axis.range[0] <= costs[number] <= 10 ** axis.range[1] for costs in points if costs[number]]
        assert all(inside)
        assert axis.limit is None or axis.range[0] < math.log10(axis.limit) < axis.range[1]
    assert figure["data"][-1]["x"] == [choice.taken.cost.macs]
    assert [family for family, _ in chart.key] == [
        "mobilenet_v1",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "squeezenet1_1",
    ]


def test_curves_mark_the_phases_and_the_kept_epoch(fake_run):
    epochs = read(fake_run()).epochs
    figure = json.loads(plots.accuracy_curve(epochs).figure)
    best = min(epochs, key=lambda epoch: epoch.val_loss)
    assert figure["data"][2]["x"] == [best.epoch]
    assert [note["text"] for note in figure["layout"]["annotations"]] == ["head only", "whole net"]
    assert figure["layout"]["shapes"][0]["x1"] == 5.5
    assert [trace["name"] for trace in json.loads(plots.loss_curve(epochs).figure)["data"]] == [
        "training",
        "validation",
    ]


def titles(run):
    return {gap.title for gap in untested(run)}


def test_untested_follows_the_facts(fake_run):
    run = read(fake_run())
    few, wide = "Classes with few test images", "A finer figure of accuracy"
    barely, missing = "Whether the limit of accuracy is truly kept", "Unreadable test images"
    assert titles(run).isdisjoint({few, wide, barely, missing, "Agreement with the trained net"})
    proof = dataclasses.replace(
        run.proof, accuracy=Score(0.92, 0.7, 0.99, 18), agreement=None, unreadable=("fig/1.png",)
    )
    changed = dataclasses.replace(run, proof=proof)
    assert {wide, barely, missing, "Agreement with the trained net"} <= titles(changed)
    assert few in titles(read(fake_run(per_class=19)))


def test_untested_tells_of_a_part_agreement_and_names_the_machine(fake_run):
    run = read(fake_run())
    part = dataclasses.replace(run.proof, agreement=Agreement(1.0, 0.0, 100))
    gaps = {gap.title: gap.text for gap in untested(dataclasses.replace(run, proof=part))}
    assert "100 of 420" in gaps["Agreement on every image"]
    assert "Example CPU" in gaps["Other phones and runtimes"]
    assert "10 labels" in spaced(gaps["Images of something else"])


def test_the_room_loads_no_torch_and_plotly_only_to_draw():
    program = (
        "import sys, pocketvision.report.report; "
        "print(sorted({'torch', 'plotly', 'jinja2', 'onnxruntime', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
