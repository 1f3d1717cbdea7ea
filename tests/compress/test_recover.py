"""Answers won back: integers learn from the float net, within the same steps of weights and with the same zeros."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from pocketvision.compress.compress import compress
from pocketvision.compress.distill import Course, SharedAdam, share_at
from pocketvision.compress.quantize import lower
from pocketvision.compress.recover import RoundedStudent, recovered
from pocketvision.compress.search import STRENGTHS, RateSearch
from pocketvision.compress.steps.bias import CorrectBias
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.compress.steps.recover import Recover
from pocketvision.errors import GraphError, UsageError
from pocketvision.export.onnx import to_bytes
from pocketvision.graph.autograd import logits
from pocketvision.graph.graph import Conv, Graph, Linear, Sigmoid
from pocketvision.graph.run import run
from pocketvision.graph.sketch import Sketch
from pocketvision.runtime.onnx import answer_of


def net(ending=None):
    sketch = Sketch(32, seed=7)
    tensor = sketch.conv("image", 12, kernel=3, stride=2)
    tensor = sketch.max_pool(sketch.conv(sketch.depthwise(tensor), 16))
    graph = sketch.finish(sketch.linear(sketch.mean(tensor), 6))
    return Graph((*graph.nodes[:-1], ending("answers", graph.nodes[-1].inputs))) if ending else graph


def spoilt(small):
    """Return the graph with logits that are off by some levels."""
    last = small.nodes[-2]
    unit = small.quant[last.inputs[0]].scale * last.weight_scale / small.quant[last.name].scale
    wrong = replace(last, bias=(last.bias + np.array([6, -6, 0, 0, 0, 0]) / unit).astype(np.int32))
    return Graph((*small.nodes[:-2], wrong, small.nodes[-1]), small.quant)


def layers(graph):
    return [node for node in graph.nodes if isinstance(node, Conv | Linear)]


@pytest.mark.parametrize("ending", [None, Sigmoid])
def test_what_was_spoilt_is_won_back(draw, ending):
    graph, images, others = net(ending), draw(48), draw(48, seed=1)
    done = compress(graph, images, steps=(Quantize(), CorrectBias()))
    start, course = spoilt(done.graph), Course(steps=25, rate=0.5)
    found, again = (recovered(start, lower(done.plain).graph, images, course=course) for _ in range(2))
    exact = run(graph, others)
    before, after = (np.abs(run(each, others) - exact).mean() for each in (start, found))
    assert after < 0.5 * before
    assert found.quant == start.quant
    for node, other, same in zip(layers(start), layers(found), layers(again), strict=True):
        assert (node.weight_scale == other.weight_scale).all()
        assert (other.weight.dtype, other.bias.dtype) == (np.int8, np.int32)
        assert (other.weight == same.weight).all()
        assert (other.bias == same.bias).all()


def test_pruned_weights_stay_away_while_the_others_learn(draw):
    graph, images, others = net(), draw(64), draw(64, seed=1)
    done = compress(graph, images, steps=(Quantize(), CorrectBias()))
    start, lowered = pruned(done.graph), lower(done.plain).graph
    found = recovered(start, lowered, images, course=Course(steps=30, rate=0.4))
    exact = run(graph, others)
    before, after = (np.abs(run(each, others) - exact).mean() for each in (start, found))
    assert after < 0.7 * before
    for node, other in zip(layers(start), layers(found), strict=True):
        assert (other.weight[node.weight != 0] != 0).mean() > 0.9
        assert not other.weight[node.weight == 0].any()
    np.testing.assert_allclose(answer_of(to_bytes(found))(others), run(found, others), atol=2e-2)


def pruned(small):
    """Return the graph without the smaller half of each layer's weights."""
    return Graph(
        tuple(
            replace(node, weight=np.where(np.abs(node.weight) < np.median(np.abs(node.weight)), 0, node.weight))
            if isinstance(node, Conv | Linear)
            else node
            for node in small.nodes
        ),
        small.quant,
    )


def test_a_search_gives_the_net_of_a_place_after_it_has_learned(uneven, draw):
    images = draw(16)
    search = RateSearch(uneven(), images)
    place = STRENGTHS.index(1.0)
    before, after = search.at(place), search.recovered(place, images, step=Recover(steps=2))
    assert [entry.step for entry in after.ledger] == [entry.step for entry in before.ledger] + ["recover"]
    assert after.plain is before.plain


def test_a_student_answers_as_the_file_that_it_becomes(draw):
    graph, images = net(), draw(16)
    done = compress(graph, images, steps=(Quantize(), CorrectBias(coarse=True)))
    lowered = lower(done.plain).graph
    student = RoundedStudent(done.graph, lowered)
    with torch.no_grad():
        found = torch.softmax(logits(lowered, images, student.sums, student.passed), 1).numpy()
    np.testing.assert_allclose(found, run(done.graph, images), atol=0.02)
    for node, same in zip(layers(done.graph), layers(student.rounded()), strict=True):
        assert (node.weight == same.weight).all()
        np.testing.assert_allclose(node.bias, same.bias, rtol=1e-4, atol=2)


def test_what_learns_nothing_stays(draw):
    graph, images = net(), draw(16)
    done = compress(graph, images, steps=(Quantize(), CorrectBias()))
    lowered = lower(done.plain).graph
    assert recovered(done.graph, lowered, images, course=Course(steps=3, rate=30.0)) is done.graph
    started = time.monotonic()
    assert recovered(done.graph, lowered, images, course=Course(steps=100_000, within_s=0.5)) is not None
    assert time.monotonic() - started < 5


def test_weights_that_hardly_matter_hardly_move():
    value = torch.zeros(4, requires_grad=True)
    optimizer = SharedAdam([value], lr=0.1)
    (value * torch.tensor([2.0, 2.0, 0.02, 0.0])).sum().backward()
    optimizer.step()
    found = value.detach().numpy()
    np.testing.assert_allclose(found, [-0.1414, -0.1414, -0.001414, 0], rtol=1e-3)


def test_the_rate_rises_and_falls_to_nothing():
    course = Course(steps=100)
    shares = [share_at(course, step) for step in range(100)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == shares[9] > 0.97
    assert shares[9:] == sorted(shares[9:], reverse=True)
    assert shares[-1] < 0.001


def test_what_cannot_learn_is_refused(draw):
    graph = net()
    small = compress(graph, draw(4), steps=(Quantize(),)).graph
    with pytest.raises(GraphError, match="classes, attributes or boxes"):
        recovered(small, Graph(graph.nodes[:-1]), draw(4))
    with pytest.raises(UsageError, match="put int8 before it"):
        compress(graph, draw(2), steps=(Recover(), Quantize()))
