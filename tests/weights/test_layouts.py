"""Torchvision's and timm's state dicts, read into our nets.

They are built here by hand with those projects' names, and run by hand as the chains that they are.
"""

import math

import pytest
import torch
from torch.nn import functional

from pocketvision.errors import WeightsError
from pocketvision.models import build
from pocketvision.values import ImageSpec, ModelSpec
from pocketvision.weights import Weights, load_into, read
from pocketvision.weights.sources import IMAGENET

BOTTLENECKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
SEPARABLES = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


class Chain:
    """Builds a state dict layer by layer, and remembers how to run it."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)
        self.state, self.blocks = {}, []

    def random(self, *shape):
        return torch.randn(*shape, generator=self.generator)

    def block(self):
        self.blocks.append([])

    def conv(self, conv, norm, shape, *, stride=1, act=True):
        self.state[f"{conv}.weight"] = self.random(*shape) * (2 / math.prod(shape[1:])) ** 0.5
        self.state[f"{norm}.weight"] = 1 + 0.1 * self.random(shape[0])
        self.state[f"{norm}.bias"] = 0.1 * self.random(shape[0])
        self.state[f"{norm}.running_mean"] = 0.1 * self.random(shape[0])
        self.state[f"{norm}.running_var"] = 1 + 0.1 * self.random(shape[0]).abs()
        self.state[f"{norm}.num_batches_tracked"] = torch.tensor(7)
        self.blocks[-1].append((conv, norm, stride, act))

    def linear(self, name, outputs, inputs):
        self.state[f"{name}.weight"], self.state[f"{name}.bias"] = self.random(outputs, inputs), self.random(outputs)
        self.last = name

    def run(self, values, *, shortcuts):
        state = self.state
        for block in self.blocks:
            start = values
            for conv, norm, stride, act in block:
                weight = state[f"{conv}.weight"]
                groups = len(weight) if weight.shape[1] == 1 else 1
                values = functional.conv2d(values, weight, None, stride, weight.shape[2] // 2, groups=groups)
                statistics = (state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
                values = functional.batch_norm(values, *statistics, eps=1e-5)
                values = functional.relu6(values) if act else values
            if shortcuts and len(block) == 3 and start.shape == values.shape:
                values = values + start
        pooled = values.mean((2, 3))
        return functional.linear(pooled, state[f"{self.last}.weight"], state[f"{self.last}.bias"])


def torchvision_v2():
    chain = Chain(1)
    chain.block()
    chain.conv("features.0.0", "features.0.1", (32, 3, 3, 3), stride=2)
    channels, number = 32, 0
    for t, c, n, s in BOTTLENECKS:
        for i in range(n):
            number += 1
            name, hidden, place = f"features.{number}.conv", channels * t, 0
            chain.block()
            if t > 1:
                chain.conv(f"{name}.0.0", f"{name}.0.1", (hidden, channels, 1, 1))
                place = 1
            depthwise = f"{name}.{place}"
            chain.conv(f"{depthwise}.0", f"{depthwise}.1", (hidden, 1, 3, 3), stride=s if i == 0 else 1)
            chain.conv(f"{name}.{place + 1}", f"{name}.{place + 2}", (c, hidden, 1, 1), act=False)
            channels = c
    chain.block()
    chain.conv("features.18.0", "features.18.1", (1280, 320, 1, 1))
    chain.linear("classifier.1", 1000, 1280)
    return chain


def timm_v2_half():
    def half(channels):
        return {16: 8, 24: 16, 32: 16, 64: 32, 96: 48, 160: 80, 320: 160}[channels]

    chain = Chain(2)
    chain.block()
    chain.conv("conv_stem", "bn1", (16, 3, 3, 3), stride=2)
    channels = 16
    for stage, (t, c, n, s) in enumerate(BOTTLENECKS):
        for i in range(n):
            name, hidden, stride = f"blocks.{stage}.{i}", channels * t, s if i == 0 else 1
            chain.block()
            if t == 1:
                chain.conv(f"{name}.conv_dw", f"{name}.bn1", (hidden, 1, 3, 3), stride=stride)
                chain.conv(f"{name}.conv_pw", f"{name}.bn2", (half(c), hidden, 1, 1), act=False)
            else:
                chain.conv(f"{name}.conv_pw", f"{name}.bn1", (hidden, channels, 1, 1))
                chain.conv(f"{name}.conv_dw", f"{name}.bn2", (hidden, 1, 3, 3), stride=stride)
                chain.conv(f"{name}.conv_pwl", f"{name}.bn3", (half(c), hidden, 1, 1), act=False)
            channels = half(c)
    chain.block()
    chain.conv("conv_head", "bn2", (1280, 160, 1, 1))
    chain.linear("classifier", 1000, 1280)
    return chain


def timm_v1():
    chain = Chain(3)
    chain.block()
    chain.conv("conv_stem", "bn1", (32, 3, 3, 3), stride=2)
    channels = 32
    stages = [(stage, i) for stage, count in enumerate((1, 2, 2, 6, 2)) for i in range(count)]
    for (stage, i), (c, s) in zip(stages, SEPARABLES, strict=True):
        name = f"blocks.{stage}.{i}"
        chain.block()
        chain.conv(f"{name}.conv_dw", f"{name}.bn1", (channels, 1, 3, 3), stride=s)
        chain.conv(f"{name}.conv_pw", f"{name}.bn2", (c, channels, 1, 1))
        channels = c
    chain.linear("classifier", 1000, 1024)
    return chain


@pytest.mark.parametrize(
    ("make", "file", "expected"),
    [
        (torchvision_v2, "mobilenet_v2-b0353104.pth", ("mobilenet_v2", 1.0, IMAGENET[0])),
        (timm_v2_half, "mobilenetv2_050.lamb_in1k.safetensors", ("mobilenet_v2", 0.5, IMAGENET[0])),
        (timm_v1, "mobilenetv1_100.ra4_e3600_r224_in1k.safetensors", ("mobilenet_v1", 1.0, (0.5, 0.5, 0.5))),
        (timm_v1, "renamed.pth", ("mobilenet_v1", 1.0, (0.5, 0.5, 0.5))),
    ],
)
def test_other_projects_nets_answer_the_same_here(tmp_path, make, *, file, expected):
    chain, path = make(), tmp_path / file
    if path.suffix == ".pth":
        torch.save(chain.state, path)
    else:
        from safetensors.torch import save_file

        save_file(chain.state, path)
    weights = read(path)
    assert (weights.spec.name, weights.spec.width, weights.image.mean) == expected
    assert (weights.image.resolution, weights.image.crop_mode, weights.image.crop_pct) == (224, "crop", 0.875)
    assert (weights.spec.padding, weights.folded) == ("symmetric", False)
    used = sum(not key.endswith("num_batches_tracked") for key in chain.state)
    net = build(weights.spec.name, width=weights.spec.width).eval()
    assert load_into(net, weights, keep_head=True).loaded == used == len(weights.tensors)
    batch = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(4))
    wanted = chain.run(batch, shortcuts=expected[0] == "mobilenet_v2")
    with torch.inference_mode():
        answer = net(batch)
    assert torch.allclose(answer, wanted, atol=1e-4 * float(wanted.abs().max()))


def test_torchvision_squeezenet_has_our_names(tmp_path):
    generator = torch.Generator().manual_seed(5)
    fires = {3: 64, 4: 128, 6: 128, 7: 256, 9: 256, 10: 384, 11: 384, 12: 512}
    sizes = dict(zip(fires, [(16, 64)] * 2 + [(32, 128)] * 2 + [(48, 192)] * 2 + [(64, 256)] * 2, strict=True))
    shapes = {"features.0": (64, 3, 3, 3), "classifier.1": (1000, 512, 1, 1)}
    for place, inputs in fires.items():
        squeeze, expand = sizes[place]
        shapes[f"features.{place}.squeeze"] = (squeeze, inputs, 1, 1)
        shapes[f"features.{place}.expand1x1"] = (expand, squeeze, 1, 1)
        shapes[f"features.{place}.expand3x3"] = (expand, squeeze, 3, 3)
    state = {}
    for name, shape in shapes.items():
        state[f"{name}.weight"] = torch.randn(*shape, generator=generator)
        state[f"{name}.bias"] = torch.randn(shape[0], generator=generator)
    torch.save({"state_dict": state}, tmp_path / "squeezenet1_1-b8a52dc0.pth")
    weights = read(tmp_path / "squeezenet1_1-b8a52dc0.pth")
    net = build(weights.spec.name, width=weights.spec.width).eval()
    assert load_into(net, weights, keep_head=True).loaded == 52
    for key, value in net.state_dict().items():
        assert torch.equal(value, state[key])


@pytest.mark.parametrize("name", ["xception", "inception_v3", "mobilenet_v3_small"])
def test_weights_for_one_padding_rule_stay_out_of_nets_with_the_other(name):
    with torch.device("meta"):
        nets = {rule: build(name, width=0.25, padding=rule) for rule in ("symmetric", "same")}
    image = ImageSpec(299)
    for rule, other in (("symmetric", "same"), ("same", "symmetric")):
        spec = ModelSpec(name, 0.25, padding=rule)
        weights = Weights(spec, image, None, folded=False, norm_eps=1e-3, tensors={})
        with pytest.raises(WeightsError, match=rf"built with padding='{rule}', not '{other}'"):
            load_into(nets[other], weights, keep_head=True)
        with pytest.raises(WeightsError, match="missing in the file"):
            load_into(nets[rule], weights, keep_head=True)
