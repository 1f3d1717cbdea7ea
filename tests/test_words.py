"""Figures and lists as people read them."""

import pytest

from pocketvision import words


def spaced(text):
    return text.replace(words.SPACE, " ")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.00 KB"), (912_448, "912 KB"), (1_048_576, "1.05 MB")],
)
def test_sizes_are_1000_based(value, text):
    assert spaced(words.size(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12, "12 bytes"),
        (1_234_567, "1.23 MB (1,234,567 bytes)"),
        (2_000_000, "2 MB (2,000,000 bytes)"),
        (999_999, "1,000 KB (999,999 bytes)"),
    ],
)
def test_sizes_are_written_with_their_bytes(value, text):
    assert words.bytes_text(value) == text


def test_only_a_whole_is_100_percent():
    assert words.percent(1.0) == "100%"
    assert words.percent(0.9999) == "99.9%"
    assert words.percent(0.5) == "50.0%"


def test_gaps_and_durations():
    assert spaced(words.gap(3.1e-7)) == "3.1 × 10⁻⁷"
    assert words.gap(0.0312) == "0.031"
    assert words.gap(0.0) == "0"
    assert [spaced(words.seconds(value)) for value in (9.7, 242, 7260)] == ["9.7 s", "4 min", "2 h 1 min"]


def test_names_are_cut():
    assert words.some(["a", "b"]) == "a, b"
    assert words.some(["a", "b", "c"], 2) == "a, b and 1 more"
    assert words.quoted(iter(["a", "it's"]), 1) == "'a' and 1 more"
