"""Weights from a palette: few different ones, near the old ones, found again exactly, and counted."""

import numpy as np
import pytest

from pocketvision.compress.palette import centers, palettized, table_of
from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.compress.temperature import with_temperature
from pocketvision.cost import count
from pocketvision.errors import GraphError
from pocketvision.graph.graph import Conv, Linear
from pocketvision.graph.run import run
from pocketvision.graph.sketch import Sketch
from pocketvision.graph.storage import Floats, Palette

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
    pairs = list(zip(layers(graph), layers(palettized(graph, Palette(bits))), strict=True))
    shared = [(old, table_of(new), new) for old, new in pairs if isinstance(new.storage, Palette)]
    assert len(shared) >= 2
    for old, table, new in shared:
        assert len(table.values) == 2**new.storage.bits <= 2**bits
        np.testing.assert_array_equal(table.values[table.places] * table.scale, new.weight)
        for values in (table.values, table.scale):
            np.testing.assert_array_equal(values, values.astype(np.float16))
        step = 2.0 ** (1 - bits) * np.abs(old.weight).max()
        assert np.abs(new.weight - old.weight).mean() < step
    alone = [new for _, new in pairs if new.storage == Floats(16, 16)]
    assert alone, "a depthwise layer as small as this is smaller without a table"
    assert len(alone) + len(shared) == len(pairs)


def test_more_bits_are_nearer_to_the_net_and_larger():
    graph = net()
    expected = run(graph, IMAGES)
    gaps = [np.abs(run(palettized(graph, Palette(bits)), IMAGES) - expected).max() for bits in (2, 4, 6, 8)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 0.01 < gaps[0]
    asked = ("palette2", "palette4", "float16")
    sizes = [count(graph, precision=precision).weight_bytes for precision in asked]
    assert sizes[:2] == [count(palettized(graph, Palette(bits))).weight_bytes for bits in (2, 4)]
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
    shared = next(node for node in palettized(maps, Palette(6)).nodes if isinstance(node, Linear))
    found = shared.weight
    largest = np.abs(weight).max(axis=1)
    assert (np.abs(found - weight).max(axis=1) <= 0.12 * largest).all()
    assert (found[7] == 0).all()
    assert shared.storage == Palette(6)


def test_centers_lie_where_the_values_are():
    values = np.concatenate([np.full(50, -1.0), np.full(30, 0.25), np.full(20, 1.0)])
    assert set(centers(values, 4)) >= {-1.0, 0.25, 1.0}
    assert np.array_equal(centers(np.array([0.5, 0.5]), 4), [0.5])


def test_what_has_no_palette_says_why():
    graph = net()
    with pytest.raises(GraphError, match="2, 4, 6, 8 bits, not 5"):
        palettized(graph, Palette(5))
    with pytest.raises(GraphError, match="start from the float graph"):
        palettized(quantize(graph, calibrate(graph, IMAGES)), Palette(4))


def test_a_temperature_leaves_tables_and_divides_scales():
    before = palettized(net(), Palette(4))
    plain, divided = (layers(graph)[-1] for graph in (before, with_temperature(before, 1.7)))
    old, new = table_of(plain), table_of(divided)
    np.testing.assert_array_equal(old.places, new.places)
    np.testing.assert_array_equal(old.values, new.values)
    np.testing.assert_allclose(new.scale, old.scale / 1.7, rtol=1e-6)
