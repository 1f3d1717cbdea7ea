"""A detector's weights chosen by their bytes: sensitivities reach every layer, and boxes stay where bytes go."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pocketvision.compress.distill import Course, Lesson
from pocketvision.compress.quantize import lower
from pocketvision.compress.retrain import FloatStudent, retrained
from pocketvision.compress.search import RateSearch
from pocketvision.compress.sensitivity import moments_of
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


def test_a_detector_learns_again_what_it_lost(graph):
    torch.set_num_threads(1)
    plain, pictures, rng = lower(graph).graph, images(), np.random.default_rng(0)

    def noisy(node):
        factor = 1 + 0.1 * rng.standard_normal(node.weight.shape, np.float32)
        return replace(node, weight=node.weight * factor)

    start = Graph(tuple(noisy(node) if isinstance(node, Conv) else node for node in plain.nodes))
    course = Course(steps=30, rate=0.01)
    lesson, found = Lesson(plain, pictures, course), retrained(start, plain, pictures, course)
    before, after = (lesson.judged(FloatStudent(each)) for each in (start, found))
    assert after < 0.8 * before
    assert lesson.judged(FloatStudent(plain)) < 1e-6
    assert lesson.taught(pictures).shape == (len(pictures), 68, 4 + len(TASK.labels))


def test_right_is_how_many_boxes_there_are_of_each_class():
    targets = np.full((2, 3, 7), -1, np.float32)
    targets[0, :, 0], targets[0, :, 6] = (0, 0, 2), (0, 2, 0)
    assert load("detect").decided(targets, TASK).tolist() == [[1, 0, 1], [0, 0, 0]]
