"""Range search: where levels end, so that rounding inside and cutting outside together cost a tensor the least.

The smallest and largest value seen are often a few outliers' work. A narrower range cuts those and gives all other
values finer levels. The squared error of a histogram decides, tensor by tensor.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.measure import Range, Values, require_float
from pocketvision.graph.graph import Ending, Graph
from pocketvision.graph.run import Images, batches, tensors
from pocketvision.progress import Progress, Silent, track

_BINS = 2048
_SHARES = np.linspace(1.0, 0.3, 71)
"""Of the measured range, both ends alike."""


def search(
    graph: Graph, ranges: Mapping[str, Range], images: Images, *, progress: Progress | None = None
) -> dict[str, Range]:
    """Return for every tensor of a float graph the range of least squared error, no wider than the given one.

    The logits keep theirs: their largest value is the answer. Images are [N, R, R, C].
    """
    require_float(graph)
    net = Graph(tuple(node for node in graph.nodes if not isinstance(node, Ending)))
    counts = {name: np.zeros(_BINS, np.int64) for name in ranges}
    parts, reader = batches(graph, images), _reader()
    ends = {name: _ends(each) for name, each in ranges.items()}
    for batch in track(parts, progress or Silent(), "search ranges", len(parts)):
        for name, found in reader(net, batch, ends, _BINS):
            counts[name] += found
    kept = {name for node in graph.nodes if isinstance(node, Ending) for name in (node.name, *node.inputs)}
    return {name: each if name in kept else _narrowed(each, counts[name]) for name, each in ranges.items()}


def _reader() -> Callable[[Graph, Images, Mapping[str, Range], int], Iterator[tuple[str, NDArray[np.int64]]]]:
    """Return what counts values in bins: by torch, several times as fast, where it is there."""
    try:
        from pocketvision.compress.torch_measure import histograms
    except ImportError:
        return _histograms
    return histograms


def _histograms(
    graph: Graph, images: Images, ends: Mapping[str, Range], bins: int
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    for name, tensor in tensors(graph, images):
        yield name, np.histogram(tensor, bins, ends[name])[0]


def _ends(ends: Range) -> Range:
    """Return the range with 0 in it, which all levels hold, and some width."""
    low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    return (low, high) if high > low else (0.0, 1.0)


def _narrowed(ends: Range, counts: NDArray[np.int64]) -> Range:
    low, high = _ends(ends)
    values: Values = np.linspace(low, high, 2 * _BINS + 1, dtype=np.float64)[1::2]
    candidates = [(float(share * low), float(share * high)) for share in _SHARES]
    return min(candidates, key=lambda candidate: _error(values, counts, candidate))


def _error(values: Values, counts: NDArray[np.int64], ends: Range) -> float:
    """Return the sum of squared errors: a twelfth of a level squared inside, the distance squared outside."""
    low, high = ends
    beyond = np.maximum(low - values, 0) + np.maximum(values - high, 0)
    inside = ((high - low) / 255) ** 2 / 12
    return float((counts * np.where(beyond > 0, beyond**2, inside)).sum())
