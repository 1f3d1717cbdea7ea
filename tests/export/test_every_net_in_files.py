"""Every net of the catalogue as an ONNX and a LiteRT file, float and int8: alike to each other and to the reference."""

import numpy as np
import pytest
import torch

from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.data.tensors import to_input
from pocketvision.export import litert, onnx
from pocketvision.graph.fixed import XNNPACK
from pocketvision.graph.graph import Graph
from pocketvision.graph.run import run
from pocketvision.graph.trace import trace
from pocketvision.models.catalogue import build, family_of, names
from pocketvision.runtime import litert as lite
from pocketvision.runtime.onnx import answer_of
from pocketvision.values import ImageSpec

SLOW = ("resnet", "resnext", "vgg", "inception", "googlenet", "xception", "alexnet", "mobilenet_v1_full")
COUNT = 8
INEXACT = ("effnet", "xception", "shufflenet_v1_se", "shufflenet_v1_shallow", "inception", "googlenet")
"""Nets with kernels that round by the last bit of float sums or by 8 bits: leaky ReLU and average pools."""
UNLIKE = {"xception": 3}
"""Parts that XNNPACK makes of a net: padded maxima of values below zero are no kernel of its."""


def sized(name):
    family = family_of(name)
    return family.resolution if family.resolution < 64 else max(family.smallest, 64)


@pytest.fixture
def case(request):
    name = request.param
    torch.manual_seed(0)
    size = sized(name)
    net = build(name, width=0.25, resolution=size, num_classes=7, padding=family_of(name).paddings[0])
    image = ImageSpec(size, mean=(0.48, 0.45, 0.4), std=(0.23, 0.22, 0.25))
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (COUNT, 8, 8, 3)).repeat(size // 8 + 1, axis=1).repeat(size // 8 + 1, axis=2)
    noisy = coarse[:, :size, :size] + rng.integers(-30, 31, (COUNT, size, size, 3))
    images = np.clip(noisy, 0, 255).astype(np.uint8)
    settle(net, to_input(images, image, torch.device("cpu")))
    graph = trace(net, image)
    return name, Graph(graph.nodes[:-1]), images


def settle(net, batch):
    """Give batch norms parameters of their own and the statistics of a batch, so that wrong kernels show."""
    torch.manual_seed(1)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
            if module.weight is not None:
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            if module.bias is not None:
                torch.nn.init.normal_(module.bias, std=0.2)
    with torch.no_grad():
        net.train()(batch)
    net.eval()


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=[pytest.mark.slow] * name.startswith(SLOW)) for name in names()], indirect=True
)
def test_all_formats_answer_alike(case):
    name, graph, images = case
    content = litert.to_bytes(graph)
    real, other = lite.answer_of(content)(images), answer_of(onnx.to_bytes(graph))(images)
    # Deep nets with random weights amplify rounding; a wrong kernel is off by a good part of the spread.
    assert np.abs(real - other).max() < 5e-3 * other.std()
    assert (real.argmax(axis=1) == other.argmax(axis=1)).all()
    assert lite.parts(content).delegated == UNLIKE.get(name, 1)
    small = quantize(graph, calibrate(graph, images))
    content, step = litert.to_bytes(small), small.quant[small.output].scale
    found = lite.answer_of(content)(images)
    assert lite.parts(content).delegated == UNLIKE.get(name, 1)
    near = run(small, images, rounding=XNNPACK)
    if name.startswith(INEXACT):
        assert np.abs(found - near).mean() < 0.5 * np.abs(other - other.mean(axis=0)).mean()
        return
    assert np.rint(np.abs(found - near) / step).max() <= 2
    assert np.mean(found.argmax(axis=1) == near.argmax(axis=1)) >= 0.99
