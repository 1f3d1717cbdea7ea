"""Boxes as text and as arrays."""

import numpy as np
import pytest

from pocketvision.tasks import load
from pocketvision.tasks.detect.answers import found, judge, read, targets, write
from pocketvision.values import Box, Example, FoundBox, TaskSpec

LABELS = ("cat", 'a "dog", or; two', "Käfer")
PLAIN = Box(0, 0.1, 0.2, 0.3, 0.4, area=1200.5)
HARD = Box(1, 0.0, 0.0, 1.0, 1.0, difficult=True, area=None)
BOTH = Box(2, 0.123456, 0.2, 0.3, 0.4, difficult=True, crowd=True, area=3.0)


@pytest.mark.parametrize("target", [(), (PLAIN,), (PLAIN, HARD, BOTH), (BOTH, PLAIN, PLAIN)])
def test_boxes_are_written_on_one_line_and_read_again(target: tuple[Box, ...]) -> None:
    text = write(target, LABELS)
    assert "\n" not in text
    assert read(text, LABELS) == target


def test_a_text_is_json_with_six_digits() -> None:
    assert write((PLAIN, BOTH), LABELS) == (
        '[["cat",0.1,0.2,0.3,0.4,1200.5],["Käfer",0.123456,0.2,0.3,0.4,3.0,"difficult crowd"]]'
    )
    assert write((Box(0, 1 / 3, 0, 1, 1, area=1 / 3),), LABELS) == '[["cat",0.333333,0,1,1,0.33]]'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yellow",
        "1,0",
        "{}",
        "[" * 100_000,
        '[["bird",0.1,0.2,0.3,0.4,1]]',
        '[["cat",0.1,0.2,0.3,0.4]]',
        '[["cat",0.1,0.2,0.3,"0.4",1]]',
        '[["cat",0.1,0.2,0.3,true,1]]',
        '[["cat",0.1,0.2,0.3,NaN,1]]',
        '[["cat",0.1,0.2,0.3,0.4,1,"hard"]]',
        '[["cat",0.1,0.2,0.3,0.4,1,"crowd","crowd"]]',
        '[["cat",0.1,0.2,0.3,0.4,"1"]]',
        '[[["cat"],0.1,0.2,0.3,0.4,1]]',
        '["cat"]',
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        read(text, LABELS)


def test_targets_are_padded_to_the_most_boxes() -> None:
    examples = [Example(f"{n}", boxes, "train", f"{n}") for n, boxes in enumerate([(), (PLAIN, HARD, BOTH), (PLAIN,)])]
    found = targets(examples)
    assert (found.shape, found.dtype) == ((3, 3, 7), np.float32)
    assert found[..., 0].tolist() == [[-1, -1, -1], [0, 1, 2], [0, -1, -1]]
    assert found[1, 0].tolist() == pytest.approx([0, 0.2, 0.1, 0.4, 0.3, 1200.5, 0])
    assert found[1, :, 6].tolist() == [0, 1, 2]
    assert targets(examples[:1]).tolist() == [[[-1, 0, 0, 0, 0, 0, 0]]]
    assert targets([]).shape == (0, 1, 7)


def test_boxes_from_the_threshold_on_are_found_with_names_and_corners() -> None:
    spec = TaskSpec("detect", LABELS, (0.5, 0.5, 0.5))
    answer = np.zeros((100, 6), np.float32)
    answer[:3] = [[0.2, 0.1, 0.4, 0.3, 2, 0.9], [0, 0, 1, 1, 0, 0.5], [0, 0, 1, 1, 1, 0.49]]
    first, second = found(answer, spec)
    assert first == FoundBox("Käfer", 2, 0.9, *(pytest.approx(side) for side in (0.1, 0.2, 0.3, 0.4)))
    assert (second.label, second.score) == ("cat", 0.5)
    truth = targets([Example("a.png", (Box(2, 0.1, 0.2, 0.3, 0.4, area=100.0),), "test", "")])
    cat, dog, beetle = judge(answer[None], truth, spec).curves
    assert (cat.points, dog.points, beetle.label) == ((), (), "Käfer")
    (point,) = beetle.points
    assert (point.recall, point.precision, point.score) == (1, 1, 0.9)


def test_which_of_two_boxes_is_kept_is_no_gap_where_either_suppresses_the_other() -> None:
    task = load("detect")
    best, less = [0.1, 0.1, 0.5, 0.5, 0, 0.9], [0.1, 0.1, 0.5, 0.3, 0, 0.6]
    both, one = (np.array([[*rows, [0.0] * 6][:2]], np.float32) for rows in ([best, less], [best]))
    assert task.gaps(both, one).tolist() == [0.0]
    assert task.gaps(one, both).tolist() == [0.0]
    lower = one.copy()
    lower[..., 5] -= np.float32(0.25) * (lower[..., 5] > 0)
    np.testing.assert_allclose(task.gaps(one, lower), 0.25, atol=1e-6)
    np.testing.assert_allclose(task.gaps(lower, one), 0.25, atol=1e-6)
    other = one.copy()
    other[0, 0, 4] = 1
    np.testing.assert_allclose(task.gaps(one, other), 0.9, atol=1e-6)
    assert task.gaps(0 * one, 0 * one).tolist() == [0.0]
    np.testing.assert_allclose(task.gaps(one, 0 * one), 0.9, atol=1e-6)


def test_vocs_figure_stands_beside_cocos() -> None:
    spec = TaskSpec("detect", ("a",))
    truth = np.array([[[0, 0.1, 0.1, 0.5, 0.5, 900, 0]], [[0, 0.2, 0.2, 0.6, 0.6, 900, 0]]], np.float32)
    answers = np.zeros((2, 100, 6), np.float32)
    answers[0, 0] = (0.1, 0.1, 0.5, 0.5, 0, 0.9)
    judged = judge(answers, truth, spec).score
    assert judged.others["VOC AP"] == pytest.approx(0.5)
    assert judged.value == pytest.approx(51 / 101)
