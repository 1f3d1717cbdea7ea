"""Some nets at both precisions, counted and sized."""

from collections.abc import Callable, Iterable

from pocketvision.budget.forecast import suggested_top1
from pocketvision.cost import count
from pocketvision.errors import GraphError
from pocketvision.graph.graph import Conv, Graph, Linear
from pocketvision.values import Candidate, ModelSpec, Precision

_FILE_BYTES = 6_000
_LAYER_BYTES = {"float": 120, "int8": 700}
"""What a file holds besides weights: manifest and probes, and names and settings of each layer. Measured on
written files; only used to drop candidates, since a taken one is written and weighed."""


def candidates(settings: Iterable[ModelSpec], graph_of: Callable[[ModelSpec], Graph]) -> list[Candidate]:
    """Count every setting at both precisions; best suggested accuracy first, fewer multiply-adds on a tie.

    `graph_of` gives a net's graph (weights may be stand-ins); it is called once for each name, width and depth.
    """
    graphs: dict[tuple[str, float, int | None], Graph] = {}
    found: list[Candidate] = []
    for spec in settings:
        key = (spec.name, spec.width, spec.depth)
        if key not in graphs:
            graphs[key] = graph_of(spec)
        graph = _at(graphs[key], spec, graph_of)
        found += [_candidate(spec, precision, graph) for precision in ("float", "int8")]
    return sorted(found, key=lambda item: (-item.suggested_top1, item.cost.macs, item.precision))


def _at(graph: Graph, spec: ModelSpec, graph_of: Callable[[ModelSpec], Graph]) -> Graph:
    try:
        there = graph.at(spec.resolution)
        _ = there.shapes
    except GraphError:  # a classifier on flattened maps fits one resolution
        return graph_of(spec)
    return there


def _candidate(spec: ModelSpec, precision: Precision, graph: Graph) -> Candidate:
    cost = count(graph, precision=precision)
    weighted = sum(isinstance(node, Conv | Linear) for node in graph.nodes)
    size = cost.weight_bytes + _FILE_BYTES + weighted * _LAYER_BYTES[precision]
    return Candidate(
        spec, precision, cost, size, max(0.0, suggested_top1(spec, precision)), "not needed", "not reached"
    )
