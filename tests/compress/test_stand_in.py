"""Weights that pack as chosen ones do: the bits of each layer, and downloads of nets that never gave a figure."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketvision.compress.ledger import LedgerEntry, code_bits
from pocketvision.compress.search import STRENGTHS, RateSearch
from pocketvision.compress.stand_in import bits_of, kind_of, levels_of, packs_as_chosen
from pocketvision.export.onnx import to_bytes
from pocketvision.fit.timing import BITS_OF_FEW, BITS_OF_MANY, chosen_bits
from pocketvision.graph.graph import Conv, Graph, Linear
from pocketvision.graph.sketch import Sketch
from pocketvision.graph.trace import trace
from pocketvision.images.prepare import load
from pocketvision.models import build_spec
from pocketvision.packing import packed_bytes
from pocketvision.weights import load_into, read

NOISE = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)


@pytest.mark.parametrize("bits", [0.3, 1.0, 2.5, 4.0, 6.5])
def test_levels_have_the_bits_that_are_asked_for(bits: float) -> None:
    levels, shares = levels_of(bits)
    seen = shares[shares > 0]
    assert -(seen * np.log2(seen)).sum() == pytest.approx(bits, abs=0.01)
    assert levels[shares.argmax()] == 0


def small_net(classes: int = 10) -> Graph:
    sketch = Sketch(32)
    x = sketch.conv("image", 16, kernel=3, stride=2)
    for channels in (64, 96, 192):
        x = sketch.conv(sketch.depthwise(x), channels)
    return sketch.finish(sketch.linear(sketch.mean(x), classes))


def layers(graph: Graph) -> list[Conv | Linear]:
    return [node for node in graph.nodes if isinstance(node, Conv | Linear)]


def test_layers_of_another_kind_take_other_bits_and_the_mean_is_kept() -> None:
    found = layers(small_net())
    bits = bits_of(found, 3.0)
    sizes = [node.weight.size for node in found]
    assert np.dot(sizes, bits) / sum(sizes) == pytest.approx(3.0, abs=0.01)
    by_kind = {kind_of(node, found): each for node, each in zip(found, bits, strict=True)}
    assert by_kind["depthwise"] > by_kind["first"] > by_kind["last"] > by_kind["conv"]
    many = layers(small_net(classes=1000))
    assert bits_of(many, 3.0)[-1] < min(bits_of(many, 3.0)[:-1])


def test_the_stand_in_has_the_net_s_shapes_and_the_bits() -> None:
    plain = RateSearch(small_net(), NOISE).rounded()
    made = packs_as_chosen(plain, 2.5)
    assert made.quant is plain.quant
    assert [node.weight.shape for node in layers(made)] == [node.weight.shape for node in layers(plain)]
    assert LedgerEntry("", made).entropy == pytest.approx(2.5, abs=0.05)
    assert to_bytes(made) == to_bytes(packs_as_chosen(plain, 2.5))


@pytest.mark.parametrize("strength", [2.0**-6, 2.0**-2])
def test_a_net_that_gave_no_figure_is_predicted_within_a_tenth(strength: float) -> None:
    search = RateSearch(small_net(), NOISE)
    real = search.at(STRENGTHS.index(strength)).graph
    made = packs_as_chosen(search.rounded(), LedgerEntry("", real).entropy)
    assert packed_bytes(to_bytes(made)) == pytest.approx(packed_bytes(to_bytes(real)), rel=0.1)


@pytest.mark.slow
def test_published_weights_that_gave_no_figure_are_predicted_within_a_tenth(
    shared_weights: Path, shared_data: Path
) -> None:
    weights = read(shared_weights / "mobilenet_v1_0.5_160_quant.tflite")
    module = build_spec(weights.spec)
    load_into(module, weights, keep_head=True)
    paths = sorted((shared_data / "imagenet-sample").glob("*.jpg"))[::25]
    images = np.stack([load(path, replace(weights.image, resolution=160)) for path in paths])
    search = RateSearch(trace(module.eval(), weights.image), images)
    real = search.at(STRENGTHS.index(0.5)).graph
    mean = LedgerEntry("", real).entropy
    assert mean == pytest.approx(chosen_bits(1001), rel=0.1), "at about no loss, as measured"
    made = packs_as_chosen(search.rounded(), mean)
    assert packed_bytes(to_bytes(made)) == pytest.approx(packed_bytes(to_bytes(real)), rel=0.1)


def test_more_classes_take_more_bits() -> None:
    found = [chosen_bits(classes) for classes in (2, 10, 100, 1000, 5000)]
    assert found == sorted(found)
    assert (found[0], found[1], found[-2], found[-1]) == (BITS_OF_FEW, BITS_OF_FEW, BITS_OF_MANY, BITS_OF_MANY)


def test_a_code_s_bits_are_those_of_its_levels() -> None:
    made = packs_as_chosen(RateSearch(small_net(), NOISE).rounded(), 2.0)
    for node, bits in zip(layers(made), bits_of(layers(made), 2.0), strict=True):
        if node.weight.size > 5000:
            assert code_bits(np.unique_counts(node.weight).counts) / node.weight.size == pytest.approx(bits, abs=0.1)
