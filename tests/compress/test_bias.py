"""Bias correction gives the integers the float net's means, and what is measured is what it says."""

import numpy as np
import pytest

from pocketvision.compress.bias import correct_biases
from pocketvision.compress.measure import measure
from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.errors import GraphError
from pocketvision.graph import run as reference
from pocketvision.graph.graph import Conv, Linear
from pocketvision.graph.integer import dequantize
from pocketvision.graph.run import activations, run
from pocketvision.graph.sketch import Sketch


def coarse(graph, images, step=16):
    """Return the quantized graph with weights that have lost four of their bits, all rounded down."""
    small = quantize(graph, calibrate(graph, images))
    for node in small.nodes:
        if isinstance(node, Conv | Linear):
            node.weight[...] = node.weight // step * step
    return small


def without_clamps():
    sketch = Sketch(32, seed=3)
    first = sketch.conv("image", 12, kernel=3, stride=2, activation="none")
    second = sketch.conv(sketch.depthwise(first, activation="none"), 12, activation="none")
    return sketch.finish(sketch.linear(sketch.mean(sketch.add(first, second)), 10))


def test_means_of_all_layers_become_the_floats(draw):
    graph, images = without_clamps(), draw(24)
    small, measured = coarse(graph, images), measure(graph, images)
    done = correct_biases(small, measured, images)
    layers = [node.name for node in graph.nodes if isinstance(node, Conv | Linear)]

    def off(net):
        tensors = dict(activations(net, images))
        return {
            name: np.abs(
                dequantize(tensors[name], net.quant[name]).mean(axis=(0, *range(2, tensors[name].ndim)))
                - measured[name].mean
            ).max()
            / net.quant[name].scale
            for name in layers
        }

    before, after = off(small), off(done)
    assert min(before.values()) > 1
    assert all(after[name] < 0.1 * before[name] for name in layers)
    exact = run(graph, images)
    assert np.abs(run(done, images) - exact).mean() < 0.9 * np.abs(run(small, images) - exact).mean()


def test_only_biases_change(uneven, draw):
    graph, images = uneven("relu6"), draw(8)
    small = quantize(graph, calibrate(graph, images))
    done = correct_biases(small, measure(graph, images), images)
    assert done.quant == small.quant
    for node, other in zip(small.nodes, done.nodes, strict=True):
        assert type(node) is type(other)
        if isinstance(node, Conv | Linear):
            assert (node.weight == other.weight).all()
            assert other.bias.dtype == np.int32


def test_other_images_gain_too(uneven, draw):
    graph, images, others = uneven("relu"), draw(32), draw(64, seed=1)
    small = coarse(graph, images, step=8)
    done = correct_biases(small, measure(graph, images), images)
    exact = run(graph, others)
    assert np.abs(run(done, others) - exact).mean() < 0.7 * np.abs(run(small, others) - exact).mean()


def test_batches_do_not_matter(uneven, draw, monkeypatch):
    graph, images = uneven(), draw(5)
    small, measured = coarse(graph, images), measure(graph, images)
    together = correct_biases(small, measured, images)
    monkeypatch.setattr(reference, "_VALUES_AT_ONCE", 1)
    apart = correct_biases(small, measured, images)
    for node, other in zip(together.nodes, apart.nodes, strict=True):
        if isinstance(node, Conv | Linear):
            assert (node.bias == other.bias).all()


def test_means_are_those_before_the_activation(uneven, draw):
    graph, images = uneven("relu"), draw(8)
    name = graph.nodes[1].name
    spread = measure(graph, images)[name]
    assert spread.low.min() == 0
    assert spread.mean.min() < 0
    after = dict(activations(graph, images))[name].mean(axis=(0, 2, 3))
    assert (spread.mean <= after + 1e-4).all()


def test_wrong_use_is_told(uneven, draw):
    graph, images = uneven(), draw(2)
    with pytest.raises(GraphError, match="not quantized yet"):
        correct_biases(graph, measure(graph, images), images)
    with pytest.raises(GraphError, match="nothing was measured"):
        correct_biases(quantize(graph, calibrate(graph, images)), {}, images)
