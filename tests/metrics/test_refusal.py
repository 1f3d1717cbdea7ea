"""Refusing: curves, areas and thresholds, on cases worked out by hand and at every end."""

import numpy as np
import pytest

from pocketvision.metrics.refusal import (
    LEAST_ERROR,
    Point,
    area_under_risk,
    choose_threshold,
    given_threshold,
    refusal,
    risk_coverage,
    top,
)


def test_the_curve_of_four_answers():
    confidence, right = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])
    assert risk_coverage(confidence, right) == (
        Point(0.9, 0.25, 0.0),
        Point(0.8, 0.5, 0.5),
        Point(0.7, 0.75, pytest.approx(1 / 3)),
        Point(0.6, 1.0, 0.5),
    )
    assert area_under_risk(confidence, right) == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)


def test_the_order_of_images_does_not_matter_and_ties_make_one_point():
    rng = np.random.default_rng(0)
    confidence, right = np.round(rng.random(200), 1), rng.random(200) < 0.7
    order = rng.permutation(200)
    assert risk_coverage(confidence, right) == risk_coverage(confidence[order], right[order])
    assert area_under_risk(confidence, right) == pytest.approx(area_under_risk(confidence[order], right[order]))
    assert len(risk_coverage(confidence, right)) == len(np.unique(confidence))
    orders = [np.lexsort((rng.random(200), -confidence)) for _ in range(400)]
    areas = [((~right[o]).cumsum() / np.arange(1, 201)).mean() for o in orders]
    assert area_under_risk(confidence, right) == pytest.approx(np.mean(areas), abs=2e-3)


def test_a_perfect_order_has_the_least_area():
    right = np.arange(100) < 80
    best, worst = np.linspace(1, 0, 100), np.linspace(0, 1, 100)
    assert area_under_risk(best, right) < 0.03
    assert area_under_risk(worst, right) > 0.4
    assert area_under_risk(np.ones(100), right) == pytest.approx(0.2)
    assert area_under_risk(np.zeros(0), np.zeros(0, bool)) == 0.0


def ranked(count, wrong):
    """Return falling probabilities; `wrong` are the places of wrong answers, the surest is place 0."""
    right = np.ones(count, bool)
    right[list(wrong)] = False
    return np.linspace(0.999, 0.4, count), right


def test_the_error_is_halved():
    confidence, right = ranked(100, [97, 80, 70, 60])
    chosen = choose_threshold(confidence, right)
    assert chosen is not None
    kept = confidence >= chosen.below
    assert (~right[kept]).mean() <= 0.02
    assert chosen.refusal.coverage.value == kept.mean() == 0.7  # of 80 answers 2 are wrong, of 71 too
    assert chosen.refusal.right.count == 70
    assert "at most 2.0%" in chosen.reason


def test_small_errors_cost_few_known_images():
    # One sure mistake in 300 must not have a third of the images refused for its sake.
    confidence, right = ranked(300, [200])
    chosen = choose_threshold(confidence, right)
    assert LEAST_ERROR > 1 / 300
    assert chosen.refusal.coverage.value == pytest.approx(0.98)


def test_no_error_at_all_still_refuses_the_least_sure():
    chosen = choose_threshold(*ranked(200, []))
    assert chosen.refusal.coverage.value == pytest.approx(0.98)
    assert chosen.refusal.right.value == 1.0
    few = choose_threshold(*ranked(40, []))
    assert few.refusal.coverage.value == 1.0
    assert 0 < few.below <= 0.4


def test_a_hopeless_net_is_not_made_to_refuse_half():
    rng = np.random.default_rng(1)
    chosen = choose_threshold(rng.random(400), rng.random(400) < 0.25)
    assert chosen.refusal.coverage.value >= 0.98
    assert "cannot be had" in chosen.reason


@pytest.mark.parametrize(
    ("confidence", "right"),
    [
        (np.array([0.9]), np.array([True])),
        (np.array([0.9]), np.array([False])),
        (np.zeros(0), np.zeros(0, bool)),
        (np.linspace(0.4, 0.9, 100), np.zeros(100, bool)),
        (np.full(100, 0.7), np.arange(100) < 80),
    ],
    ids=["one right image", "one wrong image", "none", "all wrong", "all equally sure"],
)
def test_where_nothing_can_be_chosen_nothing_is_refused(confidence, right):
    assert choose_threshold(confidence, right) is None


def test_ties_are_answered_or_refused_together():
    confidence = np.repeat([0.95, 0.8, 0.6], [60, 30, 10])
    right = np.concatenate([np.ones(60), np.ones(28), np.zeros(2), np.ones(2), np.zeros(8)]).astype(bool)
    chosen = choose_threshold(confidence, right)
    assert chosen.refusal.coverage.value == 0.9
    assert chosen.below == pytest.approx(0.7)


def test_the_threshold_lies_between_two_answers():
    rng = np.random.default_rng(2)
    for seed in range(20):
        confidence = np.random.default_rng(seed).beta(5, 1, 150)
        chosen = choose_threshold(confidence, rng.random(150) < confidence)
        assert 0 <= chosen.below <= 1
        assert np.abs(confidence - chosen.below).min() > 0
        kept = confidence.astype(np.float32) >= np.float32(chosen.below)
        assert kept.mean() == pytest.approx(chosen.refusal.coverage.value)


def test_refusing_everything_leaves_no_accuracy():
    found = refusal(np.array([0.5, 0.6]), np.array([True, True]), 0.99)
    assert found.coverage.value == 0.0
    assert found.right is None
    assert given_threshold(np.array([0.5, 0.6]), np.array([True, True]), 0.55).refusal.coverage.value == 0.5


def test_top_of_nothing():
    confidence, right = top(np.zeros((0, 3)), np.zeros(0, int))
    assert len(confidence) == len(right) == 0
