"""Weights in 16 bits: half the file, and answers that differ in the fourth digit; computed in 32 bits all the same."""

from dataclasses import replace

import numpy as np

from pocketvision.errors import GraphError
from pocketvision.graph.graph import Conv, Graph, Linear, Node
from pocketvision.graph.lower import without_affines
from pocketvision.graph.storage import HALF


def halved(graph: Graph) -> Graph:
    """Return a float graph with float16 weights; raises GraphError for integers, or weights beyond float16's range."""
    if graph.quant is not None:
        raise GraphError("the graph is quantized already; start from the float graph")
    return Graph(tuple(_halved(node) for node in without_affines(graph).nodes))


def _halved(node: Node) -> Node:
    if not isinstance(node, Conv | Linear):
        return node
    if float(np.abs(node.weight).max(initial=0)) > float(np.finfo(np.float16).max):
        raise GraphError(f"a weight of '{node.name}' is too large for float16; export it as float or int8")
    return replace(node, weight=node.weight.astype(np.float16), storage=HALF)
