"""Rounding to the levels that a quantized graph has, where weights make up for the errors of those before them."""

from collections.abc import Sequence

import numpy as np

from pocketvision.compress.columns import Column, column_by_column
from pocketvision.compress.rate_distortion import RoundingLayer, with_levels
from pocketvision.graph.graph import Conv, Graph, Linear
from pocketvision.graph.storage import Integers


def compensated(small: Graph, layers: Sequence[RoundingLayer]) -> Graph:
    """Return the quantized graph with weights rounded column by column, at the same scales and bits.

    What was pruned stays zero. Biases take the mean of the errors.
    """
    found = {layer.node.name: _compensated(small, layer) for layer in layers}
    return Graph(tuple(found.get(node.name, node) for node in small.nodes), small.quant)


def _compensated(small: Graph, layer: RoundingLayer) -> Conv | Linear:
    assert layer.node.weight_scale is not None
    assert isinstance(layer.node.storage, Integers)
    largest = layer.node.storage.largest
    step = layer.node.weight_scale.astype(np.float64).reshape(layer.weight.shape[:2])
    there = layer.weight != 0

    def choose(column: int, values: Column) -> Column:
        return np.asarray(np.clip(np.rint(values), -largest, largest) * there[..., column], np.float32)

    weight = (layer.weight / step[..., None]).astype(np.float32)
    levels = column_by_column(weight, layer.solver.astype(np.float32), choose).astype(np.int64)
    return with_levels(layer, levels, step, small)
