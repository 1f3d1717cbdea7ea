"""What Huffman's code makes of shared weights: the last step of Deep Compression (Han et al. 2016, section 4)."""

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.prune import Layer
from pocketvision.graph.storage import GAP_BITS, Shared
from pocketvision.weights.deep_compression import codes_of, gaps_of


def huffman_bits(counts: Sequence[int]) -> int:
    """Return the bits of a text whose symbols occur so often, each in its own whole number of bits (Huffman 1952)."""
    heap = [int(count) for count in counts if count]
    if len(heap) == 1:
        return heap[0]
    heapq.heapify(heap)
    bits = 0
    while len(heap) > 1:
        pair = heapq.heappop(heap) + heapq.heappop(heap)
        bits += pair
        heapq.heappush(heap, pair)
    return bits


def huffman_bytes(node: Layer) -> int:
    """Return the bytes of a layer of shared weights whose places and gaps each have a Huffman code of their own.

    The codes' tables are the lengths of their words, a byte each; shared values and biases stay float32.
    """
    assert isinstance(node.storage, Shared)
    entries = gaps_of(node.weight)
    _, codes = codes_of(node.weight, entries)
    tables = int(2**node.storage.bits) + int(2**GAP_BITS)
    text = sum(huffman_bits(_counts(values)) for values in (codes, entries.gaps))
    return -(-text // 8) + tables + 4 * (int(2**node.storage.bits) + len(node.bias))


def _counts(values: NDArray[np.uint8]) -> list[int]:
    return [int(count) for count in np.bincount(values)]
