"""Bias correction: what rounding adds to the mean of each layer's sums is taken out of its biases, layer by layer.

Rounded weights and levels shift the mean of every channel's sums, and shifts of many layers add up. Nagel et al. 2019
(https://arxiv.org/abs/1906.04721, section 4.2) measure the shift on images; so it is done here: each
layer is corrected for all that is rounded before it, the corrected layers among them. Biases are int32, so this
costs the file nothing.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pocketvision.compress.measure import Measured, Values
from pocketvision.compress.quantize import LARGEST_BIAS
from pocketvision.compress.rewrite import Run, rewritten
from pocketvision.errors import GraphError
from pocketvision.graph.graph import Conv, Graph, Linear, Quant
from pocketvision.graph.integer import Levels
from pocketvision.graph.normalize import per_weight
from pocketvision.graph.run import Images
from pocketvision.graph.sums import padded, taps
from pocketvision.progress import Progress


def correct_biases(small: Graph, measured: Measured, images: Images, *, progress: Progress | None = None) -> Graph:
    """Return the quantized graph with biases under which every layer's sums have the float net's means.

    `measured` is the spread of the float graph that `small` was made from, over the same images [N, R, R, C].
    """
    if small.quant is None:
        raise GraphError("the graph is not quantized yet; quantize it before its biases are corrected")

    def corrected(node: Conv | Linear, inputs: Sequence[Levels], _: Run) -> Conv | Linear:
        return _corrected(small, node, inputs[0], measured)

    return rewritten(small, images, corrected, "correct biases", progress)


def coarse_biases(small: Graph) -> Graph:
    """Return the quantized graph with biases that are multiples of a power of two, at most a quarter of a level."""
    assert small.quant is not None
    return Graph(
        tuple(_coarse(small, node) if isinstance(node, Conv | Linear) else node for node in small.nodes), small.quant
    )


def _coarse(small: Graph, node: Conv | Linear) -> Conv | Linear:
    assert small.quant is not None
    assert node.weight_scale is not None
    units = small.quant[node.inputs[0]].scale * node.weight_scale.astype(np.float64)
    unit = np.exp2(np.maximum(np.floor(np.log2(small.quant[node.name].scale / units / 4)), 0))
    return replace(node, bias=(np.rint(node.bias / unit) * unit).astype(np.int32))


def _corrected(small: Graph, node: Conv | Linear, levels: Levels, measured: Measured) -> Conv | Linear:
    assert small.quant is not None
    assert node.weight_scale is not None
    if node.name not in measured:
        raise GraphError(f"nothing was measured for '{node.name}'; measure the graph that was quantized")
    source = small.quant[node.inputs[0]]
    unit = source.scale * node.weight_scale.astype(np.float64)
    wanted = measured[node.name].mean / unit
    bias = np.rint(wanted - _mean_sums(small, node, levels, source))
    return replace(node, bias=np.clip(bias, -LARGEST_BIAS, LARGEST_BIAS).astype(np.int32))


def _mean_sums(small: Graph, node: Conv | Linear, levels: Levels, source: Quant) -> Values:
    """Return the mean of each channel's sum without its bias, [O]: weights times the mean of what each one sees."""
    means = levels.mean(axis=0, dtype=np.float64) - source.zero_point
    weight = node.weight.astype(np.float64)
    if isinstance(node, Linear):
        sums: Values = weight @ means
        return sums
    views = taps(padded(means[None], small.pads(node), 0), node.weight.shape[2:], node.stride)
    seen = np.stack([per_weight(node, view.mean(axis=(0, 1, 2)))[..., 0, 0] for view in views], axis=-1)
    total: Values = (weight.reshape(seen.shape) * seen).sum(axis=(1, 2))
    return total
