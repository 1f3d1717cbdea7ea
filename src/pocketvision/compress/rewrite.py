"""Layers changed one after the other, each under what those before it give since."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.graph.graph import Conv, Graph, Linear, Node
from pocketvision.graph.run import Images, batches, kernel
from pocketvision.progress import Progress, Silent, track

Values = NDArray[Any]
"""A tensor of all images."""
Run = Callable[[Node, Sequence[Values]], Values]
"""Runs a node over all images."""
Change = Callable[[Conv | Linear, Sequence[Values], Run], Conv | Linear]
"""From a layer and what it reads to the layer that takes its place."""


def rewritten(graph: Graph, images: Images, change: Change, title: str, progress: Progress | None = None) -> Graph:
    """Return the graph with every layer changed under images [N, R, R, C].

    All tensors of the images that are still read are held at once: for 100 images of 224 pixels in int8 some 250 MB.
    """
    size = max(len(batch) for batch in batches(graph, images))
    alive: dict[str, Values] = {}
    nodes: list[Node] = []
    last_use = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}

    def run(node: Node, inputs: Sequence[Values]) -> Values:
        starts = range(0, len(inputs[0]), size)
        return np.concatenate([kernel(graph, node, [values[i : i + size] for values in inputs]) for i in starts])

    for index, found in track(enumerate(graph.nodes), progress or Silent(), title, len(graph.nodes)):
        inputs = [alive[name] for name in found.inputs] or [images]
        node = change(found, inputs, run) if isinstance(found, Conv | Linear) else found
        nodes.append(node)
        alive[node.name] = run(node, inputs)
        del inputs
        alive = {name: values for name, values in alive.items() if last_use.get(name, -1) > index}
    return Graph(tuple(nodes), graph.quant)
