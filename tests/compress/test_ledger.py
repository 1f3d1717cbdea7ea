"""What a ledger says of weights: bytes, packed bytes, entropy and zeros."""

import zlib
from dataclasses import replace

import numpy as np
import pytest

from pocketvision.compress.compress import compress
from pocketvision.compress.ledger import LedgerEntry, code_bits, weight_content
from pocketvision.graph.graph import Conv, Graph
from pocketvision.graph.sketch import Sketch


def test_a_code_of_equal_symbols_needs_its_logarithm():
    assert code_bits(np.array([5, 5, 5, 5])) == pytest.approx(40)
    assert code_bits(np.array([7, 0])) == 0
    assert code_bits(np.array([3, 1])) == pytest.approx(3 * np.log2(4 / 3) + 2)
    assert code_bits(np.array([], np.int64)) == 0


def test_an_entry_tells_what_weights_hold():
    sketch = Sketch(32, seed=0)
    graph = sketch.finish(sketch.linear(sketch.mean(sketch.conv("image", 4, kernel=1)), 2))
    conv, linear = graph.nodes[1], graph.nodes[-2]
    filled = {
        conv.name: np.array([0, 0, 1, 1] * 3, np.float32).reshape(conv.weight.shape),
        linear.name: np.zeros(linear.weight.shape, np.float32),
    }
    nodes = [replace(n, weight=filled[n.name]) if n.name in filled else n for n in graph.nodes]
    entry = LedgerEntry("some", Graph(tuple(nodes)))
    assert entry.zeros == pytest.approx(14 / 20)
    assert entry.entropy == pytest.approx(12 / 20)


def test_packed_bytes_are_those_of_the_weights_in_file_order(uneven, draw):
    done = compress(uneven(), draw(4))
    last = done.ledger[-1]
    content = weight_content(done.graph)
    assert len(content) == last.weight_bytes
    assert last.packed() == len(zlib.compress(content, 9)) < last.weight_bytes
    first = next(node for node in done.graph.nodes if isinstance(node, Conv))
    assert content[: first.weight.size] == first.weight.transpose(0, 2, 3, 1).tobytes()
    assert 0 <= last.zeros < 0.2 < done.ledger[0].entropy
