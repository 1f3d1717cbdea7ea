"""Figures of found boxes, against COCO's own code, a slow second reading of its rules, and cases worked out by hand."""

import io
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketvision.metrics.box_matches import MOST, match, overlaps, pixels_of
from pocketvision.metrics.detection import (
    average_precision,
    best_threshold,
    confusion,
    counted,
    curve,
    figures,
    voc_average_precision,
)

Array = NDArray[np.float32]
NAMES = ["AP", "AP50", "AP75", "AP small", "AP medium", "AP large"]
NAMES += ["AR 1", "AR 10", "AR 100", "AR small", "AR medium", "AR large"]
"""In COCO's order."""


def scene(seed: int, *, images: int = 12, difficult: bool = False) -> tuple[Array, Array, NDArray[np.float64]]:
    """Draw objects of all sizes, some of them crowds; answers near them, doubled, elsewhere and of other classes."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(100, 400, (images, 2)).astype(float)  # height, width
    truth = np.full((images, 9, 7), -1, np.float32)
    answers = np.zeros((images, 130, 6), np.float32)
    for n, (height, width) in enumerate(sizes):
        count = int(rng.integers(0, 10))
        sides = np.exp(rng.uniform(np.log(6), np.log(150), (count, 2)))
        corners = rng.uniform(0, 1, (count, 2)) * np.maximum([height, width] - sides, 1)
        boxes = np.concatenate([corners, corners + sides], axis=1)
        labels = rng.integers(0, 3, count)
        flags = rng.choice([0, 1, 2] if difficult else [0, 2], count, p=[0.8, 0.1, 0.1] if difficult else [0.85, 0.15])
        shares = boxes / [height, width, height, width]
        truth[n, :count] = np.column_stack([labels, shares, sides.prod(axis=1) * rng.uniform(0.7, 1, count), flags])
        near = rng.integers(0, max(count, 1), 2 * count)
        moved = boxes[near] + rng.normal(0, 0.07, (len(near), 4)) * np.tile(sides[near], 2)
        stray = np.sort(rng.uniform(0, 1, (int(rng.integers(0, 120 - len(near))), 2, 2)), axis=1)
        found = np.concatenate([moved / [height, width, height, width], stray.reshape(-1, 4)])
        kinds = np.concatenate([np.where(rng.random(len(near)) < 0.9, labels[near], 0), rng.integers(0, 3, len(stray))])
        scores = np.round(np.concatenate([rng.uniform(0.2, 1, len(near)), rng.uniform(0.05, 0.6, len(stray))]), 2)
        answers[n, : len(found)] = np.column_stack([found, kinds, scores])
    return truth, answers, sizes.prod(axis=1)


# ---------------------------------------------------------------- COCO, read a second time


def slow(truth: Array, answers: Array, pixels: NDArray[np.float64], num_classes: int) -> list[float]:
    """Work the twelve figures out one answer, threshold, size and class at a time; -1 where there is no object."""
    areas = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
    precision: dict[Any, float] = {}
    recall: dict[Any, float] = {}
    for name, (least, largest) in areas.items():
        for most in (1, 10, 100):
            for label in range(num_classes):
                for threshold in np.linspace(0.5, 0.95, 10):
                    rows, there = [], 0
                    for n in range(len(truth)):
                        told, count = slow_image(
                            truth[n].astype(float),
                            answers[n].astype(float),
                            area=(least, largest),
                            most=most,
                            label=label,
                            threshold=threshold,
                            pixels=pixels[n],
                        )
                        rows, there = rows + told, there + count
                    if there:
                        key = name, most, label, round(float(threshold), 2)
                        precision[key], recall[key] = slow_curve(sorted(rows, key=lambda row: -row[0]), there)

    def mean(values: dict[Any, float], area: str, most: int, threshold: float | None = None) -> float:
        hits = [v for (a, m, _, t), v in values.items() if (a, m) == (area, most) and threshold in (None, t)]
        return float(np.mean(hits)) if hits else -1

    found = [mean(precision, "all", 100), mean(precision, "all", 100, 0.5), mean(precision, "all", 100, 0.75)]
    found += [mean(precision, area, 100) for area in ("small", "medium", "large")]
    found += [mean(recall, "all", most) for most in (1, 10, 100)]
    return found + [mean(recall, area, 100) for area in ("small", "medium", "large")]


def slow_image(objects, found, *, area, most, label, threshold, pixels):
    objects = [row for row in objects if row[0] == label]
    passed = [row[6] > 0 or not area[0] <= row[5] <= area[1] for row in objects]
    order = [g for g in range(len(objects)) if not passed[g]] + [g for g in range(len(objects)) if passed[g]]
    rows, taken = [], set()
    for row in sorted((row for row in found if row[4] == label and row[5] > 0), key=lambda row: -row[5])[:most]:
        best, share = None, min(threshold, 1 - 1e-10)
        for g in order:
            if g in taken and objects[g][6] != 2:
                continue
            if best is not None and not passed[best] and passed[g]:
                break
            own = (row[2] - row[0]) * (row[3] - row[1])
            whole = (objects[g][3] - objects[g][1]) * (objects[g][4] - objects[g][2])
            common = max(0, min(row[2], objects[g][3]) - max(row[0], objects[g][1]))
            common *= max(0, min(row[3], objects[g][4]) - max(row[1], objects[g][2]))
            overlap = common / (own if objects[g][6] == 2 else own + whole - common)
            if overlap >= share:
                best, share = g, overlap
        size = (row[2] - row[0]) * (row[3] - row[1]) * pixels
        if best is None:
            state = "ignored" if not area[0] <= size <= area[1] else "wrong"
        else:
            taken.add(best)
            state = "ignored" if passed[best] else "right"
        rows.append((row[5], state))
    return rows, passed.count(False)


def slow_curve(rows, there):
    points, right, wrong = [], 0, 0
    for _, state in rows:
        right, wrong = right + (state == "right"), wrong + (state == "wrong")
        points.append((right / there, right / max(right + wrong, 1)))
    recalls = np.linspace(0, 1, 101)
    heights = [max((p for r, p in points[place:]), default=0.0) for place in firsts(points, recalls)]
    return float(np.mean(heights)), (points[-1][0] if points else 0.0)


def firsts(points, recalls):
    reached = np.array([r for r, _ in points])
    return [int(np.argmax(reached >= recall)) if (reached >= recall).any() else len(points) for recall in recalls]


def ours(truth: Array, answers: Array, pixels: NDArray[np.float64], num_classes: int = 3) -> list[float]:
    found = figures(match(truth, answers, num_classes, pixels=pixels))
    return [found.get(name, -1.0) for name in NAMES]


@pytest.mark.parametrize("seed", range(3))
def test_coco_figures_are_those_of_a_second_reading(seed: int) -> None:
    truth, answers, pixels = scene(seed, images=6, difficult=True)
    assert ours(truth, answers, pixels) == pytest.approx(slow(truth, answers, pixels, 3), abs=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_coco_figures_are_those_of_pycocotools(seed: int) -> None:
    pytest.importorskip("pycocotools", reason="needs pycocotools, which nothing else here uses")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, answers, pixels = scene(seed, images=25)
    if seed == 1:
        truth[truth[..., 0] == 2] = -1  # a class without objects
    if seed == 2:
        answers[...] = 0
    gt, dt = [], []
    for n, size in enumerate(pixels):
        for row in truth[n][truth[n, :, 0] >= 0].astype(float).tolist():
            box = square(row[1:5], size)
            crowd = int(row[6] == 2)
            gt.append({"id": len(gt) + 1, "image_id": n, "category_id": int(row[0]), "bbox": box, "area": row[5]})
            gt[-1]["iscrowd"] = crowd
        for row in answers[n][answers[n, :, 5] > 0].astype(float).tolist():
            dt.append({"image_id": n, "category_id": int(row[4]), "bbox": square(row[:4], size), "score": row[5]})
    with redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": [{"id": n} for n in range(25)], "annotations": gt}
        coco.dataset |= {"info": {}, "categories": [{"id": k} for k in range(3)]}
        coco.createIndex()
        run = COCOeval(coco, coco.loadRes(dt) if dt else COCO(), "bbox")
        run.params.imgIds, run.params.catIds = list(range(25)), [0, 1, 2]
        run.evaluate()
        run.accumulate()
        run.summarize()
    assert ours(truth, answers, pixels) == pytest.approx(run.stats.tolist(), abs=1e-9)


def square(box: list[float], pixels: float) -> list[float]:
    """Return x, y, width, height in a square image of as many pixels: overlaps and areas are the same."""
    y1, x1, y2, x2 = (value * pixels**0.5 for value in box)
    return [x1, y1, x2 - x1, y2 - y1]


# ---------------------------------------------------------------- by hand


def things(*rows: tuple[float, ...]) -> Array:
    """Return one image's objects from label, y1, x1, y2, x2 and flag, of 100 x 100 pixels."""
    return np.array([[(k, a, b, c, d, (c - a) * (d - b) * 1e4, flag) for k, a, b, c, d, flag in rows]], np.float32)


def said(*rows: tuple[float, ...]) -> Array:
    """Return one image's answers."""
    return np.array([rows], np.float32).reshape(1, -1, 6)


ONE, OTHER = (0.0, 0.0, 0.4, 0.4), (0.5, 0.5, 0.9, 0.9)


def test_one_of_two_objects_found() -> None:
    truth = things((0, *ONE, 0), (0, *OTHER, 0))
    found = figures(match(truth, said((*ONE, 0, 0.9)), 1))
    assert found["AP50"] == pytest.approx(51 / 101), "the recalls 0 to .5 are reached"
    assert found["AR 100"] == 0.5
    assert "AP small" not in found
    assert found["AP medium"] == pytest.approx(51 / 101)


def test_a_wrong_answer_above_a_right_one_halves_precision_and_one_below_costs_nothing() -> None:
    truth = things((0, *ONE, 0))
    right, wrong = (*ONE, 0, 0.8), (0.6, 0.6, 0.9, 0.9, 0)
    assert figures(match(truth, said(right, (*wrong, 0.9)), 1))["AP"] == pytest.approx(0.5)
    assert figures(match(truth, said(right, (*wrong, 0.7)), 1))["AP"] == pytest.approx(1.0)


def test_what_counts_neither_way() -> None:
    crowd, hard = things((0, *ONE, 2), (0, *OTHER, 0)), things((0, *ONE, 1), (0, *OTHER, 0))
    inner = (0.1, 0.1, 0.2, 0.2, 0, 0.9)
    answers = said(inner, (0.2, 0.2, 0.3, 0.3, 0, 0.95), (*OTHER, 0, 0.5))
    assert figures(match(crowd, answers, 1))["AP"] == pytest.approx(1.0), "any number lies in a crowd"
    assert figures(match(hard, answers, 1))["AP"] == pytest.approx(1 / 3)
    twice = said((*ONE, 0, 0.9), (*ONE, 0, 0.8), (*OTHER, 0, 0.5))
    assert figures(match(hard, twice, 1))["AP"] == pytest.approx(0.5), "the second on one object is an error"


def test_of_equal_overlaps_the_later_object_and_only_hundred_answers_count() -> None:
    truth = things((0, *ONE, 0), (0, *ONE, 0))
    assert match(truth, said((*ONE, 0, 0.9)), 1).classes[0].truth.tolist() == [1]
    many = [(0.6, 0.6, 0.7, 0.7, 0, 0.9 - n / 1000) for n in range(MOST)]
    assert figures(match(truth, said(*many, (*ONE, 0, 0.1)), 1))["AR 100"] == 0
    assert figures(match(truth, said(*many[1:], (*ONE, 0, 0.1)), 1))["AR 100"] == 0.5


def test_overlaps_and_sizes() -> None:
    found, objects = np.array([ONE, (0.0, 0.0, 0.0, 0.0)]), np.array([(0.0, 0.2, 0.4, 0.6), ONE])
    assert overlaps(found, objects)[0] == pytest.approx([1 / 3, 1])
    assert overlaps(found, objects)[1].tolist() == [0, 0], "a box without area overlaps nothing"
    assert overlaps(found, objects, np.array([True, False]))[0] == pytest.approx([0.5, 1])
    two = np.concatenate([things((0, *ONE, 0)), things((-1, *ONE, 0))])
    assert pixels_of(two).tolist() == pytest.approx([1e4, 1e4])


def test_nothing_to_judge() -> None:
    truth, answers = np.full((2, 1, 7), -1, np.float32), np.zeros((2, 0, 6), np.float32)
    matches = match(truth, answers, 2)
    assert figures(matches) == {}
    found = average_precision(matches)
    assert (found.value, found.low, found.high) == (0, 0, 1)
    assert best_threshold(matches) == 0.5
    assert counted(matches, 0.5).overall == (0, 0, 0)
    assert not confusion(matches, truth, answers, 0.5).any()
    assert np.isnan(voc_average_precision(truth, answers, 2)).all()
    none = match(np.zeros((0, 1, 7), np.float32), np.zeros((0, 5, 6), np.float32), 2)
    assert figures(none) == {}
    assert average_precision(none).value == 0


# ---------------------------------------------------------------- intervals


def test_intervals_hold_their_value_and_are_those_of_images_drawn_anew() -> None:
    truth, answers, pixels = scene(4, images=40)
    matches = match(truth, answers, 3, pixels=pixels)
    found, stated = average_precision(matches), figures(matches)
    assert found.value == pytest.approx(stated["AP50"])
    assert 0 < found.low < found.value < found.high < 1
    every = average_precision(matches, overlap=None)
    assert every.value == pytest.approx(stated["AP"])
    assert every.classes.mean() == pytest.approx(every.value)
    assert (every.class_low < every.classes).all()
    assert (every.classes < every.class_high).all()
    rng, slowly = np.random.default_rng(0), []
    for _ in range(60):
        drawn = np.sort(rng.choice(40, 40))
        slowly.append(figures(match(truth[drawn], answers[drawn], 3, pixels=pixels[drawn]))["AP50"])
    assert np.quantile(slowly, (0.025, 0.975)) == pytest.approx([found.low, found.high], abs=0.04)
    assert np.std(slowly) == pytest.approx((found.high - found.low) / 3.92, rel=0.3)


def test_a_class_that_is_all_found_has_an_interval_of_some_width() -> None:
    truth = np.stack([things((0, *ONE, 0), (1, *OTHER, 0))[0]] * 10)
    answers = np.zeros((10, 3, 6), np.float32)
    answers[:, 0] = (*ONE, 0, 0.9)
    found = average_precision(match(truth, answers, 2))
    assert found.classes.tolist() == [1, 0]
    assert (found.class_low[0], found.class_high[0]) == (pytest.approx(0.722, abs=1e-3), 1)
    assert (found.class_low[1], found.class_high[1]) == (0, pytest.approx(0.278, abs=1e-3))
    assert found.low < found.value == 0.5 < found.high


# ---------------------------------------------------------------- VOC


def test_voc_takes_the_area_under_the_whole_curve_and_the_best_overlap_even_where_it_is_taken() -> None:
    truth = things((0, *ONE, 0), (0, *OTHER, 0), (0, 0.0, 0.6, 0.2, 0.8, 1))
    answers = said((*ONE, 0, 0.9), (*ONE, 0, 0.8), (*OTHER, 0, 0.7), (0.0, 0.6, 0.2, 0.8, 0, 0.95))
    # Precision 1 at recall 1/2, 2/3 at recall 1: the difficult one counts neither way, the second on one is an error.
    assert voc_average_precision(truth, answers, 2)[0] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    again = said((0.0, 0.6, 0.2, 0.8, 0, 0.95), (0.0, 0.6, 0.2, 0.8, 0, 0.9), (*ONE, 0, 0.8), (*OTHER, 0, 0.7))
    assert voc_average_precision(truth, again, 1)[0] == pytest.approx(1.0), "a difficult one may be found many times"
    near = things((0, *ONE, 0), (0, 0.0, 0.05, 0.4, 0.45, 0))
    twice = said((*ONE, 0, 0.9), (*ONE, 0, 0.8))
    assert voc_average_precision(near, twice, 1)[0] == pytest.approx(0.5)
    assert figures(match(near, twice, 1))["AP50"] == pytest.approx(1.0), "COCO gives it to the free neighbor"


# ---------------------------------------------------------------- at one score


def test_counts_at_a_score() -> None:
    truth = things((0, *ONE, 0), (1, *OTHER, 0), (1, 0.0, 0.6, 0.2, 0.8, 2))
    answers = said((*ONE, 0, 0.9), (*OTHER, 0, 0.6), (*OTHER, 1, 0.5), (0.1, 0.7, 0.2, 0.8, 1, 0.8))
    matches = match(truth, answers, 3)
    found = counted(matches, 0.55)
    assert (found.hits.tolist(), found.claims.tolist(), found.there.tolist()) == ([1, 0, 0], [2, 0, 0], [1, 1, 0])
    assert found.precision[0] == 0.5
    assert np.isnan(found.precision[1])
    assert np.isnan(found.recall[2])
    assert found.f1.tolist()[:2] == pytest.approx([2 / 3, 0])
    assert found.overall == pytest.approx((0.5, 0.5, 0.5))
    assert best_threshold(matches) == pytest.approx(0.5)
    assert counted(matches, best_threshold(matches)).overall == pytest.approx((2 / 3, 1, 0.8))


def test_of_equally_good_scores_the_higher() -> None:
    truth = things((0, *ONE, 0), (0, *OTHER, 0))
    # F1: 2/3 at .9 alone, 1/2 with the error, 4/5 at .3, 2/3 with one more error.
    answers = said((*ONE, 0, 0.9), (0.0, 0.6, 0.1, 0.7, 0, 0.5), (*OTHER, 0, 0.3), (0.0, 0.8, 0.1, 0.9, 0, 0.2))
    assert best_threshold(match(truth, answers, 1)) == np.float32(0.3)
    # Without the second hit: 2/3 at .9, and never as much again.
    assert best_threshold(match(truth, answers[:, :2], 1)) == np.float32(0.9)
    level = said((*ONE, 0, 0.9), (0.0, 0.6, 0.1, 0.7, 0, 0.8), (0.0, 0.8, 0.1, 0.9, 0, 0.7), (*OTHER, 0, 0.6))
    assert best_threshold(match(truth, level, 1)) == np.float32(0.9), "2/3 at .9 and 2/3 at .6"


def test_the_best_score_is_the_best_of_all() -> None:
    truth, answers, pixels = scene(5, difficult=True)
    matches = match(truth, answers, 3, pixels=pixels)
    scores = np.unique(answers[answers[..., 5] > 0, 5]).astype(float)
    f1 = [counted(matches, score).overall[2] for score in scores]
    best = max(range(len(scores)), key=lambda place: (round(f1[place], 12), scores[place]))
    assert best_threshold(matches) == scores[best]


def test_confusion_with_the_background() -> None:
    truth = things((0, *ONE, 0), (1, *OTHER, 0), (2, 0.0, 0.6, 0.2, 0.8, 0), (2, 0.5, 0.0, 0.7, 0.2, 1))
    answers = said(
        (*ONE, 0, 0.9),  # a hit
        (*ONE, 1, 0.8),  # its object is found already: background
        (*OTHER, 0, 0.7),  # for class 1
        (0.5, 0.0, 0.7, 0.2, 2, 0.9),  # a difficult one: not counted
        (0.0, 0.6, 0.2, 0.8, 2, 0.1),  # below the score: missed
    )
    matches = match(truth, answers, 3)
    assert confusion(matches, truth, answers, 0.5).tolist() == [
        [1, 0, 0, 0],
        [1, 0, 0, 0],
        [0, 0, 0, 1],
        [0, 1, 0, 0],
    ]


def test_confusion_adds_up() -> None:
    truth, answers, pixels = scene(6, images=60, difficult=True)
    matches = match(truth, answers, 3, pixels=pixels)
    matrix, found = confusion(matches, truth, answers, 0.2), counted(matches, 0.2)
    assert np.diagonal(matrix)[:3].tolist() == found.hits.tolist()
    assert matrix[:3].sum(axis=1).tolist() == found.there.tolist()
    assert matrix[:, :3].sum(axis=0).tolist() == found.claims.tolist()
    assert matrix[:3, :3].sum() > np.trace(matrix)


# ---------------------------------------------------------------- the curve


def test_the_curve_goes_through_what_is_counted_at_each_score() -> None:
    truth, answers, _ = scene(4, images=20)
    matches = match(truth, answers, 3)
    for label, one in enumerate(matches.classes):
        points = curve(one)
        assert 2 < len(points) <= 100
        scores = [score for _, _, score in points]
        assert scores == sorted(scores, reverse=True)
        for recall, precision, score in points[::7]:
            at = counted(matches, score)
            assert recall == pytest.approx(at.recall[label])
            assert precision == pytest.approx(at.precision[label])
        assert points[-1][0] == pytest.approx(counted(matches, 0.0).recall[label])


def test_a_thinned_curve_keeps_its_ends_and_a_class_without_objects_has_none() -> None:
    truth, answers, _ = scene(4, images=20)
    whole = match(truth, answers, 4).classes
    thin, full = curve(whole[0], most=10), curve(whole[0], most=10_000)
    assert len(thin) <= 10 < len(full)
    assert set(thin) <= set(full)
    assert (thin[0], thin[-1]) == (full[0], full[-1])
    assert curve(whole[3]) == ()
