"""A float graph that learns: each channel's weights in units of their own size, so that one rate suits them all."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pocketvision.compress.distill import Course, learn
from pocketvision.graph.autograd import sums_of
from pocketvision.graph.graph import Array, Conv, Graph, Linear, Node
from pocketvision.graph.run import Images
from pocketvision.progress import Progress, Silent

_LEAST = 1e-4
"""Unit of what is zero."""


def retrained(graph: Graph, teacher: Graph, images: Images, course: Course, progress: Progress = Silent()) -> Graph:
    """Return a float graph without Affines after it has learned what another one answers to images [N, R, R, C].

    No labels are needed. Raises GraphError for nets that answer with no classes, attributes or boxes.
    """
    student = FloatStudent(graph)
    return (
        student.learned()
        if learn(student, teacher, images, course, optimizer=torch.optim.Adam, progress=progress)
        else graph
    )


class FloatStudent:
    """A float graph whose weights are tensors that learn."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        layers = [node for node in graph.nodes if isinstance(node, Conv | Linear)]
        self._weights = {node.name: _Scaled(node.weight, per_channel=True) for node in layers}
        self._biases = {node.name: _Scaled(node.bias, per_channel=False) for node in layers}

    def values(self) -> Sequence[Tensor]:
        """Return weights and biases."""
        return [scaled.value for part in (self._weights, self._biases) for scaled in part.values()]

    def sums(self, node: Conv | Linear, x: Tensor) -> Tensor:
        """Run a layer with its weights as they are now."""
        return sums_of(self.graph, node, x, self._weights[node.name].real(), self._biases[node.name].real())

    def passed(self, _: Node, value: Tensor) -> Tensor:
        """Return the value: nothing is rounded."""
        return value

    @torch.no_grad()
    def learned(self) -> Graph:
        """Return the graph with the weights as they are now."""
        return Graph(
            tuple(
                replace(
                    node,
                    weight=self._weights[node.name].real().numpy(),
                    bias=self._biases[node.name].real().numpy(),
                )
                if isinstance(node, Conv | Linear)
                else node
                for node in self.graph.nodes
            )
        )


class _Scaled:
    """A tensor as a value that learns times a unit that does not."""

    def __init__(self, real: Array, *, per_channel: bool) -> None:
        whole = torch.from_numpy(real.copy()).float()
        dims = list(range(1, whole.ndim)) if per_channel else [0]
        self._unit = whole.square().mean(dims, keepdim=True).sqrt().clamp(min=_LEAST)
        self.value = (whole / self._unit).requires_grad_()

    def real(self) -> Tensor:
        return self.value * self._unit
