"""The nets that are considered: families x widths x resolutions x {float, int8}, counted and sized."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from pocketvision.budget.forecast import suggested_top1
from pocketvision.cost import count
from pocketvision.errors import GraphError
from pocketvision.graph.graph import Conv, Graph, Linear
from pocketvision.models.catalogue import RESOLUTIONS, family_of
from pocketvision.values import Candidate, ModelSpec, Precision

WIDTHS = {
    "mobilenet_v1": (1.0, 0.75, 0.5, 0.25, 0.1875, 0.125),
    "mobilenet_v2": (1.4, 1.3, 1.0, 0.75, 0.5, 0.35, 0.25),
    "squeezenet1_1": (1.0, 0.75, 0.5, 0.25),
}
"""The papers' widths, and narrower ones where budgets ask for them."""
SCRATCH_HANDICAP = {"squeezenet1_1": 15.0}
"""Points taken from what is suggested where there are no weights to start from: without batch norms a net learns
worse from few images (digits, 32 pixels: 93.8% against 97.1% on validation; docs/measurements/training.md)."""

_FILE_BYTES = 6_000
_LAYER_BYTES = {"float": 120, "int8": 700}
"""What a file holds besides weights: manifest and probes, and names and settings of each layer. Measured on
written files; only used to drop candidates, since a taken one is written and weighed."""


def specs(
    num_classes: int, largest_resolution: int, start: ModelSpec | None = None, *, named: ModelSpec | None = None
) -> list[ModelSpec]:
    """List the settings to consider: those of `start` (a net whose weights are at hand) at every resolution up to
    the largest, the grid of one `named` net, which may be any of the catalogue, or the whole grid."""
    resolutions = [resolution for resolution in RESOLUTIONS if resolution <= largest_resolution]
    if start is not None:
        return [replace(start, num_classes=num_classes, resolution=resolution) for resolution in resolutions]
    grid = WIDTHS if named is None else {named.name: WIDTHS.get(named.name, family_of(named.name).widths)}
    groups = named.groups if named is not None else None
    return [
        ModelSpec(name, width, resolution, num_classes, groups=groups)
        for name, widths in grid.items()
        for width in widths
        for resolution in resolutions
        if resolution >= family_of(name).smallest
    ]


def candidates(
    settings: Iterable[ModelSpec], graph_of: Callable[[ModelSpec], Graph], *, scratch: bool = False
) -> list[Candidate]:
    """Count every setting at both precisions; best suggested accuracy first, fewer multiply-adds on a tie.

    `graph_of` gives a net's graph (weights may be stand-ins); it is called once for each name, width and depth.
    `scratch` tells that training starts without weights.
    """
    graphs: dict[tuple[str, float, int | None], Graph] = {}
    found: list[Candidate] = []
    for spec in settings:
        key = (spec.name, spec.width, spec.depth)
        if key not in graphs:
            graphs[key] = graph_of(spec)
        graph = _at(graphs[key], spec, graph_of)
        found += [_candidate(spec, precision, graph, scratch) for precision in ("float", "int8")]
    return sorted(found, key=lambda item: (-item.suggested_top1, item.cost.macs, item.precision))


def _at(graph: Graph, spec: ModelSpec, graph_of: Callable[[ModelSpec], Graph]) -> Graph:
    try:
        there = graph.at(spec.resolution)
        _ = there.shapes
    except GraphError:  # a classifier on flattened maps fits one resolution
        return graph_of(spec)
    return there


def _candidate(spec: ModelSpec, precision: Precision, graph: Graph, scratch: bool) -> Candidate:
    cost = count(graph, precision=precision)
    weighted = sum(isinstance(node, Conv | Linear) for node in graph.nodes)
    size = cost.weight_bytes + _FILE_BYTES + weighted * _LAYER_BYTES[precision]
    suggested = suggested_top1(spec, precision) - (SCRATCH_HANDICAP.get(spec.name, 0.0) if scratch else 0.0)
    return Candidate(spec, precision, cost, size, max(0.0, suggested), "not needed", "not reached")
