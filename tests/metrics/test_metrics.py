"""Figures against closed forms, published examples and scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import (
    balanced_accuracy_score,
    confusion_matrix,
    precision_score,
    recall_score,
)

from pocketvision.errors import DataError
from pocketvision.metrics.accuracy import accuracy, macro_accuracy, wilson
from pocketvision.metrics.confusion import Mistake, confusion, precision, recall, worst_confusions


@pytest.fixture(scope="module")
def answers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 5, 400)
    logits = rng.normal(size=(400, 5)) + 1.5 * np.eye(5)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities, labels


@pytest.mark.parametrize(
    ("correct", "total", "interval"),
    [
        # R. G. Newcombe, "Two-sided confidence intervals for the single proportion",
        # Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0000, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson_is_the_published_interval(correct: int, total: int, interval: tuple[float, float]) -> None:
    measured = wilson(correct, total)
    assert (round(measured.low, 4), round(measured.high, 4)) == interval
    assert measured.value == correct / total
    assert measured.count == total


@pytest.mark.parametrize("total", [1, 10, 97, 1000])
def test_wilson_at_the_ends_has_its_closed_form(total: int) -> None:
    z = 1.959964
    none, every = wilson(0, total), wilson(total, total)
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(z * z / (total + z * z), abs=1e-12)
    assert (every.value, every.high) == (1.0, 1.0)
    assert every.low == pytest.approx(total / (total + z * z), abs=1e-12)


def test_wilson_narrows_with_images_and_widens_with_z() -> None:
    def width(correct: int, total: int, z: float = 1.959964) -> float:
        measured = wilson(correct, total, z)
        return measured.high - measured.low

    assert width(900, 1000) < width(90, 100) < width(9, 10)
    assert width(90, 100, 2.575829) > width(90, 100)


def test_no_images_are_an_error_not_a_number(answers: tuple[np.ndarray, np.ndarray]) -> None:
    empty = np.zeros(0, int)
    for call in (
        lambda: wilson(0, 0),
        lambda: accuracy(np.zeros((0, 3)), empty),
        lambda: macro_accuracy(empty, empty, 3),
    ):
        with pytest.raises(DataError, match="no image"):
            call()


def test_accuracy_is_the_share_of_right_answers(answers: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = answers
    found = accuracy(probabilities, labels)
    assert found.value == (probabilities.argmax(axis=1) == labels).mean()
    assert found.macro == macro_accuracy(labels, probabilities.argmax(axis=1), probabilities.shape[1])


def test_confusion_recall_and_precision_agree_with_sklearn(answers: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = answers
    predicted = probabilities.argmax(axis=1)
    matrix = confusion(labels, predicted, 5)
    np.testing.assert_array_equal(matrix, confusion_matrix(labels, predicted))
    np.testing.assert_allclose(recall(matrix), recall_score(labels, predicted, average=None))
    np.testing.assert_allclose(precision(matrix), precision_score(labels, predicted, average=None))
    assert macro_accuracy(labels, predicted, 5) == pytest.approx(balanced_accuracy_score(labels, predicted))


def test_classes_without_images_or_answers_are_nan_and_left_out_of_the_mean() -> None:
    labels, predicted = np.array([0, 0, 0, 2]), np.array([0, 0, 2, 2])
    matrix = confusion(labels, predicted, 4)
    assert matrix.shape == (4, 4)
    np.testing.assert_allclose(recall(matrix), [2 / 3, math.nan, 1, math.nan])
    np.testing.assert_allclose(precision(matrix), [1, math.nan, 1 / 2, math.nan])
    assert macro_accuracy(labels, predicted, 4) == pytest.approx((2 / 3 + 1) / 2)


def test_worst_confusions_are_sorted_and_cut() -> None:
    matrix = np.array([[5, 2, 0], [3, 7, 0], [2, 0, 0]])
    worst = worst_confusions(matrix, ("a", "b", "c"), count=3)
    assert worst == (Mistake("b", "a", 3, 0.3), Mistake("c", "a", 2, 1.0), Mistake("a", "b", 2, 2 / 7))
    assert worst_confusions(matrix, ("a", "b", "c"), count=1) == worst[:1]
    assert worst_confusions(np.diag([3, 4]), ("a", "b")) == ()
