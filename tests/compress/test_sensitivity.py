"""Moments of what layers read, and gradients that predict what an error costs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pocketvision.compress import sensitivity
from pocketvision.compress.sensitivity import moments_of
from pocketvision.graph.graph import Conv, Graph, Linear, Sigmoid
from pocketvision.graph.run import run, tensors
from pocketvision.graph.sketch import Sketch


def test_moments_are_those_of_what_each_layer_reads(uneven, draw, monkeypatch):
    monkeypatch.setattr(sensitivity, "PLACES", 10**6)
    graph, images = uneven(), draw(12)
    found = moments_of(graph, images)
    layers = [node for node in graph.nodes if isinstance(node, Conv | Linear)]
    assert list(found) == [node.name for node in layers]
    exact = dict(tensors(graph, images))
    last, pointwise = layers[-1], layers[2]
    read = exact[last.inputs[0]].astype(np.float64)
    np.testing.assert_allclose(found[last.name].inputs[0], np.cov(read.T, bias=True), atol=1e-4 * read.var())
    np.testing.assert_allclose(found[last.name].mean[0], read.mean(axis=0), rtol=1e-4)
    rows = exact[pointwise.inputs[0]].reshape(-1, pointwise.weight.shape[1]).astype(np.float64)
    np.testing.assert_allclose(found[pointwise.name].inputs[0], np.cov(rows.T, bias=True), atol=1e-3 * rows.var())
    for node in layers:
        groups = node.groups if isinstance(node, Conv) else 1
        size = int(np.prod(node.weight.shape[1:]))
        moments = found[node.name]
        assert moments.inputs.shape == (groups, size, size)
        assert moments.gradients.shape == node.bias.shape
        assert np.linalg.eigvalsh(moments.inputs).min() > -1e-5 * moments.inputs.max()


def test_few_places_tell_nearly_the_same(uneven, draw, monkeypatch):
    graph, images = uneven(), draw(60)
    name = next(node.name for node in graph.nodes if isinstance(node, Conv) and node.groups > 1)
    whole = moments_of(graph, images)[name].inputs
    monkeypatch.setattr(sensitivity, "PLACES", 20)
    some = moments_of(graph, images)[name].inputs
    assert not np.array_equal(some, whole)
    assert np.corrcoef(some.ravel(), whole.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("by_itself", [False, True])
def test_drawn_vectors_have_the_moments_of_the_fisher_information(by_itself):
    answers = torch.tensor([[0.5, -1.0, 2.0]]).expand(40_000, 3)
    drawn = sensitivity._drawn(answers, by_itself, torch.Generator().manual_seed(0))
    shares = torch.sigmoid(answers[0]) if by_itself else torch.softmax(answers[0], 0)
    wanted = torch.diag(shares * (1 - shares)) if by_itself else torch.diag(shares) - torch.outer(shares, shares)
    torch.testing.assert_close(drawn.T @ drawn / len(drawn), wanted, atol=0.01, rtol=0)


@pytest.mark.parametrize("ending", [None, Sigmoid])
def test_an_error_costs_about_what_is_predicted(ending, draw):
    sketch = Sketch(32, seed=2)
    graph = sketch.finish(sketch.linear(sketch.mean(sketch.conv("image", 12, kernel=3, stride=2)), 6))
    if ending:
        graph = Graph((*graph.nodes[:-1], ending(graph.nodes[-1].name, graph.nodes[-1].inputs)))
    images = draw(200)
    layer = graph.nodes[-2]
    moments = moments_of(graph, images)[layer.name]
    exact = run(graph, images).astype(np.float64)
    spread = moments.inputs[0] + np.outer(moments.mean[0], moments.mean[0])
    for output in range(6):
        error = np.zeros_like(layer.weight)
        error[output] = 0.05
        changed = replace(layer, weight=layer.weight + error)
        found = run(Graph((*graph.nodes[:-2], changed, graph.nodes[-1])), images).astype(np.float64)
        cost = (exact * np.log(exact / found)).sum(axis=1).mean()
        if ending:
            cost += ((1 - exact) * np.log((1 - exact) / (1 - found))).sum(axis=1).mean()
        row = error[output].astype(np.float64)
        assert cost == pytest.approx(moments.gradients[output] / 2 * row @ spread @ row, rel=0.5)


def test_a_sure_net_is_asked_less_surely(draw):
    sketch = Sketch(32, seed=2)
    graph = sketch.finish(sketch.linear(sketch.mean(sketch.conv("image", 12, kernel=3, stride=2)), 3))
    layer = graph.nodes[-2]
    sure = Graph((*graph.nodes[:-2], replace(layer, weight=layer.weight * 8), graph.nodes[-1]))
    images = [draw(20)]
    assert sensitivity._temperature(graph, images) < sensitivity._temperature(sure, images)
