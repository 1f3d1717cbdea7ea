"""Anchors: those of the released detectors, which boxes some reach, and shapes fitted to boxes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketvision.data.layout import scan
from pocketvision.data.upright_boxes import place
from pocketvision.graph.boxes import anchors, corners, iou
from pocketvision.models.paper_anchors import paper_maps
from pocketvision.tasks.detect.anchors import best_overlaps, coverage, fitted_maps, plain_boxes
from pocketvision.values import AnchorMap

Boxes = NDArray[np.float64]


def drawn(count: int, height: float, width: float, *, seed: int = 0, spread: float = 0.15) -> Boxes:
    """Draw boxes of about one size anywhere in the image."""
    rng = np.random.default_rng(seed)
    sizes = np.array([height, width]) * np.exp(rng.normal(0, spread, (count, 2)))
    middles = sizes / 2 + rng.random((count, 2)) * np.maximum(1 - sizes, 0)
    return np.concatenate([middles - sizes / 2, middles + sizes / 2], axis=1)


def cells(maps: tuple[AnchorMap, ...], resolution: int) -> int:
    return len(anchors(maps, resolution))


def test_the_papers_anchors_by_hand() -> None:
    maps = paper_maps()
    assert [one.stride for one in maps] == [16, 32, 64, 128, 256, 512]
    assert [len(one.shapes) for one in maps] == [3, 6, 6, 6, 6, 6]
    assert np.array(maps[0].shapes) == pytest.approx(
        np.array([(0.1, 0.1), (0.1414, 0.2828), (0.2828, 0.1414)]), abs=1e-4
    )
    assert maps[1].shapes[0] == pytest.approx((0.35, 0.35))
    assert maps[1].shapes[3] == pytest.approx((0.2021, 0.6062), abs=1e-4)
    assert maps[1].shapes[5] == pytest.approx((0.4183, 0.4183), abs=1e-4)
    assert maps[5].shapes[5] == pytest.approx((0.9747, 0.9747), abs=1e-4)
    assert cells(maps, 320) == 2034
    assert cells(maps, 300) == 1917, "the detectors released for 300 pixels have as many"


@pytest.mark.parametrize("resolution", [96, 192, 300, 320])
def test_reaching_is_what_all_anchors_together_give(resolution: int) -> None:
    boxes = np.concatenate([drawn(60, 0.08, 0.05), drawn(60, 0.3, 0.4), drawn(20, 0.9, 0.8)])
    maps = (AnchorMap(8, ((0.06, 0.06),)), *paper_maps())
    every = iou(boxes, corners(anchors(maps, resolution).astype(np.float64)))
    assert best_overlaps(boxes, maps, resolution) == pytest.approx(every.max(axis=1), abs=1e-6)
    labels = np.repeat([0, 2], [60, 80])
    shares = coverage(boxes, labels, maps, resolution, num_classes=3)
    assert np.isnan(shares[1])
    assert shares[[0, 2]] == pytest.approx([(every[:60].max(1) >= 0.5).mean(), (every[60:].max(1) >= 0.5).mean()])


def test_big_things_sit_on_coarse_maps_and_small_ones_bring_a_fine_map() -> None:
    large = drawn(200, 0.7, 0.7)
    maps = fitted_maps(large, 320, most=3)
    assert maps[0].stride == 32, "a detector's first map is one of the backbone"
    assert maps[-1].stride >= 64
    assert (best_overlaps(large, maps, 320) >= 0.5).mean() > 0.97
    middle = drawn(200, 0.17, 0.2, seed=1)
    assert [one.stride for one in fitted_maps(middle, 320, most=3)] == [16]
    small = drawn(200, 0.06, 0.07, seed=2)
    assert [one.stride for one in fitted_maps(small, 320, most=3)] == [8]
    mixed = fitted_maps(np.concatenate([large, middle, small]), 320, most=6)
    assert [one.stride for one in mixed] == [8, 16, 32, 64], "none between is left out"
    assert all(one.shapes for one in mixed)
    areas = [np.prod(one.shapes[0]) for one in mixed]
    assert areas[0] < 0.01 < areas[-1]


def test_shapes_are_the_same_in_any_order_and_never_more_than_asked_for() -> None:
    boxes = np.concatenate([drawn(100, 0.1, 0.2), drawn(100, 0.3, 0.2, seed=1), drawn(10, 0.5, 0.6, seed=2)])
    labels = np.repeat([0, 1, 2], [100, 100, 10])
    order = np.random.default_rng(5).permutation(len(boxes))
    for most in (1, 3, 9):
        maps = fitted_maps(boxes, 320, labels=labels, most=most)
        assert fitted_maps(boxes[order], 320, labels=labels[order], most=most) == maps
        assert 1 <= len({shape for one in maps for shape in one.shapes}) <= most
    one = fitted_maps(np.repeat(drawn(1, 0.2, 0.3), 5, axis=0), 320)
    assert len({shape for each in one for shape in each.shapes}) == 1


def test_rare_classes_weigh_more() -> None:
    boxes = np.concatenate([drawn(900, 0.3, 0.3), drawn(20, 0.06, 0.12, seed=1)])
    labels = np.repeat([0, 1], [900, 20])
    plain, weighed = (
        coverage(boxes, labels, fitted_maps(boxes, 320, labels=given, most=2), 320, num_classes=2)
        for given in (None, labels)
    )
    assert weighed[1] > 0.9 > plain[1]


def test_strides_that_a_net_has_are_kept_to() -> None:
    small = drawn(200, 0.06, 0.07)
    assert {one.stride for one in fitted_maps(small, 320, strides=(16, 32))} == {16}
    assert fitted_maps(np.zeros((0, 4)), 320) == paper_maps()[:5], "nothing to learn shapes from"
    assert all(one.stride <= 96 for one in fitted_maps(drawn(50, 0.9, 0.9), 96))


def test_difficult_boxes_and_crowds_are_left_out() -> None:
    targets = np.zeros((1, 4, 7), np.float32)
    targets[0, :, 0], targets[0, :, 6] = [0, 1, 2, -1], [0, 1, 2, 0]
    assert plain_boxes(targets)[1].tolist() == [0]


def test_on_real_cells_fitted_anchors_reach_the_platelets_that_the_papers_do_not(shared_data) -> None:
    listing = scan(shared_data / "bccd")
    placed = [(found.split, box) for found in listing.found for box in place(found, (640, 480), 1).boxes]
    boxes = np.array([(box.y1, box.x1, box.y2, box.x2) for _, box in placed])
    labels = np.array([box.label for _, box in placed])
    train = np.array([split == "train" for split, _ in placed])
    assert len(boxes) == 4886
    paper = coverage(boxes, labels, paper_maps(), 320, num_classes=3)
    assert paper == pytest.approx([0.37, 0.97, 1.0], abs=0.01)
    maps = fitted_maps(boxes[train], 320, labels=labels[train])
    fitted = coverage(boxes[~train], labels[~train], maps, 320, num_classes=3)
    assert (fitted >= [0.96, 0.98, 0.98]).all()
    assert maps[0].stride == 8
    assert maps[-1].stride == 32
    assert cells(maps, 320) < 6000
