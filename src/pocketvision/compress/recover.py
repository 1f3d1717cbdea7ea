"""Answers won back after strong compression: the integers learn, through their rounding, what the float net answers.

Steps of weights, levels of tensors and zeros stay as they are, so that the file packs as small as before. What is
rounded passes gradients on as if it were not (Bengio et al. 2013, https://arxiv.org/abs/1308.3432).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketvision.compress.bias import coarse_biases
from pocketvision.compress.distill import Course, SharedAdam, learn
from pocketvision.compress.quantize import LARGEST_BIAS
from pocketvision.graph.autograd import sums_of
from pocketvision.graph.graph import Array, Conv, Graph, Input, Linear, Node, Quant
from pocketvision.graph.moves import is_move
from pocketvision.graph.run import Images
from pocketvision.graph.storage import Integers
from pocketvision.progress import Progress, Silent

PLAIN = Course()
_EDGE = 0.45
"""How far from its level a weight may begin, towards the value that it was rounded from: not all change at once."""


def recovered(
    small: Graph, lowered: Graph, images: Images, *, course: Course = PLAIN, progress: Progress = Silent()
) -> Graph:
    """Return the quantized graph with integers that learned from the float graph of the same kernels.

    Images [N, R, R, C] need no labels. The graph itself comes back where nothing was won. Raises GraphError for nets
    that answer with no classes, attributes or boxes.
    """
    student = RoundedStudent(small, lowered)
    return (
        student.rounded() if learn(student, lowered, images, course, optimizer=SharedAdam, progress=progress) else small
    )


class RoundedStudent:
    """A quantized graph whose integers learn as real numbers: weights in steps, biases in levels of the output."""

    def __init__(self, small: Graph, lowered: Graph) -> None:
        """Begin with the integers of `small`; `lowered` is the float graph that they were rounded from."""
        assert small.quant is not None
        exact = {node.name: node.weight for node in lowered.nodes if isinstance(node, Conv | Linear)}
        self._small, self._quant, self._lowered = small, small.quant, lowered
        self._layers = {
            node.name: _LearnedLayer(node, exact[node.name], small.quant[node.inputs[0]], small.quant[node.name])
            for node in small.nodes
            if isinstance(node, Conv | Linear)
        }

    @property
    def graph(self) -> Graph:
        """Return the float graph whose kernels it runs."""
        return self._lowered

    def values(self) -> Sequence[Tensor]:
        """Return weights and biases."""
        return [value for layer in self._layers.values() for value in (layer.weight, layer.bias)]

    def sums(self, node: Conv | Linear, x: Tensor) -> Tensor:
        """Run a layer with rounded weights."""
        layer = self._layers[node.name]
        return sums_of(self._lowered, node, x, layer.rounded_weight(), layer.bias * layer.target.scale)

    def passed(self, node: Node, value: Tensor) -> Tensor:
        """Round a tensor to its levels."""
        if isinstance(node, Input) or is_move(node):
            return value
        quant = self._quant[node.name]
        return torch.fake_quantize_per_tensor_affine(value, quant.scale, quant.zero_point, 0, 255)

    def rounded(self) -> Graph:
        """Return the graph in integers as they are now."""
        nodes = (
            self._layers[node.name].layer() if isinstance(node, Conv | Linear) else node for node in self._small.nodes
        )
        return coarse_biases(Graph(tuple(nodes), self._quant))


class _LearnedLayer:
    """One layer's integers as real numbers."""

    def __init__(self, node: Conv | Linear, exact: Array, source: Quant, target: Quant) -> None:
        assert node.weight_scale is not None
        assert isinstance(node.storage, Integers)
        self.node, self.source, self.target, self._largest = node, source, target, node.storage.largest
        self._scale = torch.from_numpy(node.weight_scale.astype(np.float32)).view(-1, *[1] * (node.weight.ndim - 1))
        self._kept = torch.from_numpy(node.weight != 0)
        levels = torch.from_numpy(node.weight.astype(np.float32))
        wanted = torch.from_numpy(exact.astype(np.float32)) / self._scale
        begun = levels + (wanted - levels).clamp(-_EDGE, _EDGE)
        self.weight = begun[self._kept].requires_grad_()
        """Of the weights that are not zero, in steps."""
        unit = source.scale * node.weight_scale.astype(np.float64)
        self.bias = torch.from_numpy(
            (node.bias.astype(np.float64) * unit / target.scale).astype(np.float32)
        ).requires_grad_()
        """In levels of the output."""

    def rounded_weight(self) -> Tensor:
        """Return the weights' real values after rounding; gradients pass the rounding."""
        limited = self.weight.clamp(-self._largest, self._largest)
        levels = limited + (limited.round() - limited).detach()
        return torch.zeros(self._kept.shape).masked_scatter(self._kept, levels) * self._scale

    @torch.no_grad()
    def layer(self) -> Conv | Linear:
        """Return the layer in integers."""
        assert self.node.weight_scale is not None
        weight = np.zeros(self.node.weight.shape, np.int8)
        weight[self._kept.numpy()] = self.weight.round().clamp(-self._largest, self._largest).numpy().astype(np.int8)
        unit = self.source.scale * self.node.weight_scale.astype(np.float64)
        levels: NDArray[np.float64] = self.bias.double().numpy()
        bias = np.rint(levels * self.target.scale / unit)
        return replace(self.node, weight=weight, bias=np.clip(bias, -LARGEST_BIAS, LARGEST_BIAS).astype(np.int32))
