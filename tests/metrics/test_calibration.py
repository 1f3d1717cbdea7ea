"""Calibration against closed forms, simulations of known miscalibration, and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from pocketvision.errors import DataError
from pocketvision.metrics.calibration import (
    TEMPERATURES,
    as_logits,
    brier,
    calibration_error,
    error_by_chance,
    error_interval,
    measured,
    negative_log_likelihood,
    reliability,
    softened,
    temperature,
)
from pocketvision.metrics.refusal import top


def drawn(count, classes=4, *, sharpness=1.0, seed=0):
    """Draw probabilities and labels that follow them, then sharpen what is claimed."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, classes))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(classes, p=row) for row in honest])
    return softened(honest.astype(np.float32), 1 / sharpness), labels


def test_calibration_error_has_its_closed_form():
    # Ten answers at 0.9 of which six are right, ten at 0.6 of which six are right: (10 * 0.3 + 10 * 0) / 20.
    probabilities = np.array([[0.9, 0.1]] * 10 + [[0.6, 0.4]] * 10)
    labels = np.array(([0] * 6 + [1] * 4) * 2)
    assert calibration_error(*top(probabilities, labels), bins=2) == pytest.approx(0.15)
    table = reliability(*top(probabilities, labels), bins=2)
    assert [(item.count, round(item.accuracy, 6)) for item in table] == [(10, 0.6), (10, 0.6)]
    assert [(item.low, item.high) for item in table] == [(0.6, 0.6), (0.9, 0.9)]


def test_calibration_error_at_its_ends():
    sure = np.array([[1.0, 0.0]] * 8)
    assert calibration_error(*top(sure, np.zeros(8, int))) == 0.0
    assert calibration_error(*top(sure, np.ones(8, int))) == 1.0


def test_bins_hold_equally_many_and_ties_stay_together():
    confidence = np.linspace(0.3, 0.99, 600)
    right = np.ones(600, bool)
    assert {item.count for item in reliability(confidence, right)} == {40}
    confidence[100:500] = 0.8
    table = reliability(np.sort(confidence), right)
    assert sum(item.count for item in table) == 600
    assert sum(item.low <= 0.8 <= item.high for item in table) == 1
    assert len(reliability(confidence[:1], right[:1])) == 1
    assert len(reliability(np.full(100, 0.5), right[:100])) == 1


def test_a_good_net_fills_many_bins_not_one():
    confidence = 1 - np.random.default_rng(0).random(3000) * 0.03
    assert len(reliability(confidence, np.ones(3000, bool))) == 15


def test_calibrated_answers_have_the_error_of_chance():
    probabilities, labels = drawn(3000)
    confidence, right = top(probabilities, labels)
    assert calibration_error(confidence, right) < 2 * error_by_chance(confidence) < 0.06
    sharp = drawn(3000, sharpness=3.0)
    found = measured(*sharp)
    assert found.ece > 5 * found.ece_by_chance
    assert found.ece_low < found.ece < found.ece_high


def test_the_interval_holds_the_true_error():
    # Claims 0.9 everywhere and is right in 75% of cases: the true error is 0.15.
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(40):
        low, high = error_interval(np.full(200, 0.9), rng.random(200) < 0.75)
        held += low <= 0.15 <= high
    assert held >= 34
    low, high = error_interval(np.array([0.9]), np.array([True]))
    assert 0 <= low <= high <= 1


def test_the_interval_of_calibrated_answers_reaches_zero():
    reached = 0
    for seed in range(10):
        confidence, right = top(*drawn(300, seed=seed))
        reached += error_interval(confidence, right)[0] <= 0.02  # where chance alone gives 0.075
    assert reached >= 8


def test_brier_and_log_loss_are_the_known_ones():
    probabilities, labels = drawn(500)
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    theirs = log_loss(labels, exact, labels=range(4))
    assert negative_log_likelihood(exact, labels) == pytest.approx(theirs, rel=1e-6)
    assert brier(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1])) == pytest.approx(1.0)
    assert brier(np.full((3, 4), 0.25), np.array([0, 1, 2])) == pytest.approx(0.75)
    assert np.isfinite(negative_log_likelihood(np.array([[1.0, 0.0]]), np.array([1])))


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.5])
def test_the_temperature_of_known_miscalibration_is_found(sharpness):
    probabilities, labels = drawn(4000, sharpness=sharpness)
    found = temperature(as_logits(probabilities), labels)
    assert found == pytest.approx(sharpness, rel=0.08)
    better = softened(probabilities, found)
    assert (better.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    assert measured(better, labels).nll <= measured(probabilities, labels).nll + 1e-6


def test_the_temperature_stays_within_its_limits():
    sure = np.array([[0.9, 0.1]] * 50, np.float32)
    assert temperature(as_logits(sure), np.zeros(50, int)) == pytest.approx(TEMPERATURES[0])
    assert temperature(as_logits(sure), np.ones(50, int)) == pytest.approx(TEMPERATURES[1])


def test_a_temperature_can_be_undone():
    probabilities, _ = drawn(50)
    assert np.abs(softened(softened(probabilities, 0.6), 1 / 0.6) - probabilities).max() < 1e-5


def test_nothing_to_measure_is_an_error():
    with pytest.raises(DataError, match="no image"):
        measured(np.zeros((0, 3)), np.zeros(0, int))


def test_one_image_can_be_measured():
    found = measured(np.array([[0.7, 0.3]]), np.array([0]))
    assert found.ece == pytest.approx(0.3)
    assert found.count == 1
