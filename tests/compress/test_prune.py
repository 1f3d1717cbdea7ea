"""Pruning, sharing and rounding to few bits: what is taken away, what makes up for it, and what it weighs."""

import numpy as np
import pytest

from pocketvision.compress.compress import compress
from pocketvision.compress.ledger import LedgerEntry, weight_content
from pocketvision.compress.prune import pruned_by_size, weighted
from pocketvision.compress.share import means_from_even, shared
from pocketvision.compress.steps.bias import CorrectBias
from pocketvision.compress.steps.compensate import Compensate
from pocketvision.compress.steps.prune import Magnitude, Prune
from pocketvision.compress.steps.quantize import Quantize
from pocketvision.compress.steps.share import Share
from pocketvision.errors import GraphError, UsageError
from pocketvision.graph.graph import Conv
from pocketvision.graph.run import run
from pocketvision.graph.storage import INT8, Integers, Shared, Sparse


def off(graph, exact, images):
    return float(np.abs(run(graph, images) - exact).mean())


def zeros(graph):
    return [float((node.weight == 0).mean()) for node in weighted(graph)]


def test_what_is_pruned_by_loss_is_made_up_for(uneven, draw):
    graph, images, others = uneven(), draw(96), draw(48, seed=1)
    exact = run(graph, others)
    done = {step: compress(graph, images, steps=(step,)) for step in (Prune(0.4), Magnitude(0.4))}
    assert done[Prune(0.4)].ledger[-1].zeros == pytest.approx(0.4, abs=0.001)
    found = [off(each.graph, exact, others) for each in done.values()]
    assert 0 < found[0] < 0.7 * found[1]
    assert len(set(zeros(done[Prune(0.4)].graph))) > 2, "layers lose different shares"


def test_magnitude_takes_the_smallest_of_each_layer_but_depthwise_ones(uneven):
    graph = uneven()
    for before, after in zip(weighted(graph), weighted(pruned_by_size(graph, 0.25)), strict=True):
        if isinstance(before, Conv) and before.depthwise:
            assert after is before
            continue
        gone = after.weight == 0
        assert gone.sum() == round(0.25 * gone.size)
        assert np.abs(before.weight[gone]).max() <= np.abs(before.weight[~gone]).min()


def test_pruned_weights_stay_zero_in_integers(uneven, draw):
    steps = (Prune(0.5), Quantize(6), Compensate(), CorrectBias())
    done = compress(uneven(), draw(48), steps=steps)
    before, after = done.ledger[1].graph, done.graph
    for exact, rounded in zip(weighted(before), weighted(after), strict=True):
        assert (rounded.weight[exact.weight == 0] == 0).all()
        assert rounded.storage == Integers(6)
        assert np.abs(rounded.weight).max() <= 31


def test_a_layer_shares_few_values_and_keeps_its_zeros(uneven, draw):
    done = compress(uneven(), draw(8), steps=(Magnitude(0.3), Share(4), Quantize()))
    plain, few, small = (weighted(entry.graph) for entry in done.ledger[1:])
    for exact, node, whole in zip(plain, few, small, strict=True):
        assert len(np.unique(node.weight[node.weight != 0])) <= 15
        np.testing.assert_array_equal(node.weight == 0, exact.weight == 0)
        assert len(np.unique(whole.weight)) <= 16
        assert (isinstance(node.storage, Shared), whole.storage) == (True, INT8)


def test_means_begin_evenly_and_end_where_the_values_are():
    values = np.concatenate([np.full(50, -1.0), np.full(30, 0.25), np.full(20, 1.0)])
    assert means_from_even(values, 4).tolist() == [-1.0, 0.25, 1.0]
    assert means_from_even(values, 2).tolist() == [-1.0, pytest.approx(0.55)]


def test_bytes_follow_from_what_is_stored(uneven, draw):
    done = compress(uneven(), draw(8), steps=(Magnitude(0.6), Share(4)))
    _, sparse, few = done.ledger
    conv = weighted(sparse.graph)[0]
    assert isinstance(conv.storage, Sparse)
    assert conv.storage.file_bytes(conv.weight.size, 16) == -(-conv.storage.entries * 36 // 8) + 4 * 16
    assert len(weight_content(sparse.graph)) == sparse.weight_bytes
    assert few.weight_bytes < sparse.weight_bytes < done.ledger[0].weight_bytes
    layers = weighted(few.graph)
    unused = sum(4 * 16 - 4 * len(np.union1d(node.weight, 0)) for node in layers)
    half = sum(node.storage.entries / 2 for node in layers)  # a place has a byte where it lies, and 4 bits are counted
    assert len(weight_content(few.graph)) == pytest.approx(few.weight_bytes - unused + half, abs=len(layers))
    assert few.packed() < sparse.packed()


def test_compensated_rounding_is_nearer_than_plain_rounding(uneven, draw):
    graph, images, others = uneven(), draw(96), draw(48, seed=1)
    exact = run(graph, others)
    ways = [(Quantize(4),), (Quantize(4), CorrectBias()), (Quantize(4), Compensate(), CorrectBias())]
    plain, corrected, best = (off(compress(graph, images, steps=way).graph, exact, others) for way in ways)
    assert best < 0.9 * corrected
    assert corrected < plain


def test_fewer_bits_have_fewer_levels(uneven, draw):
    graph, images = uneven(), draw(8)
    entries = [LedgerEntry("", compress(graph, images, steps=(Quantize(bits),)).graph) for bits in (2, 3, 5, 8)]
    for bits, entry in zip((2, 3, 5, 8), entries, strict=True):
        assert max(int(np.abs(node.weight).max()) for node in weighted(entry.graph)) == 2 ** (bits - 1) - 1
    assert [entry.weight_bytes for entry in entries] == [entries[-1].weight_bytes] * 4
    assert [entry.packed() for entry in entries] == sorted(entry.packed() for entry in entries)


def test_what_comes_too_late_is_told(uneven, draw):
    graph, images = uneven(), draw(4)
    with pytest.raises(UsageError, match="put it before int8"):
        compress(graph, images, steps=(Quantize(), Share(4)))
    with pytest.raises(UsageError, match="put int8 before it"):
        compress(graph, images, steps=(Compensate(), Quantize()))
    small = compress(graph, images, steps=(Quantize(),)).graph
    with pytest.raises(GraphError, match="prune the float graph"):
        pruned_by_size(small, 0.5)
    with pytest.raises(GraphError, match="share the float graph"):
        shared(small, 4)
