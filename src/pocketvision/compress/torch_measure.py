"""What calibration images tell about tensors, run by torch: as by the numpy reference, but for the order of sums."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketvision.compress.measure import SUMS, Range, Spread
from pocketvision.graph.autograd import sums_of, values
from pocketvision.graph.graph import Conv, Graph, Linear
from pocketvision.graph.run import Images


def spreads(graph: Graph, images: Images) -> Iterator[tuple[str, Spread]]:
    """Yield the spread of every tensor of a float graph by name."""
    names = {node.name for node in graph.nodes}
    with torch.inference_mode():
        for name, tensor in _values(graph, images):
            yield name, _spread(tensor, summed=name.endswith(SUMS), active=name + SUMS in names)


def histograms(
    graph: Graph, images: Images, ends: Mapping[str, Range], bins: int
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield how many values of every tensor of a float graph lie in each of so many equal bins between its ends."""
    with torch.inference_mode():
        for name, tensor in _values(graph, images):
            low, high = ends[name]
            yield name, torch.histc(tensor, bins, low, high).numpy().astype(np.int64)


def _values(graph: Graph, images: Images) -> Iterator[tuple[str, Tensor]]:
    def sums(node: Conv | Linear, x: Tensor) -> Tensor:
        weight, bias = (torch.from_numpy(np.array(each, np.float32)) for each in (node.weight, node.bias))
        return sums_of(graph, node, x, weight, bias)

    return values(graph, images, sums)


def _spread(tensor: Tensor, *, summed: bool, active: bool) -> Spread:
    """Return what is asked of a tensor: of sums before an activation the mean, of what comes out of one the range."""
    places = (0, *range(2, tensor.ndim))
    mean = _doubles(tensor.mean(places)) if not active else np.zeros(tensor.shape[1])
    if summed:
        return Spread(mean, mean, mean)
    return Spread(_doubles(tensor.amin(places)), _doubles(tensor.amax(places)), mean)


def _doubles(values: Tensor) -> NDArray[np.float64]:
    return values.numpy().astype(np.float64)
