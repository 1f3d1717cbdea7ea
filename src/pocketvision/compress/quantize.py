"""Static int8: ranges measured on real images, then one set of integers that every file format shares.

Weights are int8 in [-127, 127] with one scale per output channel, activations uint8 with one scale per tensor,
biases int32. The rules below are those under which onnxruntime and XNNPACK run every kernel in integers.
"""

import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.compress.measure import Range, measure, require_float
from pocketvision.errors import GraphError
from pocketvision.graph.graph import (
    Activate,
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    Ending,
    GlobalAvgPool,
    Graph,
    Linear,
    Mul,
    Node,
    Quant,
)
from pocketvision.graph.lower import with_gates, without_affines
from pocketvision.graph.moves import is_move
from pocketvision.graph.normalize import with_deviation, with_mean
from pocketvision.graph.run import Images
from pocketvision.graph.storage import Integers, Shared
from pocketvision.progress import Progress

_SMALLEST_RANGE = 1e-4  # of a tensor that never moved during calibration
LARGEST_BIAS = 2**30  # leaves the sum one bit before int32 overflows
_LARGEST_RATIO = 128.0  # of input (times weight) scale to output scale; XNNPACK and onnxruntime refuse 256
_SMALLEST_INPUT_RATIO: Mapping[type[Node], float] = {Add: 2.0**-10, AvgPool: 2.0**-8, GlobalAvgPool: 2.0**-8}
"""Of input scale to output scale; XNNPACK leaves the kernel to a slower one below it, or ends the process."""
_CLAMPED: Mapping[Activation, Range] = {
    "relu": (0.0, np.inf),
    "relu6": (0.0, 6.0),
    "sigmoid": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
}
_PROBABILITY = Quant(1 / 256, 0)
_CUTS = np.linspace(1, 0.3, 29)
"""Of the largest weight, where fewer than 8 bits end."""
_TINY = 1e-30
_SMALLEST_RATIO = 2.0**-31  # below it XNNPACK leaves the kernel to a slower one


def calibrate(graph: Graph, images: Images, *, progress: Progress | None = None) -> Mapping[str, Range]:
    """Return the smallest and largest value of every tensor of a float graph over images [N, R, R, C]."""
    return {name: spread.range for name, spread in measure(graph, images, progress=progress).items()}


def quantize(graph: Graph, ranges: Mapping[str, Range], *, bits: int = 8) -> Graph:
    """Return the graph in integers, its weights of 2 to 8 bits; `ranges` as `calibrate` gives them.

    Normalization moves into the first convolution, so that the pixels themselves are the input's levels; batch norms
    that no convolution took in become convolutions of their own, SiLU and hard swish a gate and a product.
    """
    require_float(graph)
    lowered = lower(graph)
    own = {**ranges, **dict.fromkeys(lowered.gates, (0.0, 1.0))}
    quants = _choose_levels(lowered.graph, own, lowered.pixels, bits)
    stored = Integers(bits)
    nodes = tuple(
        _quantize_weights(node, quants, stored) if isinstance(node, Conv | Linear) else node
        for node in lowered.graph.nodes
    )
    return Graph(nodes, quants)


@dataclass(frozen=True, eq=False)
class Lowered:
    """A float graph of the kernels, and with the input, that the quantized one has."""

    graph: Graph
    gates: tuple[str, ...]
    """Names of the gates that SiLU and hard swish became."""
    pixels: Quant
    """The image's levels."""


def lower(graph: Graph) -> Lowered:
    """Return the float graph whose every weight and tensor `quantize` rounds."""
    with_parts, gates = with_gates(without_affines(graph))
    folded, pixels = _fold_normalization(with_parts)
    return Lowered(folded, gates, pixels)


def _fold_normalization(graph: Graph) -> tuple[Graph, Quant]:
    """Make the pixels the input's levels: the zero point near the mean of means keeps the border right.

    Zero padding is then off from each channel's own mean by a few levels, which only border pixels see.
    """
    zero_point = round(255 * float(np.mean(graph.input.mean)))
    folded = with_mean(with_deviation(graph, 1.0), zero_point / 255)
    return folded, Quant(_float32(1 / 255), zero_point)


def _choose_levels(graph: Graph, ranges: Mapping[str, Range], pixels: Quant, bits: int) -> dict[str, Quant]:
    limits = {node.name: _clamped(node, ranges) for node in graph.nodes if not isinstance(node, Ending)}
    groups = _same_scale(graph, limits)
    quants = {name: _levels(*_union(group, limits)) for name, group in groups.items()}
    quants[graph.input.name] = pixels
    # The one range of a sigmoid under which every runtime computes it in integers.
    quants |= {node.name: _PROBABILITY for node in graph.nodes if _is_sigmoid(node) and len(groups[node.name]) == 1}
    fixed = {graph.input.name} | {name for name, quant in quants.items() if quant is _PROBABILITY}
    while raised := _out_of_proportion(graph, quants, fixed, Integers(bits).largest):
        for name, least in raised.items():
            quants |= dict.fromkeys(groups[name], _stretched(quants[name], least))
    return quants


def _out_of_proportion(graph: Graph, quants: Mapping[str, Quant], fixed: Set[str], largest: int) -> dict[str, float]:
    """Return the smallest allowed scale of each tensor whose scale no runtime takes beside its neighbors'.

    Tensors that hardly move beside others that do, as of a net whose training went wrong, have such scales. Raising
    one may put another out of proportion, by less each time.
    """
    raised: dict[str, float] = {}
    for node in graph.nodes:
        if not isinstance(node, Conv | Linear | Add | Mul | AvgPool | GlobalAvgPool):
            continue
        sources = [quants[name].scale for name in node.inputs]
        weight = float(np.abs(node.weight).max()) / largest if isinstance(node, Conv | Linear) else 1.0
        product = math.prod(sources) if isinstance(node, Mul) else max(sources) * weight
        if quants[node.name].scale < (least := _float32(product / _LARGEST_RATIO)):
            raised[node.name] = least
        least = quants[node.name].scale * _SMALLEST_INPUT_RATIO.get(type(node), 0.0)
        raised |= {name: least for name in node.inputs if name not in fixed and quants[name].scale < least}
    return raised


def _is_sigmoid(node: Node) -> bool:
    return isinstance(node, Activate) and node.activation == "sigmoid"


def _same_scale(graph: Graph, limits: Mapping[str, Range]) -> dict[str, frozenset[str]]:
    """Group the tensors that must share one scale: what a max pool, a join, a slice, a shuffle or a flattening takes
    and gives (a rule of XNNPACK), so that it only moves levels.

    A join keeps the levels of its parts where one of them could no longer clamp by its levels: a ReLU beside negative
    values. It then changes scales as it joins.
    """
    allowed = {node.name: _allowed(node) for node in graph.nodes}
    groups = {name: frozenset({name}) for name in limits}
    for node in graph.nodes:
        if is_move(node):
            merged = frozenset().union(*(groups[name] for name in (node.name, *node.inputs)))
            low, high = _union(merged, limits)
            clamped = all(least <= low and high <= most for least, most in (allowed[name] for name in merged))
            if clamped or not isinstance(node, Concat):
                groups |= dict.fromkeys(merged, merged)
    return groups


def _union(names: Iterable[str], limits: Mapping[str, Range]) -> Range:
    ranges = [limits[name] for name in names]
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _clamped(node: Node, ranges: Mapping[str, Range]) -> Range:
    """Return the range with 0 in it, and never beyond what the activation gives: levels clamp by themselves."""
    if node.name not in ranges:
        raise GraphError(f"no range was measured for '{node.name}'; calibrate this same graph")
    low, high = ranges[node.name]
    least, most = _allowed(node)
    return max(min(low, 0.0), least), max(min(high, most), 0.0)


def _allowed(node: Node) -> Range:
    activation: Activation = getattr(node, "activation", "none")
    return _CLAMPED.get(activation, (-np.inf, np.inf))


def _levels(low: float, high: float) -> Quant:
    scale = _float32(max(high - low, _SMALLEST_RANGE) / 255)
    return Quant(scale, min(255, max(0, round(-low / scale))))


def _stretched(quant: Quant, scale: float) -> Quant:
    return Quant(_float32(scale), round(quant.zero_point * quant.scale / scale))


def _float32(value: float) -> float:
    """Round to what the files can hold, so that every format and the reference use the same scale."""
    return float(np.float32(value))


def _quantize_weights(node: Conv | Linear, quants: Mapping[str, Quant], stored: Integers) -> Conv | Linear:
    source, target = quants[node.inputs[0]].scale, quants[node.name].scale
    floors = np.abs(node.bias) / (source * LARGEST_BIAS), target / source * _SMALLEST_RATIO
    wanted = _weight_scales(node, stored.largest)
    scale = np.maximum.reduce([wanted, *np.broadcast_arrays(*floors)]).astype(np.float32)
    steps = np.rint(node.weight / scale.reshape(-1, *[1] * (node.weight.ndim - 1)))
    bias = np.rint(node.bias / (np.float64(source) * scale))
    levels = np.clip(steps, -stored.largest, stored.largest).astype(np.int8)
    return replace(node, weight=levels, bias=bias.astype(np.int32), weight_scale=scale, storage=stored)


def _weight_scales(node: Conv | Linear, largest: int) -> NDArray[np.floating]:
    """Return the step of each channel's weights, [O].

    At 8 bits the largest weight is the largest level. Of fewer levels larger weights are cut where the squared error is
    least. Shared weights have one step for their layer, so that equal ones stay equal and pack well.
    """
    rows: NDArray[np.floating] = np.abs(node.weight).reshape(len(node.weight), -1)
    ends = np.full(len(rows), rows.max(), rows.dtype) if isinstance(node.storage, Shared) else rows.max(axis=1)
    if largest == Integers().largest:
        return np.asarray(ends / largest)
    tried = np.maximum(ends, _TINY)[:, None] / largest * _CUTS
    errors = [
        np.square(rows - step[:, None] * np.minimum(np.rint(rows / step[:, None]), largest)).sum(axis=1)
        for step in tried.T
    ]
    return np.asarray(tried[np.arange(len(rows)), np.argmin(errors, axis=0)])
