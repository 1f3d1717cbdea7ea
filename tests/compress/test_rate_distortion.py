"""Rate-distortion optimal quantization: fewer bits for a higher price, and errors that are made up for."""

from dataclasses import replace

import numpy as np
import pytest

from pocketvision.compress.bias import coarse_biases
from pocketvision.compress.columns import solver_of
from pocketvision.compress.compress import compress
from pocketvision.compress.ledger import LedgerEntry
from pocketvision.compress.moments import LayerMoments
from pocketvision.compress.rate_distortion import RoundingLayer, code_lengths, rounded
from pocketvision.compress.steps.bias import CorrectBias
from pocketvision.compress.steps.equalize import Equalize
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.compress.steps.ranges import Ranges
from pocketvision.compress.steps.rate_distortion import RateDistortion, weighed
from pocketvision.compress.steps.step import begin
from pocketvision.errors import UsageError
from pocketvision.export.onnx import to_bytes
from pocketvision.graph.graph import Conv, Graph, Linear
from pocketvision.graph.run import run
from pocketvision.graph.sketch import Sketch
from pocketvision.runtime.onnx import answer_of

BEFORE = (Equalize(), Ranges(), Quantize())


def off(graph, exact, images):
    return float(np.abs(run(graph, images) - exact).mean())


def test_a_higher_price_buys_fewer_bits(uneven, draw):
    graph, images, others = uneven(), draw(64), draw(64, seed=1)
    exact = run(graph, others)
    state = begin(graph, images)
    for step in BEFORE:
        state = step(state)
    state = weighed(state)
    found = [CorrectBias()(RateDistortion(strength)(state)).small for strength in (0.01, 0.3, 3, 1e4)]
    entries = [LedgerEntry("rate", each) for each in found]
    bits, errors = [each.entropy for each in entries], [off(each, exact, others) for each in found]
    assert bits == sorted(bits, reverse=True)
    assert errors[0] < errors[2] < errors[3]
    assert errors[0] < 1.2 * off(CorrectBias()(state).small, exact, others)
    assert entries[0].zeros < entries[2].zeros < entries[3].zeros
    assert entries[3].zeros == 1
    assert entries[2].packed() < 0.7 * LedgerEntry("int8", state.small).packed()


def test_it_loses_less_than_coarse_rounding_of_the_same_bits(uneven, draw):
    graph, images, others = uneven(), draw(64), draw(64, seed=1)
    exact = run(graph, others)
    done = compress(graph, images, steps=(*BEFORE, RateDistortion(0.5), CorrectBias()))
    plain = compress(graph, images, steps=BEFORE).graph
    step = 2
    while LedgerEntry("", coarse(plain, step)).entropy > done.ledger[-1].entropy + 0.1:
        step += 1
    state = replace(begin(graph, images), small=coarse(plain, step))
    assert off(done.graph, exact, others) < 0.75 * off(CorrectBias()(state).small, exact, others)


def coarse(graph, step):
    """Return the graph with every weight at the nearest multiple of a step."""
    return Graph(
        tuple(
            replace(node, weight=(np.rint(node.weight / step) * step).clip(-127, 127).astype(np.int8))
            if isinstance(node, Conv | Linear)
            else node
            for node in graph.nodes
        ),
        graph.quant,
    )


def test_a_runtime_answers_as_the_reference(draw):
    sketch = Sketch(32, seed=5)
    tensor = sketch.conv("image", 16, kernel=3, stride=2)
    tensor = sketch.shuffle(sketch.conv(sketch.depthwise(tensor), 16, groups=2), 2)
    graph = sketch.finish(sketch.linear(sketch.mean(tensor), 4))
    images = draw(16)
    done = compress(graph, images, steps=(*BEFORE, RateDistortion(0.5), CorrectBias(coarse=True)))
    np.testing.assert_allclose(answer_of(to_bytes(done.graph))(images), run(done.graph, images), atol=2e-2)
    for node in done.graph.nodes:
        if isinstance(node, Conv | Linear):
            notches = 4 * np.log2(node.weight_scale.astype(np.float64))
            assert np.abs(notches - np.rint(notches)).max() < 1e-5
            assert node.weight.dtype == np.int8
            assert node.weight.min() >= -127


def test_errors_are_made_up_for_by_weights_that_see_the_same():
    twice = np.array([[[1.0, 0.999], [0.999, 1.0]]])
    solver = np.linalg.cholesky(np.linalg.inv(twice)).swapaxes(1, 2)
    node = Sketch(8).finish  # the layer's node has no part in rounding
    layer = RoundingLayer(
        node, np.array([[[0.4, 0.4]]]), solver, np.ones((1, 1)), np.full((1, 1), 1.0), 100.0, np.zeros((1, 2))
    )
    code = np.full(255, 8.0)
    levels = rounded(layer, np.ones((1, 1)), code, price=1e-6)
    assert levels.sum() == 1  # to nearest each would be 0, and 0.8 be lost


def test_a_code_is_as_long_as_its_symbols_are_rare():
    levels = [np.array([0] * 900 + [1] * 100), np.array([5] * 1000)]
    first, second = code_lengths(levels)
    assert first[127] == pytest.approx(0.15, abs=0.1)
    assert first[127] < first[128] < first[132] < first[0]
    assert second[132] < second[127]
    for lengths in (first, second):
        assert np.exp2(-lengths).sum() == pytest.approx(1, rel=1e-3)


def test_coarse_biases_end_in_zero_bits_and_move_less_than_a_level(uneven, draw):
    small = compress(uneven(), draw(8)).graph
    done = coarse_biases(small)
    for node, other in zip(small.nodes, done.nodes, strict=True):
        if isinstance(node, Conv | Linear):
            unit = small.quant[node.inputs[0]].scale * node.weight_scale
            moved = np.abs(node.bias - other.bias) * unit / small.quant[node.name].scale
            assert moved.max() <= 0.13
            assert (other.bias % 4 == 0).mean() > 0.9


def test_it_needs_integers(uneven, draw):
    with pytest.raises(UsageError, match="put int8 before it"):
        compress(uneven(), draw(2), steps=(RateDistortion(), Quantize()))


def test_a_channel_that_is_the_same_in_all_images_is_no_obstacle():
    size = 9
    lost = np.full((1, size, size), -4e-6)
    moments = LayerMoments(np.full((1, size), 1.53), lost, np.ones(1), 112)
    solver = solver_of(moments)
    assert np.isfinite(solver).all()
    assert (np.diagonal(solver, axis1=1, axis2=2) > 0).all()
