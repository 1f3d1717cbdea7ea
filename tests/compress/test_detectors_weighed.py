"""A detector's weights chosen by their bytes: sensitivities reach every layer, and boxes stay where bytes go."""

import numpy as np
import pytest
import torch

from pocketvision.compress.quantize import lower
from pocketvision.compress.search import RateSearch
from pocketvision.compress.sensitivity import moments_of
from pocketvision.export.chosen import Recovery
from pocketvision.graph.graph import Conv, Graph
from pocketvision.graph.run import run
from pocketvision.tasks import load
from tests.export.detector import TASK, detector, images


@pytest.fixture(scope="module")
def graph():
    return detector()


def test_sensitivities_reach_the_layers_of_boxes_and_of_classes(graph):
    plain = lower(graph).graph
    found, again = (moments_of(plain, images(), seed=1) for _ in range(2))
    layers = [node.name for node in plain.nodes if isinstance(node, Conv)]
    assert set(found) == set(layers)
    assert all(found[name].gradients.sum() > 0 for name in layers)
    assert np.array_equal(found[layers[0]].gradients, again[layers[0]].gradients)


def every_box(graph):
    """Return a detector's graph that ends before boxes are left out."""
    return Graph(graph.nodes[:-1], graph.quant)


def test_stronger_choices_weigh_less_and_boxes_stay(graph):
    torch.set_num_threads(1)
    search = RateSearch(graph, images())
    exact = run(every_box(graph), images())
    packed, errors = [], []
    for place in (0, 44, 60):
        done = search.at(place)
        packed.append(done.ledger[-1].packed())
        errors.append(np.square(run(every_box(done.graph), images()) - exact).mean())
    assert packed[0] > packed[1] > packed[2]
    assert max(errors) < 1.5 * errors[0]
    learning = Recovery(search, lambda _: pytest.fail("of boxes nothing is learned"), images, 60.0)
    assert learning.beyond(0, lambda _: True)[0] == 0


def test_right_is_how_many_boxes_there_are_of_each_class():
    targets = np.full((2, 3, 7), -1, np.float32)
    targets[0, :, 0], targets[0, :, 6] = (0, 0, 2), (0, 2, 0)
    assert load("detect").decided(targets, TASK).tolist() == [[1, 0, 1], [0, 0, 0]]
