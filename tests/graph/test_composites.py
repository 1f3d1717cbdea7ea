"""Small nets with every kind of layer, the whole way: torch, reference, ONNX file, int8 reference, int8 ONNX file."""

import numpy as np
import pytest
import torch
from torch import nn

from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.data.tensors import to_input
from pocketvision.export.onnx import to_bytes
from pocketvision.graph.graph import Graph
from pocketvision.graph.run import run
from pocketvision.graph.trace import trace
from pocketvision.models.blocks import ChannelShuffle, ChannelSlice, Conv2dSame, ConvNormAct, SqueezeExcite
from pocketvision.runtime.onnx import answer_of
from pocketvision.values import ImageSpec


class Forked(nn.Module):
    """Reads a convolution twice, once through a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return torch.flatten(nn.functional.adaptive_avg_pool2d(y + self.norm(y), 1), 1)


class AfterActivation(nn.Module):
    """Has its batch norms behind activations, one of them without gamma."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, (1, 3), (1, 2), (0, 1)),
            nn.LeakyReLU(0.3),
            nn.BatchNorm2d(4),
            nn.Conv2d(4, 6, (3, 1), padding="same", bias=False),
            nn.SiLU(),
            nn.BatchNorm2d(6, affine=False),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(x)
        return logits


class Squeezed(nn.Module):
    """Squeeze and excite, a shuffle, a slice and a product, with the narrow side first."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNormAct(3, 8, 3, 2, activation=nn.Hardswish)
        self.weigh = SqueezeExcite(8, 2, gate=nn.Hardsigmoid)
        self.shuffle, self.part = ChannelShuffle(4), ChannelSlice(2, 6)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1), nn.Sigmoid())
        self.pool = nn.MaxPool2d((3, 2), (2, 1), (1, 0), ceil_mode=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.shuffle(self.weigh(self.stem(x)))
        return torch.flatten(self.pool(self.gate(maps) * self.part(maps)), 1)


class Branches(nn.Module):
    """An inception module with a clamp behind the join, pools of every kind and AlexNet's normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.LocalResponseNorm(5, 0.5, 0.75, 2.0))
        self.conv, self.wide = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.average = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.counted, self.largest = nn.AvgPool2d((2, 3), 1, (0, 1)), nn.MaxPool2d(3, 2, 1)
        self.adaptive = nn.Sequential(nn.AdaptiveAvgPool2d((5, 3)), nn.AdaptiveAvgPool2d((None, 3)))
        self.last = nn.Linear(20 * 5 * 3, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        joined = torch.cat([self.conv(x), self.average(x), self.wide(x)], 1)
        joined = nn.functional.dropout(nn.functional.relu(joined), 0.5, self.training)
        pooled = self.counted(self.largest(joined))
        return self.last(torch.flatten(self.adaptive(pooled), 1))


class ShuffleUnit(nn.Module):
    """ShuffleNet's unit with stride: an average pool joined with negative values, clamped behind the join."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNormAct(3, 8, 3, 2, activation=nn.ReLU), nn.MaxPool2d(3, 2, 1))
        self.main = nn.Sequential(
            ConvNormAct(8, 12, 1, groups=2, activation=nn.ReLU),
            ChannelShuffle(2),
            ConvNormAct(12, 12, 3, 2, groups=12, activation=None),
            ConvNormAct(12, 16, 1, groups=2, activation=None),
        )
        self.skip = nn.AvgPool2d(3, 2, 1)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return torch.flatten(self.relu(torch.cat([self.skip(x), self.main(x)], 1)), 1)


class Effective(nn.Module):
    """EffNet's block: leaky ReLU before every batch norm, pools and strides along one side."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *self.step(nn.Conv2d(3, 8, 1, bias=False)),
            *self.step(nn.Conv2d(8, 8, (1, 3), padding=(0, 1), groups=8, bias=False)),
            nn.MaxPool2d((2, 1)),
            *self.step(nn.Conv2d(8, 8, (3, 1), padding=(1, 0), groups=8, bias=False)),
            *self.step(nn.Conv2d(8, 12, (1, 2), (1, 2), bias=False)),
            nn.Flatten(),
            nn.Linear(12 * 8 * 8, 5),
        )

    def step(self, conv: nn.Conv2d) -> tuple[nn.Module, ...]:
        return conv, nn.LeakyReLU(0.3), nn.BatchNorm2d(conv.out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(x)
        return logits


class Mixed(nn.Module):
    """Joins a clamped branch with one below zero, both read elsewhere too, under TensorFlow's padding."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNormAct(3, 8, 3, 2, padding="same")
        self.low, self.high = nn.Conv2d(8, 8, 1), nn.Sequential(Conv2dSame(8, 8, 3), nn.ReLU())
        self.gelled = nn.Sequential(nn.SiLU(), nn.Conv2d(16, 8, 1, bias=False), nn.BatchNorm2d(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        low, high = self.low(x), self.high(x)
        maps = self.gelled(torch.cat([low, high], 1)) + low * high
        return maps.mean((2, 3))


NETS = {
    "forked": (Forked, 33),
    "norm last": (AfterActivation, 33),
    "squeezed": (Squeezed, 33),
    "branches": (Branches, 23),
    "shuffle unit": (ShuffleUnit, 33),
    "effective": (Effective, 16),
    "mixed": (Mixed, 32),
}


@pytest.mark.parametrize("kind", NETS)
def test_every_step_from_torch_to_the_int8_file_answers_alike(kind: str, settled) -> None:
    torch.manual_seed(0)
    build, size = NETS[kind]
    image = ImageSpec(size, mean=(0.48, 0.45, 0.4), std=(0.23, 0.22, 0.25))
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (24, 6, 6, 3)).repeat(6, axis=1).repeat(6, axis=2)[:, :size, :size]
    images = np.clip(coarse + rng.integers(-20, 21, coarse.shape), 0, 255).astype(np.uint8)
    batch = to_input(images, image, torch.device("cpu"))
    net = settled(build(), batch)
    with torch.no_grad():
        expected = net(batch).numpy()
    graph = Graph(trace(net, image).nodes[:-1])
    np.testing.assert_allclose(run(graph, images), expected, atol=1e-4)
    np.testing.assert_allclose(answer_of(to_bytes(graph))(images), expected, atol=1e-4)
    small = quantize(graph, calibrate(graph, images))
    exact = run(small, images)
    assert np.abs(exact - expected).mean() < 0.1 * expected.std()
    np.testing.assert_allclose(answer_of(to_bytes(small))(images), exact, atol=1e-6)
