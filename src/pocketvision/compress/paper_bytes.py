"""The bytes of SqueezeNet after each step of Deep Compression, beside what its paper prints.

The weights are those of the authors' released file, which was pruned and trained on: what no step here can do without
ImageNet. They are shared anew for fewer bits, without training.
"""

from collections.abc import Iterator

import numpy as np

from pocketvision.compress.huffman import huffman_bytes
from pocketvision.compress.prune import Layer, sparse
from pocketvision.compress.share import with_few_values
from pocketvision.cost.rules import weight_bytes
from pocketvision.cost.tables.cells import Cell, Table, not_computed, not_printed, number
from pocketvision.graph.graph import Linear
from pocketvision.models.catalogue import parse_name
from pocketvision.weights.deep_compression import read_deep_compression
from pocketvision.weights.fetch import present
from pocketvision.weights.recognize import slots
from pocketvision.weights.sources import published_file

NET, FILE = "squeezenet1_0", "compressed_SqueezeNet.net"
PRINTED = {8: "0.66", 6: "0.47"}
"""Megabytes by bits of a weight, as Table 2 of arXiv 1602.07360 has them."""
_UNITS = "thousand KiB, printed as MB"


def compression_tables(name: str) -> tuple[Table, ...]:
    """Return the table of a net's bytes under compression, none for nets without one; nothing is computed yet."""
    if parse_name(name).name != NET:
        return ()
    title, source = "Bytes after each step of Deep Compression", "paper arXiv 1602.07360, Table 2; the released weights"
    return (Table("compression", title, source, steps),)


def steps() -> Iterator[Cell]:
    """Compare the bytes before pruning, after it, after sharing and under Huffman's code."""
    path = present(source) if (source := published_file(FILE)) else None
    if path is None:
        reason = f"{FILE} is not on this machine: pocketvision weights get {NET} --source {FILE}"
        for bits, printed in PRINTED.items():
            yield not_computed(f"shared, {bits} bits", _UNITS, printed, reason=reason)
        return
    found = read_deep_compression(path, [slot.shape for slot in slots(NET, 1.0, 1000)])
    layers: list[Layer] = [
        Linear("", (), layer.weight, layer.bias, "none", layer.weight.size + layer.bias.size) for layer in found
    ]
    yield _bytes("32 bits", sum(weight_bytes(node) for node in layers))
    pruned = [sparse(node, node.weight.astype(np.float32)) for node in layers]
    yield _bytes("pruned, 32 bits", sum(weight_bytes(node) for node in pruned))
    for bits, printed in PRINTED.items():
        yield from _shared([with_few_values(node, bits) for node in pruned], bits, printed)


def _shared(layers: list[Layer], bits: int, printed: str) -> Iterator[Cell]:
    plain, coded = sum(weight_bytes(node) for node in layers), sum(huffman_bytes(node) for node in layers)
    yield _bytes(f"shared, {bits} bits", plain)
    reason = "it lies between what is shared and what is under Huffman's code, and which it is is not said"
    yield number(f"shared, {bits} bits", _UNITS, printed, plain / 1024 / 1000, reason=reason)
    yield _bytes(f"shared, {bits} bits, Huffman", coded)


def _bytes(row: str, size: int) -> Cell:
    return not_printed(row, "bytes", f"{size:,}", reason="")
