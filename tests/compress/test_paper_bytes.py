"""The bytes after each step of Deep Compression, beside the paper's."""

import heapq

import numpy as np
import pytest

from pocketvision.cli.app import run
from pocketvision.compress.huffman import huffman_bits, huffman_bytes
from pocketvision.compress.ledger import code_bits
from pocketvision.compress.share import with_few_values
from pocketvision.errors import UnknownName
from pocketvision.graph.graph import Linear
from pocketvision.verbs.reproduce import reproduce

FILE = "compressed_SqueezeNet.net"


def test_huffmans_code_is_the_shortest_of_whole_bits():
    assert huffman_bits([5, 5, 5, 5]) == 40
    assert huffman_bits([8, 4, 2, 1, 1]) == 8 + 8 + 6 + 4 + 4
    assert huffman_bits([7, 0]) == 7
    assert huffman_bits([]) == 0
    counts = np.random.default_rng(0).integers(1, 500, 60)
    assert code_bits(counts) <= huffman_bits(counts) < code_bits(counts) + counts.sum()
    lengths = [(int(count), (place,)) for place, count in enumerate(counts)]
    depths = np.zeros(60, int)
    heapq.heapify(lengths)
    while len(lengths) > 1:
        (one, left), (other, right) = heapq.heappop(lengths), heapq.heappop(lengths)
        depths[list(left + right)] += 1
        heapq.heappush(lengths, (one + other, left + right))
    assert huffman_bits(counts) == counts @ depths


def test_a_layer_under_huffmans_code_has_tables():
    weight = np.tile(np.array([[1, 2, 1, 0, 1, 2, 1, 1]], np.float32), (4, 1))
    node = with_few_values(Linear("n", (), weight, np.zeros(4, np.float32), "none", 36), 3)
    # 28 entries: 20 of one value and 8 of another, 24 without a gap and 4 behind one.
    assert huffman_bytes(node) == (28 + 28) // 8 + 8 + 16 + 4 * (8 + 4)


def test_the_released_weights_weigh_what_the_paper_says(shared_weights, monkeypatch, capsys):
    monkeypatch.setenv("POCKETVISION_WEIGHTS", str(shared_weights))
    assert run(["reproduce", "squeezenet1_0", "--table", "compression"]) == 0
    assert "1 of 2 figures hold" in capsys.readouterr().out
    (found,) = reproduce("squeezenet1_0", table="compression")
    sizes = {cell.row: int(cell.computed.replace(",", "")) for cell in found.cells if cell.column == "bytes"}
    assert sizes["32 bits"] == 4 * 1_248_424
    assert sizes["shared, 8 bits"] == (shared_weights / FILE).stat().st_size - 26 * 4
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)
    assert sizes["shared, 6 bits, Huffman"] < 470_000 < sizes["shared, 6 bits"]


def test_without_the_released_file_it_says_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("POCKETVISION_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path))
    (found,) = reproduce("squeezenet1_0", table="compression")
    assert [(cell.published, cell.verdict) for cell in found.cells] == [
        ("0.66", "not computed"),
        ("0.47", "not computed"),
    ]
    assert "weights get squeezenet1_0" in found.cells[0].reason
    with pytest.raises(UnknownName):
        reproduce("mobilenet_v1", table="compression")
