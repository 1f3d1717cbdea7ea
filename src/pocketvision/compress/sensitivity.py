"""Gradients of a net's own answers at every layer, by which rounding errors are weighed; no labels are needed."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pocketvision.compress.moments import LayerMoments, Moments
from pocketvision.errors import GraphError
from pocketvision.graph.autograd import around, logits, said, sums_of
from pocketvision.graph.graph import Conv, Graph, Linear, Sigmoid, Softmax, Suppress
from pocketvision.graph.run import Images
from pocketvision.progress import Progress, Silent, track

BATCH = 10
PLACES = 200
"""Of a map, at most; evenly spread, from another corner with each batch."""
ALIKE = 30
"""So many places of one map tell of covariances as much as one of another image."""
SURE = 0.7
"""Nets trained on few classes are so sure that gradients vanish: logits are divided until the top probability's mean is
no more than this."""


def moments_of(graph: Graph, images: Images, *, seed: int = 0, progress: Progress | None = None) -> Moments:
    """Measure every layer of a float graph without Affines over images [N, R, R, C], without labels."""
    if not isinstance(graph.nodes[-1], Softmax | Sigmoid | Suppress):
        raise GraphError("sensitivity is measured on nets that give classes, attributes or boxes; this one does not")
    places = torch.Generator().manual_seed(seed)
    layers = [node for node in graph.nodes if isinstance(node, Conv | Linear)]
    found = {node.name: _Gathered(graph, node) for node in layers}
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    heat = _temperature(graph, batches)
    for batch in track(batches, progress or Silent(), "measure sensitivity", len(batches)):
        seen: dict[str, tuple[Tensor, Tensor]] = {}
        codes, answers = said(graph, batch, lambda node, x, seen=seen: _watched(graph, node, x, seen))  # type: ignore[misc]
        given = [answers / heat, *([] if codes is None else [codes])]
        drawn = [_drawn(given[0].detach(), _by_itself(graph), places)]
        drawn += [] if codes is None else [_drawn_codes(codes, given[0].detach(), places)]
        torch.autograd.backward(given, drawn)
        for name, (read, sums) in seen.items():
            assert sums.grad is not None
            found[name].add(read, sums.grad, places)
    return {name: gathered.moments(len(images)) for name, gathered in found.items()}


def _watched(graph: Graph, node: Conv | Linear, x: Tensor, seen: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
    """Run a layer; `seen` gets what it reads and its sums, whose gradient is kept."""
    weight, bias = (torch.from_numpy(np.ascontiguousarray(values)) for values in (node.weight, node.bias))
    sums = sums_of(graph, node, x, weight, bias)
    if not sums.requires_grad:
        sums.requires_grad_()
    sums.retain_grad()
    seen[node.name] = (x.detach(), sums)
    return sums


@torch.no_grad()
def _temperature(graph: Graph, batches: list[Images]) -> float:
    """Return what logits are divided by: 1 where the net is unsure enough, and for detectors: that nothing is there is
    sure nearly everywhere."""
    if isinstance(graph.nodes[-1], Suppress):
        return 1.0

    def plain(node: Conv | Linear, x: Tensor) -> Tensor:
        return sums_of(graph, node, x, torch.from_numpy(node.weight), torch.from_numpy(node.bias))

    answers = torch.cat([logits(graph, batch, plain) for batch in batches[:: max(1, len(batches) // 5)]])
    for heat in (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0):
        sure = torch.sigmoid(answers.abs() / heat) if _by_itself(graph) else torch.softmax(answers / heat, 1).amax(1)
        if float(sure.mean()) <= SURE:
            break
    return heat


def _by_itself(graph: Graph) -> bool:
    return isinstance(graph.nodes[-1], Sigmoid | Suppress)


def _drawn(answers: Tensor, by_itself: bool, rng: torch.Generator) -> Tensor:
    """Draw a vector whose second moments are the Fisher information of these logits."""
    signs = torch.randint(0, 2, answers.shape, generator=rng).float() * 2 - 1
    if by_itself:
        shares = torch.sigmoid(answers)
        return (shares * (1 - shares)).sqrt() * signs
    shares = torch.softmax(answers, 1)
    roots = shares.sqrt()
    return roots * signs - shares * (roots * signs).sum(1, keepdim=True)


def _drawn_codes(codes: Tensor, logits: Tensor, rng: torch.Generator) -> Tensor:
    """Draw a vector as `_drawn` does, of codes: each counts as far as a class is seen at its anchor."""
    signs = torch.randint(0, 2, codes.shape, generator=rng).float() * 2 - 1
    return torch.sigmoid(logits).amax(1, keepdim=True).sqrt() * signs


class _Gathered:
    """Sums of a layer's moments over batches."""

    def __init__(self, graph: Graph, node: Conv | Linear) -> None:
        self.graph, self.node = graph, node
        self.groups = node.groups if isinstance(node, Conv) else 1
        size = int(np.prod(node.weight.shape[1:]))
        self.rows = 0
        self.mean = torch.zeros(self.groups, size, 1, dtype=torch.float64)
        self.inputs = torch.zeros(self.groups, size, size, dtype=torch.float64)
        self.gradients = torch.zeros(len(node.bias), dtype=torch.float64)

    def add(self, read: Tensor, grad: Tensor, rng: torch.Generator) -> None:
        """Add a batch: what the layer reads, and the gradients at its sums."""
        rows = self._seen(read, grad.shape, rng)
        self.gradients += grad.square().sum((0, 2, 3) if grad.ndim == 4 else 0).double()
        self.rows += rows.shape[2]
        self.mean += rows.sum(2, keepdim=True).double()
        self.inputs += (rows @ rows.mT).double()

    def moments(self, images: int) -> LayerMoments:
        """Return the means over all that was added."""
        mean = self.mean / self.rows
        inputs = self.inputs / self.rows - mean @ mean.mT
        return LayerMoments(
            mean[..., 0].numpy(), inputs.numpy(), (self.gradients / images).numpy(), max(images, self.rows // ALIKE)
        )

    def _seen(self, read: Tensor, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        """Return what weights are multiplied with at some places of sums of this shape, [G, K, n]."""
        if isinstance(self.node, Linear):
            return read.T[None]
        apart = max(1, int(np.ceil(np.sqrt(shape[2] * shape[3] / PLACES))))
        down, across = (int(torch.randint(0, apart, (), generator=rng)) % size for size in shape[2:])
        tall, wide = self.node.stride
        views = functional.unfold(
            around(read, self.graph.pads(self.node))[:, :, down * tall :, across * wide :],
            self.node.weight.shape[2:],
            stride=(tall * apart, wide * apart),
        )
        return views.view(len(read), self.groups, -1, views.shape[2]).permute(1, 2, 0, 3).flatten(2)
