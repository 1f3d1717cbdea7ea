"""Equalization leaves the net as it was, through every kernel, and gives int8 more to work with."""

import numpy as np
import pytest

from pocketvision.compress.equalize import channels_of, equalize
from pocketvision.compress.measure import measure
from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.errors import GraphError
from pocketvision.graph.graph import Conv, Ending, Linear
from pocketvision.graph.lower import without_affines
from pocketvision.graph.run import activations, run
from pocketvision.graph.sketch import Sketch


def of_every_kernel():
    sketch = Sketch(32, seed=3)
    first = sketch.conv("image", 16, kernel=3, stride=2, activation="relu6")
    both = sketch.concat(sketch.conv(first, 8), sketch.depthwise(first, activation="relu6"))
    mixed = sketch.shuffle(sketch.max_pool(both), 4)
    half = sketch.slice(mixed, 4, 20)
    total = sketch.add(sketch.conv(half, 16, activation="none"), half, activation="relu")
    gate = sketch.activate(sketch.conv(sketch.mean(total, keep=True), 16, activation="none"), "hardsigmoid")
    weighed = sketch.affine(sketch.multiply(total, gate))
    swished = sketch.activate(sketch.conv(weighed, 12, activation="none"), "hardswish")
    normed = sketch.local_norm(sketch.conv(swished, 12))
    flat = sketch.flatten(sketch.average_pool(normed))
    return sketch.finish(sketch.linear(flat, 10))


def equalized(graph, images):
    return equalize(graph, measure(without_affines(graph), images))


def test_no_answer_moves_through_any_kernel(draw):
    graph, images = of_every_kernel(), draw(16)
    found = equalized(graph, images)
    np.testing.assert_allclose(run(found.graph, images), run(graph, images), atol=1e-5)
    changed = [
        node.name
        for node, other in zip(without_affines(graph).nodes, found.graph.nodes, strict=True)
        if isinstance(node, Conv | Linear) and not np.allclose(node.weight, other.weight)
    ]
    assert len(changed) >= 6


def test_spreads_are_those_of_the_equal_net(draw):
    graph, images = of_every_kernel(), draw(16)
    found = equalized(graph, images)
    again = measure(found.graph, images)
    assert again.keys() == found.measured.keys()
    for name, spread in found.measured.items():
        np.testing.assert_allclose(spread.low, again[name].low, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(spread.high, again[name].high, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(spread.mean, again[name].mean, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("activation", ["relu", "relu6"])
def test_channels_get_alike_and_int8_gains(uneven, draw, activation):
    graph, images, others = uneven(activation), draw(32), draw(32, seed=1)
    found = equalized(graph, images)
    before, after = measure(graph, images), found.measured
    name = graph.nodes[1].name  # read by a depthwise convolution
    assert np.median(after[name].peak) > 3 * np.median(before[name].peak)
    assert after[name].range[1] <= before[name].range[1] * 1.001
    exact = run(graph, others)
    plain, even = (quantize(net, calibrate(net, images)) for net in (graph, found.graph))
    assert np.abs(run(even, others) - exact).mean() < 0.5 * np.abs(run(plain, others) - exact).mean()


def test_a_clamped_channel_keeps_its_clamp(uneven, draw):
    graph, images = uneven("relu6"), draw(32)
    before, found = measure(graph, images), equalized(graph, images)
    clamped = 0
    for node in graph.nodes:
        if getattr(node, "activation", "none") == "relu6":
            full = before[node.name].high == 6
            clamped += int(full.sum())
            assert (found.measured[node.name].high[full] == 6).all()
            assert found.measured[node.name].high.max() <= 6 + 1e-6
    assert clamped
    others = draw(32, seed=1)  # brighter channels than any calibrated are cut, no others
    assert np.abs(run(found.graph, others) - run(graph, others)).max() < 0.05


def test_channels_that_move_together_share_a_number(draw):
    sketch = Sketch(32, seed=3)
    first = sketch.conv("image", 8, kernel=3)
    second = sketch.add(sketch.conv(first, 8), first)
    joined = sketch.shuffle(sketch.concat(sketch.max_pool(second), sketch.max_pool(first)), 2)
    part = sketch.slice(joined, 0, 8)
    logits = sketch.linear(sketch.mean(part), 10)
    channels = channels_of(sketch.finish(logits))
    assert len(set(channels[first])) == 8
    assert (channels[second] == channels[first]).all()
    assert (channels[part] == channels[first][[0, 0, 1, 1, 2, 2, 3, 3]]).all()
    assert (channels["image"] == 0).all()
    assert (channels[logits] == 0).all()


def test_wrong_use_is_told(uneven, draw):
    graph, images = uneven(), draw(4)
    with pytest.raises(GraphError, match="measure this same graph"):
        equalize(graph, {})
    small = quantize(graph, calibrate(graph, images))
    with pytest.raises(GraphError, match="quantized already"):
        equalize(small, {})
    ends = {node.name for node in graph.nodes if isinstance(node, Ending)}
    assert dict(activations(graph, images)).keys() - ends == measure(graph, images).keys()
