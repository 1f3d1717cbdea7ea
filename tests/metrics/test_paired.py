"""Two nets on the same images: against scipy's binomial test, by symmetry, and by simulated coverage."""

import numpy as np
import pytest
from scipy.stats import binomtest

from pocketvision.errors import DataError
from pocketvision.metrics.paired import Paired, as_right, mcnemar, paired


def answers(both: int, only_first: int, only_second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.repeat([True, True, False, False], [both, only_first, only_second, neither])
    second = np.repeat([True, False, True, False], [both, only_first, only_second, neither])
    return first, second


@pytest.mark.parametrize("total", [1, 2, 7, 25, 60])
def test_mcnemar_is_the_exact_binomial_test(total: int) -> None:
    for first in range(total + 1):
        assert mcnemar(first, total - first) == pytest.approx(binomtest(first, total).pvalue, rel=1e-9)


def test_mcnemar_without_and_with_very_many_differences() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(0, 3000) == 0.0  # 2**-2999 is below the smallest float
    assert mcnemar(1500, 1500) == 1.0
    assert mcnemar(1400, 1600) == pytest.approx(binomtest(1400, 3000).pvalue, rel=1e-6)


def test_who_comes_first_only_turns_the_sign() -> None:
    first, second = answers(80, 12, 3, 5)
    one, other = paired(first, second), paired(second, first)
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))
    assert (one.p_value, one.only_first, one.only_second, one.count) == (other.p_value, 12, 3, 100)
    assert one.difference == pytest.approx(0.09)
    assert one.low < one.difference < one.high


def test_pairing_narrows_the_interval() -> None:
    alike, apart = paired(*answers(85, 5, 0, 10)), paired(*answers(76, 14, 9, 1))
    assert alike.difference == pytest.approx(apart.difference)
    assert alike.high - alike.low < 0.6 * (apart.high - apart.low)
    assert not paired(*answers(88, 7, 0, 5)).noise
    assert apart.noise


@pytest.mark.parametrize("shares", [(0.85, 0.07, 0.03, 0.05), (0.6, 0.1, 0.1, 0.2), (0.93, 0.04, 0.01, 0.02)])
def test_the_interval_covers_the_truth_as_often_as_it_says(shares: tuple[float, ...]) -> None:
    dice = np.random.default_rng(3)
    truth, covered = shares[1] - shares[2], 0
    for cells in dice.multinomial(150, shares, 1500):
        found = paired(*answers(*cells))
        covered += found.low <= truth <= found.high
    assert 0.93 <= covered / 1500 <= 0.985


def test_it_is_said_in_words() -> None:
    assert str(Paired(-0.01, -0.03, 0.01, 0.4066, 5, 8, 300)) == "the difference is noise (p = 0.41)"
    assert str(Paired(-0.021, -0.034, -0.008, 0.001, 1, 9, 380)) == "worse by 2.1 points (0.8 to 3.4)"
    assert str(Paired(0.021, 0.008, 0.034, 0.001, 9, 1, 380)) == "better by 2.1 points (0.8 to 3.4)"


def test_the_same_answers_are_noise_and_no_image_is_an_error() -> None:
    right = np.array([True, False, True])
    same = paired(right, right)
    assert (same.difference, same.p_value, same.noise) == (0.0, 1.0, True)
    assert same.low <= 0 <= same.high
    with pytest.raises(DataError, match="no image to compare"):
        paired(right[:0], right[:0])


def test_one_standard_error_of_what_differs_is_chance() -> None:
    before = np.array([True] * 90 + [False] * 10)
    one, two, swapped = before.copy(), before.copy(), before.copy()
    one[0], two[:2], swapped[:3], swapped[-1] = False, False, False, True
    assert as_right(before, before)
    assert as_right(before, one)
    assert not as_right(before, two)
    assert as_right(before, swapped)
