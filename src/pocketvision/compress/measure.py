"""What calibration images tell about every tensor of a float graph, channel by channel."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import GraphError
from pocketvision.graph.graph import Activate, Conv, Ending, Graph, Linear, Node
from pocketvision.graph.run import Images, activations, batches
from pocketvision.graph.sums import Tensor
from pocketvision.progress import Progress, Silent, track

Range = tuple[float, float]
SUMS = ".sums"
"""Behind a layer's name: its sums before its activation."""
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spread:
    """What one tensor's channels held."""

    low: Values
    """[C], the smallest value of each channel."""
    high: Values
    """[C], the largest."""
    mean: Values
    """[C], the mean; that of the sums before a layer's activation."""

    @property
    def range(self) -> Range:
        """Return the smallest and largest value of the whole tensor."""
        return float(self.low.min()), float(self.high.max())

    @property
    def peak(self) -> Values:
        """Return how far each channel gets from zero, [C]."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def scaled(self, factors: Values) -> "Spread":
        """Return the spread of the same tensor with each channel multiplied by a positive factor."""
        return Spread(self.low * factors, self.high * factors, self.mean * factors)


Measured = Mapping[str, Spread]
"""The spread of every tensor up to the endings, by name."""


def measure(graph: Graph, images: Images, *, progress: Progress | None = None) -> Measured:
    """Return the spread of every tensor of a float graph, up to its endings, over images [N, R, R, C]; raises
    GraphError without any."""
    require_float(graph)
    if not len(images):
        raise GraphError("calibration needs at least one image")
    apart = Graph(tuple(_apart(graph)))
    found: dict[str, Spread] = {}
    parts, spreads = batches(graph, images), _reader()
    for batch in track(parts, progress or Silent(), "calibrate", len(parts)):
        share = len(batch) / len(images)
        for name, spread in spreads(apart, batch):
            new = replace(spread, mean=share * spread.mean)
            found[name] = _together(found[name], new) if name in found else new
    sums = {node.name: found.pop(_sums(node.name)) for node in graph.nodes if _sums(node.name) in found}
    return {name: replace(spread, mean=sums[name].mean) if name in sums else spread for name, spread in found.items()}


def _reader() -> Callable[[Graph, Images], Iterator[tuple[str, Spread]]]:
    """Return what tells the spread of each tensor over images: by torch, several times as fast, where it is there."""
    try:
        from pocketvision.compress.torch_measure import spreads
    except ImportError:
        return _spreads
    return spreads


def _spreads(graph: Graph, images: Images) -> Iterator[tuple[str, Spread]]:
    for name, tensor in activations(graph, images):
        yield name, _spread(tensor)


def require_float(graph: Graph) -> None:
    """Raise GraphError for a graph that is quantized already."""
    if graph.quant is not None:
        raise GraphError("the graph is quantized already; start from the float graph")


def _apart(graph: Graph) -> Iterator[Node]:
    """Yield the nodes with each layer's activation as a node of its own, so that its sums are seen; no endings, whose
    values have no levels."""
    for node in (node for node in graph.nodes if not isinstance(node, Ending)):
        if isinstance(node, Conv | Linear) and node.activation != "none":
            yield replace(node, name=_sums(node.name), activation="none")
            yield Activate(node.name, (_sums(node.name),), node.activation)
        else:
            yield node


def _sums(name: str) -> str:
    return f"{name}{SUMS}"


def _spread(tensor: Tensor) -> Spread:
    places = (0, *range(2, tensor.ndim))
    low, high = tensor.min(axis=places).astype(np.float64), tensor.max(axis=places).astype(np.float64)
    return Spread(low, high, tensor.mean(axis=places, dtype=np.float64))


def _together(one: Spread, other: Spread) -> Spread:
    return Spread(np.minimum(one.low, other.low), np.maximum(one.high, other.high), one.mean + other.mean)
