"""Average precision, thresholds and calibration of 0/1 attributes, against figures worked out by hand or elsewhere."""

import numpy as np
import pytest

from pocketvision.errors import DataError
from pocketvision.metrics.multilabel import (
    ENOUGH,
    as_logits,
    average_precision,
    average_precisions,
    best_threshold,
    confidence_of,
    cross_entropy,
    decided,
    interval,
    sigmoid,
    temperature,
)


def drawn(count: int, attributes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    targets = (rng.random((count, attributes)) < (0.5, 0.2, 0.1)[:attributes]).astype(np.int64)
    return sigmoid(rng.normal(3 * targets - 2.0, 1.0)), targets


def test_average_precision_is_that_of_scikit_learn_also_with_ties() -> None:
    from sklearn.metrics import average_precision_score

    probabilities, targets = drawn(200)
    for rounded in (probabilities, np.round(probabilities * 8) / 8):
        for a in range(3):
            wanted = average_precision_score(targets[:, a], rounded[:, a])
            assert average_precision(rounded[:, a], targets[:, a]) == pytest.approx(wanted, abs=1e-9)


def test_equal_probabilities_count_as_one_point_in_any_order() -> None:
    probabilities = np.full(4, 0.5)
    for targets in ([1, 0, 0, 0], [0, 0, 0, 1]):
        assert average_precision(probabilities, np.array(targets)) == pytest.approx(0.25)


def test_unknown_cells_count_nowhere() -> None:
    probabilities, targets = drawn(120)
    hidden = targets.copy()
    hidden[::3] = -1
    kept = np.arange(120) % 3 != 0
    for a in range(3):
        assert average_precision(probabilities[:, a], hidden[:, a]) == pytest.approx(
            average_precision(probabilities[kept, a], targets[kept, a])
        )
    halves = np.full(3, 0.5)
    np.testing.assert_allclose(
        decided(probabilities, hidden, halves).f1, decided(probabilities[kept], targets[kept], halves).f1
    )
    assert confidence_of(probabilities, hidden) == confidence_of(probabilities[kept], targets[kept])
    assert cross_entropy(as_logits(probabilities), hidden)[::3].sum() == 0


def test_without_positives_there_is_no_average_precision() -> None:
    probabilities, targets = drawn(100)
    targets[:, 1] = 0
    whole, resampled = average_precisions(probabilities, targets)
    assert np.isnan(whole[1])
    assert np.isnan(resampled[:, 1]).all()
    assert not np.isnan(whole[[0, 2]]).any()
    assert interval(resampled[:, 1]) == (0.0, 1.0)
    with pytest.raises(DataError, match="no image"):
        average_precisions(probabilities[:0], targets[:0])


def test_the_interval_holds_the_figure_and_narrows_with_images() -> None:
    widths = []
    for count in (60, 600):
        whole, resampled = average_precisions(*drawn(count))
        low, high = interval(resampled.mean(axis=1))
        assert low < whole.mean() < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_the_threshold_is_that_of_the_largest_f1_halfway_to_the_next_probability() -> None:
    probabilities = np.concatenate([np.full(ENOUGH, 0.9), np.full(ENOUGH, 0.4), np.full(ENOUGH, 0.2)])
    targets = np.concatenate([np.ones(2 * ENOUGH, np.int64), np.zeros(ENOUGH, np.int64)])
    assert best_threshold(probabilities, targets) == pytest.approx(0.3)
    thresholds = np.array([best_threshold(probabilities, targets)])
    found = decided(probabilities[:, None], targets[:, None], thresholds)
    assert found.f1[0] == found.precision[0] == found.recall[0] == found.right[0] == found.micro_f1 == 1


def test_few_positives_pull_the_threshold_to_half_the_f1() -> None:
    probabilities, targets = np.array([0.9, 0.1, 0.1, 0.1]), np.array([1, 0, 0, 0])
    assert best_threshold(probabilities, targets) == pytest.approx(0.5 / ENOUGH + 0.5 * (1 - 1 / ENOUGH))
    for one_side in ([0, 0, 0, 0], [1, 1, 1, 1], [-1, -1, -1, -1]):
        assert best_threshold(probabilities, np.array(one_side)) == 0.5


def test_calibrated_probabilities_get_a_threshold_near_half_their_f1() -> None:
    rng = np.random.default_rng(0)
    chances = rng.beta(0.5, 3.0, 40_000)
    targets = (rng.random(40_000) < chances).astype(np.int64)
    threshold = best_threshold(chances, targets)
    f1 = decided(chances[:, None], targets[:, None], np.array([threshold])).f1[0]
    assert threshold == pytest.approx(f1 / 2, abs=0.03)


def test_the_temperature_undoes_what_was_multiplied() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 2))
    targets = (rng.random(logits.shape) < sigmoid(logits)).astype(np.int64)
    assert temperature(2.5 * logits, targets) == pytest.approx(2.5, rel=0.1)
    np.testing.assert_allclose(as_logits(sigmoid(logits)), logits, atol=1e-3)


def test_true_probabilities_are_calibrated_and_wrong_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    chances = rng.random((3000, 2))
    targets = (rng.random(chances.shape) < chances).astype(np.int64)
    good, bad = confidence_of(chances, targets), confidence_of(sigmoid(4 * as_logits(chances)), targets)
    assert good.ece < 0.03 < bad.ece
    assert good.brier < bad.brier
    assert good.nll < bad.nll
    with pytest.raises(DataError, match="known"):
        confidence_of(chances, np.full(chances.shape, -1))
