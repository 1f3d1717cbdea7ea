"""Weights from a palette: few different ones, near the old ones, found again exactly, and counted."""

import numpy as np
import pytest

from pocketvision.compress.palette import centers, palette_of, palettized
from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.cost import count
from pocketvision.errors import GraphError
from pocketvision.graph.graph import Conv, Linear
from pocketvision.graph.run import run
from pocketvision.graph.sketch import Sketch

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 24, 24, 3), np.uint8)


def net():
    sketch = Sketch(24)
    maps = sketch.depthwise(sketch.conv("image", 32, kernel=3, stride=2))
    return sketch.finish(sketch.linear(sketch.mean(sketch.conv(maps, 256)), 64))


def layers(graph):
    return [node for node in graph.nodes if isinstance(node, Conv | Linear)]


@pytest.mark.parametrize("bits", [2, 4, 6, 8])
def test_few_different_weights_near_the_old_ones(bits):
    graph = net()
    pairs = list(zip(layers(graph), layers(palettized(graph, bits)), strict=True))
    shared = [(old, palette_of(new.weight), new) for old, new in pairs if new is not old]
    assert len(shared) >= 2
    for old, palette, new in shared:
        assert len(palette.table) == 2**palette.bits <= 2**bits
        np.testing.assert_array_equal(palette.table[palette.places] * palette.scale, new.weight)
        for values in (palette.table, palette.scale):
            np.testing.assert_array_equal(values, values.astype(np.float16))
        step = 2.0 ** (1 - bits) * np.abs(old.weight).max()
        assert np.abs(new.weight - old.weight).mean() < step
    alone = [new for old, new in pairs if new is old]
    assert alone, "a depthwise layer as small as this is smaller without a table"
    assert [palette_of(node.weight) for node in alone] == [None] * len(alone)


def test_more_bits_are_nearer_to_the_net_and_larger():
    graph = net()
    expected = run(graph, IMAGES)
    gaps = [np.abs(run(palettized(graph, bits), IMAGES) - expected).max() for bits in (2, 4, 6, 8)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 0.01 < gaps[0]
    sizes = [count(graph, precision=precision).weight_bytes for precision in ("palette2", "palette4", "float16")]
    assert sizes == sorted(sizes)
    assert sizes[0] < 0.35 * sizes[-1]


def test_channels_of_any_size_are_served_by_one_table():
    weight = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    weight *= np.logspace(-3, 1, 64, dtype=np.float32)[:, None]
    weight[7] = 0
    sketch = Sketch(8)
    maps = sketch.finish(sketch.linear(sketch.mean(sketch.conv("image", 64)), 64))
    layer = next(node for node in maps.nodes if isinstance(node, Linear))
    layer.weight[:] = weight
    found = next(node for node in palettized(maps, 6).nodes if isinstance(node, Linear)).weight
    largest = np.abs(weight).max(axis=1)
    assert (np.abs(found - weight).max(axis=1) <= 0.12 * largest).all()
    assert (found[7] == 0).all()
    assert palette_of(found).bits == 6


def test_centers_lie_where_the_values_are():
    values = np.concatenate([np.full(50, -1.0), np.full(30, 0.25), np.full(20, 1.0)])
    assert set(centers(values, 4)) >= {-1.0, 0.25, 1.0}
    assert np.array_equal(centers(np.array([0.5, 0.5]), 4), [0.5])


def test_what_has_no_palette_says_why():
    graph = net()
    with pytest.raises(GraphError, match="2, 4, 6, 8 bits, not 5"):
        palettized(graph, 5)
    with pytest.raises(GraphError, match="start from the float graph"):
        palettized(quantize(graph, calibrate(graph, IMAGES)), 4)
