"""A temperature folded into a graph: probabilities as if the logits were divided, no answer and no integer changed."""

import numpy as np
import pytest

from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.compress.temperature import with_temperature
from pocketvision.errors import GraphError
from pocketvision.export.onnx import to_bytes
from pocketvision.graph.graph import Graph
from pocketvision.graph.run import activations, run
from pocketvision.graph.sketch import Sketch
from pocketvision.metrics.calibration import softened
from pocketvision.runtime.onnx import answer_of


def linear_at_the_end() -> Graph:
    sketch = Sketch(32)
    tensor = sketch.depthwise(sketch.conv("image", 8, kernel=3, stride=2))
    return sketch.finish(sketch.linear(sketch.mean(tensor), 4))


def mean_at_the_end() -> Graph:
    """End as SqueezeNet does: a convolution with a ReLU, then the mean."""
    sketch = Sketch(32)
    return sketch.finish(sketch.mean(sketch.conv(sketch.conv("image", 8, kernel=3, stride=2), 4, activation="relu")))


@pytest.fixture(params=[linear_at_the_end, mean_at_the_end])
def graph(request):
    return request.param()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("value", [0.5, 1.7])
@pytest.mark.parametrize("precision", ["float", "int8"])
def test_probabilities_are_those_of_divided_logits(graph, images, precision, value):
    if precision == "int8":
        graph = quantize(graph, calibrate(graph, images))
    cooled = with_temperature(graph, value)
    before, after = run(graph, images), run(cooled, images)
    assert np.abs(softened(before, value) - after).max() < 1e-5
    assert np.abs(before - after).max() > 1e-3
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()


def test_no_level_of_an_int8_graph_moves(graph, images):
    small = quantize(graph, calibrate(graph, images))
    cooled = with_temperature(small, 0.7)
    pairs = zip(activations(small, images), activations(cooled, images), strict=True)
    for (name, before), (_, after) in pairs:
        if name != small.output:
            np.testing.assert_array_equal(before, after)


def test_the_written_file_answers_the_same(graph, images):
    cooled = with_temperature(quantize(graph, calibrate(graph, images)), 1.3)
    assert np.abs(answer_of(to_bytes(cooled))(images) - run(cooled, images)).max() < 1e-5


def test_what_a_factor_does_not_pass_is_refused():
    sketch = Sketch(32)
    clamped = sketch.finish(sketch.mean(sketch.conv("image", 4, activation="relu6")))
    with pytest.raises(GraphError, match="cannot be folded"):
        with_temperature(clamped, 2.0)
    with pytest.raises(GraphError, match="no logits"):
        with_temperature(Graph(clamped.nodes[:-1]), 2.0)
