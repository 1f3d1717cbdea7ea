"""Codes, overlaps and suppression of boxes, and a detector's graph in float and in integers."""

import numpy as np
import pytest
import torch

from pocketvision.compress.compress import compress
from pocketvision.graph import boxes
from pocketvision.graph.graph import Graph
from pocketvision.graph.run import run, tensors
from pocketvision.graph.trace import trace
from pocketvision.models.catalogue import build_spec
from pocketvision.tasks import load, spec_for_net
from pocketvision.tasks.detect.learning import encoded
from pocketvision.values import AnchorMap, DetectorSpec, ImageSpec, ModelSpec, TaskSpec

MAPS = (AnchorMap(16, ((0.2, 0.2), (0.1, 0.3))), AnchorMap(32, ((0.5, 0.5),)), AnchorMap(64, ((0.9, 0.9),)))
SPEC = ModelSpec("mobilenet_v2", 0.35, 96, 2, detector=DetectorSpec(MAPS))
TASK = spec_for_net(TaskSpec("detect", ("round", "square")), SPEC)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 96, 96, 3), np.uint8)


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_spec(SPEC).eval()


@pytest.fixture(scope="module")
def graph(net: torch.nn.Module) -> Graph:
    return trace(net, ImageSpec(96), load("detect").ending(TASK))


def test_anchors_stand_in_the_middle_of_cells_map_after_map() -> None:
    found = boxes.anchors(MAPS, 96)
    assert found.shape == (36 * 2 + 9 + 4, 4)
    np.testing.assert_allclose(
        found[:3], [[1 / 12, 1 / 12, 0.2, 0.2], [1 / 12, 1 / 12, 0.1, 0.3], [1 / 12, 0.25, 0.2, 0.2]]
    )
    np.testing.assert_allclose(found[-1], [0.75, 0.75, 0.9, 0.9])


def test_codes_are_undone() -> None:
    rng = np.random.default_rng(1)
    low = rng.random((50, 2)) * 0.6
    wanted = np.concatenate([low, low + 0.05 + 0.3 * rng.random((50, 2))], axis=1)
    anchors = np.concatenate([rng.random((50, 2)), 0.1 + rng.random((50, 2))], axis=1)
    codes = encoded(torch.from_numpy(wanted)[None], torch.from_numpy(anchors)).numpy()
    np.testing.assert_allclose(boxes.decode(codes, anchors)[0], wanted, atol=1e-9)
    np.testing.assert_allclose(boxes.decode(np.zeros((50, 4)), anchors), boxes.corners(anchors), atol=1e-9)
    assert np.isfinite(boxes.decode(np.full((50, 4), 1e6), anchors)).all()


def test_overlaps() -> None:
    one = np.array([[0.0, 0.0, 1.0, 1.0]])
    others = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.5, 1.0], [2.0, 2.0, 3.0, 3.0], [0.5, 0.5, 0.5, 0.5]])
    np.testing.assert_allclose(boxes.iou(one, others), [[1, 0.5, 0, 0]])


def test_suppression_is_class_by_class_best_first_and_capped() -> None:
    near = np.array([[0.0, 0.0, 0.4, 0.4], [0.0, 0.0, 0.4, 0.38], [0.5, 0.5, 0.9, 0.9]])
    scores = np.array([[0.9, 0.3], [0.8, 0.7], [0.2, 0.01]])
    found = boxes.suppress(near, scores, score_threshold=0.05, iou_threshold=0.5, most=4)
    np.testing.assert_allclose(found[:, 4:], [[0, 0.9], [1, 0.7], [0, 0.2], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(found[1, :4], near[1], atol=1e-6)
    few = boxes.suppress(near, scores, score_threshold=0.05, iou_threshold=0.5, most=2)
    np.testing.assert_allclose(few[:, 5], [0.9, 0.7], atol=1e-6)
    every = boxes.suppress(near, scores, score_threshold=0.05, iou_threshold=0.99, most=9)
    assert (every[:, 5] > 0).sum() == 5


def test_the_graph_gives_the_boxes_that_the_net_codes(net: torch.nn.Module, graph: Graph) -> None:
    shown = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    with torch.no_grad():
        logits = net(shown).numpy()
    assert graph.shapes[graph.output] == (6, 100)
    np.testing.assert_allclose(run(graph, IMAGES), load("detect").probabilities(logits, TASK), atol=1e-3)


def test_in_integers_every_map_keeps_its_own_levels(graph: Graph) -> None:
    small = compress(graph, IMAGES).graph
    assert small.quant is not None
    assert len(graph.ends) == len(small.ends) == 6
    assert all(name in small.quant for name in small.ends)
    assert len({small.quant[name].scale for name in small.ends}) > 3
    exact, rounded = (dict(tensors(one, IMAGES)) for one in (graph, small))
    codes, scores = graph.nodes[-1].inputs
    assert rounded[codes].dtype == rounded[scores].dtype == np.float32
    assert np.abs(rounded[scores] - exact[scores]).max() < 0.1
    assert np.corrcoef(rounded[codes].ravel(), exact[codes].ravel())[0, 1] > 0.97
