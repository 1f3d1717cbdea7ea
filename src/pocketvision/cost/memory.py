"""Peak activation memory: the most that is in memory at one moment of an inference, in the best order of layers.

Every tensor is kept from the layer that makes it to the last one that reads it; a layer's inputs and output are there
together, nothing is computed in place, and all tensors have the same number of bits. What a runtime needs besides
(its own code, scratch memory of a kernel, weights) is not in it. docs/design/decisions/memory.md has the papers' way.
"""

from dataclasses import dataclass

from pocketvision.graph.graph import Graph
from pocketvision.graph.order import flow, schedule, steps


@dataclass(frozen=True)
class Peak:
    """The moment of an inference that needs the most memory."""

    values: int
    layer: str
    """The first layer during which it is reached."""
    tensors: tuple[str, ...]
    """What is in memory then; the layer's output comes last."""
    least: int
    """No order of layers needs fewer values. Less than `values` only where there were too many orders to try."""

    @property
    def exact(self) -> bool:
        """Whether no order of layers can do with less."""
        return self.values == self.least

    def bytes(self, bits: int) -> int:
        """Return the peak in bytes for values of so many bits."""
        return self.values * bits // 8


def peak(graph: Graph) -> Peak:
    """Find the peak of the best order of layers; files are written in that order."""
    found = schedule(graph)
    return _peak(graph, found.order, found.least)


def peak_as_ordered(graph: Graph) -> Peak:
    """Find the peak of the graph's own order of layers."""
    return _peak(graph, tuple(range(len(graph.nodes))), schedule(graph).least)


def peak_activation_bytes(graph: Graph, bytes_per_value: int) -> int:
    """Return the peak of the best order in bytes."""
    return schedule(graph).peak * bytes_per_value


def _peak(graph: Graph, order: tuple[int, ...], least: int) -> Peak:
    step = max(steps(flow(graph), order), key=lambda step: step.values)
    tensors = tuple(graph.nodes[place].name for place in step.alive)
    return Peak(step.values, graph.nodes[step.layer].name, tensors, least)
