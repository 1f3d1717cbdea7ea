"""Unstructured pruning: single weights become zero and stay it, by their size or by what the answer loses."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.columns import Column, column_by_column, sensitivity_of, solver_of
from pocketvision.compress.moments import LayerMoments, Moments
from pocketvision.errors import GraphError
from pocketvision.graph.graph import Conv, Graph, Linear
from pocketvision.graph.storage import Sparse
from pocketvision.weights.deep_compression import gaps_of

Layer = Conv | Linear


def weighted(graph: Graph) -> list[Layer]:
    """Return the convolutions and fully connected layers."""
    return [node for node in graph.nodes if isinstance(node, Layer)]


def with_layers(graph: Graph, changed: Mapping[str, Layer]) -> Graph:
    """Return the graph with other layers of the same names."""
    return Graph(tuple(changed.get(node.name, node) for node in graph.nodes), graph.quant)


def sparse(node: Layer, weight: NDArray[np.float32]) -> Layer:
    """Return a layer with weights that are mostly zero, stored as those that are not."""
    return replace(node, weight=weight, storage=Sparse(len(gaps_of(weight).gaps)))


def pruned_by_size(graph: Graph, share: float) -> Graph:
    """Return a float graph whose layers each lost a share of their weights, the smallest (Han et al. 2015).

    Depthwise layers keep theirs: they hold few of a net's weights, and each counts for much.
    """
    layers = [node for node in weighted(_float(graph)) if not (isinstance(node, Conv) and node.depthwise)]
    return with_layers(graph, {node.name: _without_smallest(node, share) for node in layers})


def _without_smallest(node: Layer, share: float) -> Layer:
    kept = np.abs(node.weight) > _border(np.abs(node.weight).ravel(), share)
    return sparse(node, np.where(kept, node.weight, 0).astype(np.float32))


def pruned_by_loss(graph: Graph, moments: Moments, share: float) -> Graph:
    """Return a float graph without Affines that lost a share of all its weights, those by which the answer loses least.

    What a weight costs is the expected loss where the weights behind it in its row make up for it, as they then do:
    Hassibi and Stork 1993, https://proceedings.neurips.cc/paper/1992. Biases take the mean of what is left. `moments`
    are the graph's own.
    """
    layers = weighted(_float(graph))
    solvers = {node.name: solver_of(moments[node.name]) for node in layers}
    losses = {
        node.name: _losses(node, solvers[node.name], moments[node.name], flat=node is layers[-1]) for node in layers
    }
    border = _border(np.concatenate([each.ravel() for each in losses.values()]), share)
    changed = {
        node.name: _compensated(node, losses[node.name] > border, solvers[node.name], moments[node.name])
        for node in layers
    }
    return with_layers(graph, changed)


def _float(graph: Graph) -> Graph:
    if graph.quant is not None:
        raise GraphError("the graph is quantized already; prune the float graph")
    return graph


def _losses(node: Layer, solver: NDArray[np.float64], moments: LayerMoments, *, flat: bool) -> NDArray[np.float64]:
    """Return what the answer loses without each weight, [G, o, K], in nats."""
    weight = node.weight.astype(np.float64).reshape(len(solver), -1, solver.shape[2])
    own = np.diagonal(solver, axis1=1, axis2=2)[:, None, :]
    found: NDArray[np.float64] = sensitivity_of(moments, flat=flat)[..., None] / 2 * np.square(weight / own)
    return found


def _border(values: NDArray[np.float64], share: float) -> float:
    """Return the value that a share of all are not above."""
    gone = round(share * values.size)
    return float(np.partition(values, gone - 1)[gone - 1]) if gone else -1.0


def _compensated(node: Layer, kept: NDArray[np.bool_], solver: NDArray[np.float64], moments: LayerMoments) -> Layer:
    weight = node.weight.astype(np.float64).reshape(kept.shape)
    found = column_by_column(weight.astype(np.float32), solver.astype(np.float32), keeping(kept, lambda values: values))
    lost = ((weight - found) @ moments.mean[..., None])[..., 0].ravel()
    changed = sparse(node, found.reshape(node.weight.shape))
    return replace(changed, bias=(node.bias.astype(np.float64) + lost).astype(np.float32))


def keeping(kept: NDArray[np.bool_], change: Callable[[Column], Column]) -> Callable[[int, Column], Column]:
    """Return a choice that changes the weights that are kept, and leaves the others at zero."""
    return lambda column, values: np.where(kept[..., column], change(values), np.float32(0))
