"""Peak activation memory: the largest sum of tensors that are alive at one moment of an inference."""

import math

from pocketvision.graph.graph import Graph


def peak_activation_bytes(graph: Graph, bytes_per_value: int) -> int:
    """Return the peak in bytes for the graph's own layer order, every tensor kept until its last reader has run.

    A layer's inputs and output are alive together; nothing is computed in place.
    """
    sizes = {name: math.prod(shape) * bytes_per_value for name, shape in graph.shapes.items()}
    last_use = {name: place for place, node in enumerate(graph.nodes) for name in (*node.inputs, node.name)}
    alive: set[str] = set()
    peak = 0
    for place, node in enumerate(graph.nodes):
        alive.add(node.name)
        peak = max(peak, sum(sizes[name] for name in alive))
        alive = {name for name in alive if last_use[name] > place}
    return peak
