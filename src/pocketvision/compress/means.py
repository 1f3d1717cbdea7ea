"""The means of a float graph: biases that give every layer's sums those that they had before its weights changed."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pocketvision.compress.measure import Measured
from pocketvision.compress.rewrite import Run, Values, rewritten
from pocketvision.graph.graph import Conv, Graph, Linear
from pocketvision.graph.run import Images
from pocketvision.progress import Progress


def correct_means(graph: Graph, measured: Measured, images: Images, *, progress: Progress | None = None) -> Graph:
    """Return the float graph with biases by which its sums over images [N, R, R, C] have the means of `measured`.

    Each layer is corrected for all that changed before it, the corrected layers among them.
    """

    def corrected(node: Conv | Linear, inputs: Sequence[Values], run: Run) -> Conv | Linear:
        sums = run(replace(node, activation="none"), inputs)
        means = sums.mean(axis=tuple(range(sums.ndim - 1)), dtype=np.float64)
        return replace(node, bias=(node.bias.astype(np.float64) + measured[node.name].mean - means).astype(np.float32))

    return rewritten(graph, images, corrected, "correct means", progress)
