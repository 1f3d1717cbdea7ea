"""The nets that are considered: families x widths x resolutions x {float, int8}, counted and sized."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from pocketvision.budget.forecast import suggested_top1
from pocketvision.cost import count
from pocketvision.graph.graph import Conv, Graph, Linear
from pocketvision.values import Candidate, ModelSpec, Precision

WIDTHS = {
    "mobilenet_v1": (1.0, 0.75, 0.5, 0.25, 0.125),
    "mobilenet_v2": (1.4, 1.3, 1.0, 0.75, 0.5, 0.35, 0.25),
    "squeezenet1_1": (1.0, 0.75, 0.5, 0.25),
}
"""The papers' widths, and half of the smallest where budgets ask for it."""
RESOLUTIONS = (224, 192, 160, 128, 96, 64, 32)

_FILE_BYTES = 6_000
_LAYER_BYTES = {"float": 120, "int8": 700}
"""What a file holds besides weights: manifest and probes, and names and settings of each layer. Measured on
written files; only used to drop candidates, since a taken one is written and weighed."""


def largest_useful_resolution(median_short_side: int) -> int:
    """Return the smallest usual resolution that loses no detail of pictures of this size in pixels."""
    enough = [resolution for resolution in RESOLUTIONS if resolution >= median_short_side]
    return min(enough, default=max(RESOLUTIONS))


def specs(num_classes: int, largest_resolution: int, start: ModelSpec | None = None) -> list[ModelSpec]:
    """List the settings to consider: those of `start` (a net whose weights are at hand) at every resolution up to
    the largest, or the whole grid."""
    resolutions = [resolution for resolution in RESOLUTIONS if resolution <= largest_resolution]
    if start is not None:
        return [replace(start, num_classes=num_classes, resolution=resolution) for resolution in resolutions]
    return [
        ModelSpec(name, width, resolution, num_classes)
        for name, widths in WIDTHS.items()
        for width in widths
        for resolution in resolutions
    ]


def candidates(settings: Iterable[ModelSpec], graph_of: Callable[[ModelSpec], Graph]) -> list[Candidate]:
    """Count every setting at both precisions; best suggested accuracy first, fewer multiply-adds on a tie.

    `graph_of` gives a net's graph (weights may be stand-ins); it is called once for each name and width.
    """
    graphs: dict[tuple[str, float], Graph] = {}
    found: list[Candidate] = []
    for spec in settings:
        key = (spec.name, spec.width)
        if key not in graphs:
            graphs[key] = graph_of(spec)
        graph = graphs[key].at(spec.resolution)
        found += [_candidate(spec, precision, graph) for precision in ("float", "int8")]
    return sorted(found, key=lambda item: (-item.suggested_top1, item.cost.macs, item.precision))


def _candidate(spec: ModelSpec, precision: Precision, graph: Graph) -> Candidate:
    cost = count(graph, precision=precision)
    weighted = sum(isinstance(node, Conv | Linear) for node in graph.nodes)
    size = cost.weight_bytes + _FILE_BYTES + weighted * _LAYER_BYTES[precision]
    return Candidate(spec, precision, cost, size, suggested_top1(spec, precision), "not needed", "not reached")
