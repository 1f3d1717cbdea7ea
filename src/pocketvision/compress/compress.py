"""From a trained graph to the smaller one, with a ledger of the bytes each step leaves."""

from dataclasses import dataclass
from typing import NamedTuple

from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.graph.graph import Affine, Conv, Graph, Linear
from pocketvision.graph.run import Images
from pocketvision.progress import Progress, Silent


class Entry(NamedTuple):
    """The bytes of weights, biases and weight scales after a step."""

    step: str
    weight_bytes: int


Ledger = tuple[Entry, ...]


@dataclass(frozen=True, eq=False)
class Compressed:
    """The quantised graph and how it got there."""

    graph: Graph
    ledger: Ledger


def compress(graph: Graph, images: Images, *, progress: Progress | None = None) -> Compressed:
    """Quantise a float graph to int8, calibrated on images [N, R, R, 3]; some 100 training pictures are enough."""
    small = quantize(graph, calibrate(graph, images, progress=progress or Silent()))
    return Compressed(small, (Entry("float", weight_bytes(graph)), Entry("int8", weight_bytes(small))))


def weight_bytes(graph: Graph) -> int:
    """Count the bytes of all weights, biases and weight scales."""
    layers = [node for node in graph.nodes if isinstance(node, Conv | Linear | Affine)]
    scales = [node.weight_scale for node in layers if not isinstance(node, Affine) and node.weight_scale is not None]
    return sum(array.nbytes for node in layers for array in (node.weight, node.bias)) + sum(s.nbytes for s in scales)
