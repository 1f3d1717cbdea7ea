"""Every net of the catalogue: traced, run by the reference and held against torch."""

import numpy as np
import pytest
import torch
from torch import nn

from pocketvision.data.tensors import to_input
from pocketvision.graph.graph import Affine, Conv, Graph, Linear
from pocketvision.graph.run import run
from pocketvision.graph.trace import trace
from pocketvision.models.catalogue import build, family_of, names
from pocketvision.values import ImageSpec

SLOW = ("resnet101", "resnet152", "resnext101", "resnext152", "vgg13", "vgg16")
"""The beginnings of the names of the largest nets, each of which has a smaller sister."""


def sized(name: str) -> int:
    family = family_of(name)
    return family.resolution if family.resolution < 64 else max(family.smallest, 64)


def marked(cases: list[tuple[str, ...]]):
    return [pytest.param(*case, marks=[pytest.mark.slow] * case[0].startswith(SLOW)) for case in cases]


@pytest.mark.parametrize(
    ("name", "padding"), marked([(name, padding) for name in names() for padding in family_of(name).paddings])
)
def test_the_graph_answers_as_the_net(name: str, padding: str, settled) -> None:
    torch.manual_seed(0)
    size = sized(name)
    net = build(name, width=0.25, resolution=size, num_classes=7, padding=padding)
    image = ImageSpec(size, mean=(0.48, 0.45, 0.4), std=(0.23, 0.22, 0.25))
    images = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), np.uint8)
    batch = to_input(images, image, torch.device("cpu"))
    settled(net, batch)
    graph = trace(net, image)
    assert sum(node.learned for node in graph.nodes if isinstance(node, Conv | Linear | Affine)) == sum(
        parameter.numel() for parameter in net.parameters()
    )
    with torch.no_grad():
        expected = net(batch[:2]).numpy()
    found = run(Graph(graph.nodes[:-1]), images[:2])
    # Deep nets with random weights amplify rounding; a wrong kernel is off by a good part of the spread.
    assert np.abs(found - expected).max() < 5e-3 * expected.std()


@pytest.mark.parametrize("name", marked([(name,) for name in names()]))
def test_shapes_are_those_of_torch(name: str) -> None:
    size = family_of(name).resolution
    with torch.device("meta"):
        net = build(name, num_classes=7).eval()
        graph = trace(net, ImageSpec(size))
        seen: dict[str, tuple[int, ...]] = {}
        for path, module in net.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.MaxPool2d | nn.AvgPool2d):
                module.register_forward_hook(lambda _, __, out, path=path: seen.update({path: tuple(out.shape[1:])}))
        net(torch.zeros(1, 3, size, size))
    assert {path: graph.shapes[path] for path in seen} == seen
