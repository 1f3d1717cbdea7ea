"""SqueezeNet as Deep Compression published it: the real file, a written one, and damaged ones."""

import contextlib

import numpy as np
import pytest

from pocketvision.errors import WeightsError
from pocketvision.models import build_spec
from pocketvision.weights import load_into, read
from pocketvision.weights.deep_compression import coded, deep_compression_bytes, read_deep_compression
from pocketvision.weights.recognize import slots

FILE = "compressed_SqueezeNet.net"


def test_the_real_file_has_its_415921_weights(shared_weights):
    weights = read(shared_weights / FILE)
    assert (weights.spec.name, weights.spec.num_classes, weights.image.resolution) == ("squeezenet1_0", 1000, 227)
    kept = {key: np.count_nonzero(value) for key, value in weights.tensors.items() if key.endswith(".weight")}
    assert sum(kept.values()) == 415_921
    whole = sum(value.size for value in weights.tensors.values())
    assert whole == 1_248_424
    report = load_into(build_spec(weights.spec), weights, keep_head=True)
    assert (report.loaded, report.fresh) == (52, ())


def test_the_real_file_is_pruned_as_published(shared_weights):
    """The kept shares of the decoded file: all of conv1 and most squeezes, a third of the 3x3, a fifth of conv10."""
    tensors = read(shared_weights / FILE).tensors
    share = {key: np.count_nonzero(value) / value.size for key, value in tensors.items()}
    assert share["features.0.weight"] > 0.97
    assert share["features.3.expand3x3.weight"] == pytest.approx(0.33, abs=0.005)
    assert share["features.12.expand3x3.weight"] == pytest.approx(0.30, abs=0.005)
    assert share["classifier.1.weight"] == pytest.approx(0.20, abs=0.01)


SHAPES = [(2, 3, 1, 1), (2, 20, 1, 1)]


def written(*, gaps=(0, 3, 15, 2), codes=(1, 2, 0, 3), counts=None):
    """Write two convolutions, the first with all its six weights of code 1."""
    book = np.arange(256, dtype="<f4") / 2
    parts = [np.array(counts or (6, len(codes)), "<u4").tobytes()]
    for nibbles, stored in (((0,) * 6, (1,) * 6), (gaps, codes)):
        pairs = [*nibbles, 0] if len(nibbles) % 2 else nibbles
        packed = [low | high << 4 for low, high in zip(pairs[::2], pairs[1::2], strict=True)]
        parts += [book.tobytes(), np.array([5, 6], "<f4").tobytes(), bytes(stored), bytes(packed)]
    return b"".join(parts)


def test_gaps_codes_and_fillers(tmp_path):
    path = tmp_path / "a.net"
    path.write_bytes(written())
    first, second = read_deep_compression(path, SHAPES)
    assert first.weight.ravel().tolist() == [0.5] * 6
    assert second.bias.tolist() == [5, 6]
    # Places 0 and 4, then a filler of value 0 at 20, then 23.
    assert np.flatnonzero(second.weight).tolist() == [0, 4, 23]
    assert second.weight.ravel()[[0, 4, 20, 23]].tolist() == [0.5, 1.0, 0.0, 1.5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cut short"),
        (written()[:-1], "cut short"),
        (written() + b"x", "1 bytes behind"),
        (written(gaps=(15, 15, 15, 15)), r"beyond its convolution \[2, 20, 1, 1\]"),
        (written(counts=(2**32 - 1, 4)), "cut short"),
    ],
)
def test_damaged_files(tmp_path, content, message):
    path = tmp_path / "a.net"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_deep_compression(path, SHAPES)
    with pytest.raises(WeightsError):
        read(path)


def test_random_damage_of_the_real_file_never_raises_anything_else(shared_weights, tmp_path):
    content, rng = (shared_weights / FILE).read_bytes(), np.random.default_rng(0)
    path = tmp_path / FILE
    for row in rng.integers(0, 2000, (30, 4)):
        damaged = bytearray(content)
        for place in row:
            damaged[place] = int(rng.integers(256))
        path.write_bytes(damaged)
        with contextlib.suppress(WeightsError):
            read(path)


def test_the_real_file_is_written_again_bit_for_bit(shared_weights):
    shapes = [slot.shape for slot in slots("squeezenet1_0", 1.0, 1000)]
    layers = read_deep_compression(shared_weights / FILE, shapes)
    assert deep_compression_bytes(layers) == (shared_weights / FILE).read_bytes()


@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.97, 1.0])
def test_what_is_written_is_read_back(zeros, tmp_path):
    rng = np.random.default_rng(0)
    weights = [rng.choice(rng.standard_normal(200), (*shape, 40)).astype(np.float32) for shape in ((7, 3), (5,))]
    for weight in weights:
        weight[rng.random(weight.shape) < zeros] = 0
    layers = [coded(weight, rng.standard_normal(len(weight)).astype(np.float32)) for weight in weights]
    path = tmp_path / "a.net"
    path.write_bytes(deep_compression_bytes(layers))
    for layer, found in zip(layers, read_deep_compression(path, [weight.shape for weight in weights]), strict=True):
        for one, other in zip(layer, found, strict=True):
            np.testing.assert_array_equal(one, other)


def test_more_values_than_codes_are_told():
    with pytest.raises(WeightsError, match="256 different weights, and a code has 8 bits"):
        coded(np.arange(1, 257, dtype=np.float32), np.zeros(1, np.float32))
