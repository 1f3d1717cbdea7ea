"""Static int8: ranges measured on real pictures, then one set of integers that every file format shares.

Weights are int8 in [-127, 127] with one scale per output channel, activations uint8 with one scale per tensor,
biases int32. The rules below are those under which onnxruntime and XNNPACK run every kernel in integers.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pocketvision.errors import GraphError
from pocketvision.graph.graph import Concat, Conv, Graph, Linear, MaxPool, Node, Quant, Softmax
from pocketvision.graph.normalise import with_deviation, with_mean
from pocketvision.graph.run import Images, activations, batches
from pocketvision.progress import Progress, Silent, track

Range = tuple[float, float]

_SMALLEST_RANGE = 1e-4  # of a tensor that never moved during calibration
_LARGEST_BIAS = 2**30  # leaves the sum one bit before int32 overflows
_LARGEST_RATIO = 128.0  # of input times weight scale to output scale; XNNPACK refuses 256
_SMALLEST_RATIO = 2.0**-31  # below it XNNPACK leaves the kernel to a slower one


def calibrate(graph: Graph, images: Images, *, progress: Progress | None = None) -> Mapping[str, Range]:
    """Return the smallest and largest value of every tensor of a float graph over images [N, R, R, 3]."""
    _require_float(graph)
    if not len(images):
        raise GraphError("calibration needs at least one image")
    ranges: dict[str, Range] = {}
    parts = batches(graph, images)
    for batch in track(parts, progress or Silent(), "calibrate", len(parts)):
        for name, tensor in activations(graph, batch):
            low, high = ranges.get(name, (np.inf, -np.inf))
            ranges[name] = min(low, float(tensor.min())), max(high, float(tensor.max()))
    return ranges


def quantize(graph: Graph, ranges: Mapping[str, Range]) -> Graph:
    """Return the graph in integers; `ranges` as `calibrate` gives them.

    Normalisation moves into the first convolution, so that the pixels themselves are the input's levels.
    """
    _require_float(graph)
    folded, pixels = _fold_normalisation(graph)
    quants = _choose_levels(folded, ranges, pixels)
    nodes = tuple(_quantize_weights(node, quants) for node in folded.nodes)
    return Graph(nodes, quants)


def _require_float(graph: Graph) -> None:
    if graph.quant is not None:
        raise GraphError("the graph is quantised already; start from the float graph")


def _fold_normalisation(graph: Graph) -> tuple[Graph, Quant]:
    """Make the pixels the input's levels: the zero point near the mean of means keeps the border right.

    Zero padding is then off from each channel's own mean by a few levels, which only border pixels see.
    """
    zero_point = round(255 * float(np.mean(graph.input.mean)))
    folded = with_mean(with_deviation(graph, 1.0), zero_point / 255)
    return folded, Quant(_float32(1 / 255), zero_point)


def _choose_levels(graph: Graph, ranges: Mapping[str, Range], pixels: Quant) -> dict[str, Quant]:
    by_name = {node.name: node for node in graph.nodes}
    groups = _same_scale(graph)
    quants: dict[str, Quant] = {}
    for name, group in groups.items():
        limits = [_clamped(by_name[member], ranges) for member in group]
        quants[name] = _levels(min(low for low, _ in limits), max(high for _, high in limits))
    quants[graph.input.name] = pixels
    for node in graph.nodes:
        if isinstance(node, Conv | Linear):
            least = quants[node.inputs[0]].scale * float(np.abs(node.weight).max()) / 127 / _LARGEST_RATIO
            if quants[node.name].scale < least:
                quants |= dict.fromkeys(groups[node.name], _stretched(quants[node.name], least))
    return quants


def _same_scale(graph: Graph) -> dict[str, frozenset[str]]:
    """Group the tensors that must share one scale: what a pool or a join takes and gives (a rule of XNNPACK)."""
    groups = {node.name: frozenset({node.name}) for node in graph.nodes if not isinstance(node, Softmax)}
    for node in graph.nodes:
        if isinstance(node, MaxPool | Concat):
            merged = frozenset().union(*(groups[name] for name in (node.name, *node.inputs)))
            groups |= dict.fromkeys(merged, merged)
    return groups


def _clamped(node: Node, ranges: Mapping[str, Range]) -> Range:
    """Return the range with 0 in it, and never above 6 after a ReLU6: the levels then clamp by themselves."""
    if node.name not in ranges:
        raise GraphError(f"no range was measured for '{node.name}'; calibrate this same graph")
    low, high = ranges[node.name]
    activation = getattr(node, "activation", "none")
    low = min(low, 0.0) if activation == "none" else 0.0
    return low, max(min(high, 6.0) if activation == "relu6" else high, 0.0)


def _levels(low: float, high: float) -> Quant:
    scale = _float32(max(high - low, _SMALLEST_RANGE) / 255)
    return Quant(scale, min(255, max(0, round(-low / scale))))


def _stretched(quant: Quant, scale: float) -> Quant:
    return Quant(_float32(scale), round(quant.zero_point * quant.scale / scale))


def _float32(value: float) -> float:
    """Round to what the files can hold, so that every format and the reference use the same scale."""
    return float(np.float32(value))


def _quantize_weights(node: Node, quants: Mapping[str, Quant]) -> Node:
    if not isinstance(node, Conv | Linear):
        return node
    source, target = quants[node.inputs[0]].scale, quants[node.name].scale
    largest = np.abs(node.weight).reshape(len(node.weight), -1).max(axis=1)
    floors = np.abs(node.bias) / (source * _LARGEST_BIAS), target / source * _SMALLEST_RATIO
    scale = np.maximum.reduce([largest / 127, *np.broadcast_arrays(*floors)]).astype(np.float32)
    steps = np.rint(node.weight / scale.reshape(-1, *[1] * (node.weight.ndim - 1)))
    bias = np.rint(node.bias / (np.float64(source) * scale))
    return replace(
        node, weight=np.clip(steps, -127, 127).astype(np.int8), bias=bias.astype(np.int32), weight_scale=scale
    )
