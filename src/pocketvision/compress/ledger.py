"""What each step leaves: bytes of weights as they lie in a file, packed, and how much they tell."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pocketvision.cost import rules
from pocketvision.graph.graph import Affine, Array, Conv, Graph, Linear
from pocketvision.graph.storage import Shared, Sparse
from pocketvision.packing import DEFLATE, packed_bytes
from pocketvision.weights.deep_compression import codes_of, gaps_of, packed_gaps


@dataclass(frozen=True, eq=False)
class LedgerEntry:
    """The net after a step; what is not asked for is not counted."""

    step: str
    graph: Graph

    @property
    def weight_bytes(self) -> int:
        """Return the bytes of weights, biases and weight scales."""
        return weight_bytes(self.graph)

    @cached_property
    def entropy(self) -> float:
        """Return the bits a weight that a code for each layer's values alone would need, without its table."""
        found = [np.unique_counts(node.weight).counts for node in layers_of(self.graph)]
        return float(sum(code_bits(counts) for counts in found) / max(sum(int(each.sum()) for each in found), 1))

    @cached_property
    def zeros(self) -> float:
        """Return the share of weights that are zero, 0..1."""
        layers = layers_of(self.graph)
        return sum(int((node.weight == 0).sum()) for node in layers) / max(sum(node.weight.size for node in layers), 1)

    def packed(self, compressor: str = DEFLATE) -> int:
        """Return the bytes of weights, biases and scales under a compressor."""
        return packed_bytes(weight_content(self.graph), compressor)


Ledger = tuple[LedgerEntry, ...]


def code_bits(counts: NDArray[np.int64]) -> float:
    """Return the bits of a text whose symbols occur so often, in the shortest code of each symbol by itself."""
    seen = counts[counts > 0].astype(np.float64)
    return float(seen @ (np.log2(seen.sum()) - np.log2(seen))) if len(seen) else 0.0


def layers_of(graph: Graph) -> list[Conv | Linear | Affine]:
    """Return the nodes that hold weights."""
    return [node for node in graph.nodes if isinstance(node, Conv | Linear | Affine)]


def weight_bytes(graph: Graph) -> int:
    """Count the bytes of all weights, biases and weight scales as they are stored."""
    return sum(rules.weight_bytes(node) for node in graph.nodes)


def weight_content(graph: Graph) -> bytes:
    """Return weights, biases and scales one after the other, dense weights in the order of LiteRT files."""
    return b"".join(np.ascontiguousarray(array).tobytes() for node in layers_of(graph) for array in _arrays(node))


def _arrays(node: Conv | Linear | Affine) -> list[Array]:
    weight = node.weight
    if not isinstance(node, Affine) and isinstance(node.storage, Sparse | Shared):
        return [*_entries(weight, node.storage), node.bias]
    if weight.ndim == 4:
        weight = weight.transpose(1, 2, 3, 0) if weight.shape[1] == 1 else weight.transpose(0, 2, 3, 1)
    scale = None if isinstance(node, Affine) else node.weight_scale
    return [weight, node.bias] if scale is None else [weight, node.bias, scale]


def _entries(weight: Array, stored: Sparse | Shared) -> list[Array]:
    """Return what lies in a file of weights that are not zero: values, or a table and a byte for each place in it, and
    gaps."""
    found = gaps_of(weight)
    if isinstance(stored, Shared):
        table, codes = codes_of(weight, found)
        return [table, codes, packed_gaps(found)]
    values = np.zeros(len(found.gaps), np.float32)
    values[found.ends] = weight[weight != 0]
    return [values, packed_gaps(found)]
