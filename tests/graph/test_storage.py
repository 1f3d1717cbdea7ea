"""How weights are stored: bytes follow from the value on the node, whatever the values of the weights."""

from typing import get_args

import numpy as np
import pytest

from pocketvision.compress.half import halved
from pocketvision.compress.palette import palettized
from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.cost import count
from pocketvision.export import FORMATS, HELD
from pocketvision.graph.graph import Conv, Linear
from pocketvision.graph.lower import with_real_weights
from pocketvision.graph.sketch import Sketch
from pocketvision.graph.storage import FLOAT, HALF, INT8, STORAGES, Floats, Integers, Palette, fitted
from pocketvision.values import Precision
from pocketvision.verify.tolerances import tolerance


def net():
    sketch = Sketch(16)
    maps = sketch.depthwise(sketch.conv("image", 32, kernel=3))
    return sketch.finish(sketch.linear(sketch.mean(sketch.conv(maps, 200)), 10))


def test_bytes_are_those_of_a_file():
    assert FLOAT.file_bytes(1000, 10) == 4 * 1010
    assert HALF.file_bytes(1000, 10) == 2 * 1000 + 4 * 10
    assert INT8.file_bytes(1000, 10) == 1000 + 8 * 10
    assert Integers(4).file_bytes(1000, 10) == INT8.file_bytes(1000, 10)
    assert Integers(9).file_bytes(1000, 10) == 2 * 1000 + 8 * 10
    assert Palette(6).file_bytes(1001, 10) == 751 + 2 * 64 + 4 * 10


def test_small_layers_do_without_a_table_and_depthwise_ones_get_a_large_one():
    assert fitted(Palette(4), 10_000, 10, depthwise=False) == Palette(4)
    assert fitted(Palette(4), 10_000, 10, depthwise=True) == Palette(8)
    assert fitted(Palette(4), 20, 10, depthwise=False) == Floats(16, 16)
    assert fitted(INT8, 20, 10, depthwise=True) == INT8


@pytest.mark.parametrize("precision", get_args(Precision))
def test_what_is_asked_for_weighs_what_comes_of_it(precision):
    graph, images = net(), np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    match STORAGES[precision]:
        case Integers():
            made = quantize(graph, calibrate(graph, images))
        case Palette() as palette:
            made = palettized(graph, palette)
        case Floats(bits=bits):
            made = graph if bits == 32 else halved(graph)
    assert count(made) == count(graph, precision=precision)
    assert count(with_real_weights(made), precision=precision) == count(made)
    assert tolerance(precision).same_answer > 0.9
    assert "coreml" in [name for name in FORMATS if precision in HELD[name]]


def test_every_layer_says_how_it_is_stored():
    graph, images = net(), np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    small = quantize(graph, calibrate(graph, images))
    for found, storage in ((graph, FLOAT), (halved(graph), HALF), (small, INT8), (with_real_weights(small), FLOAT)):
        assert {node.storage for node in found.nodes if isinstance(node, Conv | Linear)} == {storage}
