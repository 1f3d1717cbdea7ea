"""The means of a float graph: biases that give every layer's sums those that they had before its weights changed."""

from dataclasses import replace

import numpy as np

from pocketvision.compress.measure import Measured
from pocketvision.graph.graph import Conv, Graph, Linear, Node
from pocketvision.graph.run import Images, batches, kernel
from pocketvision.graph.sums import Tensor
from pocketvision.progress import Progress, Silent, track


def correct_means(graph: Graph, measured: Measured, images: Images, *, progress: Progress | None = None) -> Graph:
    """Return the float graph with biases by which its sums over images [N, R, R, C] have the means of `measured`.

    Each layer is corrected for all that changed before it, the corrected layers among them. All tensors of the images
    that are still read are held at once.
    """
    size = max(len(batch) for batch in batches(graph, images))
    alive: dict[str, Tensor] = {}
    nodes: list[Node] = []
    last_use = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    for index, found in track(enumerate(graph.nodes), progress or Silent(), "correct means", len(graph.nodes)):
        inputs = [alive[name] for name in found.inputs] or [images]
        node = _corrected(graph, found, inputs, measured, size) if isinstance(found, Conv | Linear) else found
        nodes.append(node)
        alive[node.name] = _run(graph, node, inputs, size)
        del inputs
        alive = {name: tensor for name, tensor in alive.items() if last_use.get(name, -1) > index}
    return Graph(tuple(nodes))


def _corrected(graph: Graph, node: Conv | Linear, inputs: list[Tensor], measured: Measured, size: int) -> Conv | Linear:
    sums = _run(graph, replace(node, activation="none"), inputs, size)
    means = sums.mean(axis=tuple(range(sums.ndim - 1)), dtype=np.float64)
    return replace(node, bias=(node.bias.astype(np.float64) + measured[node.name].mean - means).astype(np.float32))


def _run(graph: Graph, node: Node, inputs: list[Tensor], size: int) -> Tensor:
    starts = range(0, len(inputs[0]), size)
    return np.concatenate([kernel(graph, node, [tensor[i : i + size] for tensor in inputs]) for i in starts])
