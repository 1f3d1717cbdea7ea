"""Memory as MobileNetV2 counts it (arXiv 1801.04381, Table 3): the widest map that is kept whole at each size.

One tensor counts at a time, not a layer's input beside its output, and some tensors do not count at all, because they
can be computed bit by bit (section 5 of that paper): what lies inside a block around its depthwise convolution, where
the block ends in a linear convolution or a join, and a convolution that only a pool reads. The published peaks of
MobileNetV1, MobileNetV2 and ShuffleNet are 800K, 200K and 600K in the first version of the paper and 1600K, 400K and
600K in the last; docs/design/decisions/memory.md says why.
"""

from dataclasses import dataclass
from typing import Literal

from pocketvision.graph.graph import (
    Activate,
    Add,
    Concat,
    Conv,
    GlobalAvgPool,
    Graph,
    Input,
    MaxPool,
    Node,
    Shuffle,
    Softmax,
)

BYTES_PER_VALUE = 2  # "We assume 16-bit floats for activations."


@dataclass(frozen=True)
class PaperCell:
    """A cell of Table 3: the widest map that is kept whole at one size."""

    size: int
    """Height and width of the map."""
    channels: int
    bytes: int
    """At 16 bits a value; the paper prints thousands of them and calls them Kb."""


@dataclass(frozen=True)
class PaperMemory:
    """A column of Table 3, the largest maps first."""

    cells: tuple[PaperCell, ...]
    half: int
    """Half the image's side."""

    @property
    def last_version(self) -> int:
        """Return the column's `max` in bytes as the last version of the paper counts it, over all sizes."""
        return max(cell.bytes for cell in self.cells)

    @property
    def first_version(self) -> int:
        """Return it as the first version counts it: maps of half the image's side are O(1) there."""
        return max(cell.bytes for cell in self.cells if cell.size < self.half)


def paper_memory(graph: Graph, *, listed: Literal["own", "read"] = "own") -> PaperMemory:
    """Count the maps that are kept whole, by their size; made for MobileNetV1, MobileNetV2 and ShuffleNet.

    `own` lists a map under its own size. `read` lists a block's output under the size of what the block reads, as
    the paper's column of MobileNetV2 does from 56x56 down (32 channels at 56x56, where the net carries 24); the
    first version's 200K follows from that.
    """
    hidden = _inside_blocks(graph) | _only_pooled(graph)
    widest: dict[int, int] = {}
    for node in graph.nodes:
        if node.name in hidden or isinstance(node, Input | Softmax):
            continue
        channels = graph.shapes[node.name][0]
        size = _side(graph, node.name)
        if listed == "read" and size > 1:
            size = max(size, _size_read(graph, node, hidden))
        widest[size] = max(widest.get(size, 0), channels)
    cells = (PaperCell(size, widest[size], widest[size] * size * size * BYTES_PER_VALUE) for size in sorted(widest))
    return PaperMemory(tuple(cells)[::-1], graph.input.resolution // 2)


def _side(graph: Graph, name: str) -> int:
    shape = graph.shapes[name]
    return shape[1] if len(shape) == 3 else 1


def _inside_blocks(graph: Graph) -> set[str]:
    """Find what a depthwise convolution reads and gives where a 1x1 convolution closes the block after it."""
    nodes = {node.name: node for node in graph.nodes}
    hidden: set[str] = set()
    for node in graph.nodes:
        if not (isinstance(node, Conv) and node.depthwise):
            continue
        readers = graph.consumers(node.name)
        if not all(_closes(graph, reader) for reader in readers):
            continue
        source = nodes[node.inputs[0]]
        hidden |= {node.name, source.name}
        while isinstance(source, Shuffle | Activate):
            source = nodes[source.inputs[0]]
            hidden.add(source.name)
    return hidden


def _closes(graph: Graph, node: Node) -> bool:
    """Tell whether a layer ends a block: a linear convolution, or one that only a join reads."""
    if not isinstance(node, Conv):
        return False
    readers = graph.consumers(node.name)
    joined = all(isinstance(reader, Add | Concat) for reader in readers)
    return joined or (node.activation == "none" and not any(isinstance(reader, Activate) for reader in readers))


def _only_pooled(graph: Graph) -> set[str]:
    return {
        node.name
        for node in graph.nodes
        if isinstance(node, Conv)
        and all(isinstance(reader, MaxPool | GlobalAvgPool) for reader in graph.consumers(node.name))
    }


def _size_read(graph: Graph, node: Node, hidden: set[str]) -> int:
    """Return the largest side of the maps kept whole that a block reads; the image is none of them."""
    nodes = {node.name: node for node in graph.nodes}
    sides = [0]
    ahead = list(node.inputs)
    while ahead:
        name = ahead.pop()
        if name in hidden:
            ahead += nodes[name].inputs
        elif not isinstance(nodes[name], Input):
            sides.append(_side(graph, name))
    return max(sides)
