"""Narrower nets out of wider ones: consistent cuts, the same answers where nothing is lost, plain refusals."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pocketvision.compress.channels import ChannelPlace, Channels, kept
from pocketvision.compress.slim import recalibrate, slice_net, sliced
from pocketvision.errors import UsageError, WeightsError
from pocketvision.models.blocks import Net
from pocketvision.models.catalogue import build, families, family_of
from pocketvision.values import ImageSpec, ModelSpec
from pocketvision.weights.load import Weights, load_into

CUTTABLE = ("mobilenet_v1", "mobilenet_v2", "resnet18", "squeezenet1_1", "shufflenet_v2", "resnext50_32x4d")


def image_batch(count: int = 8, resolution: int = 32) -> list[Tensor]:
    dice = torch.Generator().manual_seed(0)
    return [torch.randn(count, 3, resolution, resolution, generator=dice) for _ in range(2)]


def lively(name: str, width: float, resolution: int = 32) -> Net:
    """A net whose norms and biases are not all alike."""
    torch.manual_seed(1)
    net = build(name, width=width, resolution=resolution, num_classes=5)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
            for tensor in (module.bias, module.running_mean):
                nn.init.normal_(tensor, std=0.1)
    return net.eval()


def weights_of(net: Net, spec: ModelSpec) -> Weights:
    tensors = {key: value.numpy().copy() for key, value in net.state_dict().items()}
    return Weights(spec, ImageSpec(spec.resolution), None, folded=False, norm_eps=1e-5, tensors=tensors)


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "shufflenet_v2"])
def test_the_same_width_is_the_identity(name: str) -> None:
    net, same = lively(name, 0.25), build(name, width=0.25, resolution=32, num_classes=5)
    slice_net(same, net, image_batch(), name=name)
    for key, value in net.state_dict().items():
        assert torch.equal(value, same.state_dict()[key]), key


@pytest.mark.parametrize("name", CUTTABLE)
def test_every_layer_gets_channels_that_its_neighbors_agree_on(name: str) -> None:
    with torch.device("meta"):
        wide, narrow = (build(name, width=width, num_classes=5).eval() for width in (1.0, 0.5))
    parts, fewer = Channels(wide, name), Channels(narrow, name)
    chosen = kept(parts, fewer, {}, name)
    made: dict[int, int] = {}
    for place, indices in chosen.items():
        assert len(set(indices)) == len(indices) == len(fewer.places[place])
        for channel, index in zip(fewer.places[place], indices, strict=True):
            source = parts.set_of(parts.places[place][index])
            assert made.setdefault(fewer.set_of(channel), source) == source, place


def silenced(net: Net, name: str, width: float) -> dict[ChannelPlace, list[int]]:
    """Zero all that a narrower net has no room for, and return what it has room for."""
    parts = Channels(net, name)
    fewer = Channels(build(name, width=width, resolution=32, num_classes=5).eval(), name)
    chosen = kept(parts, fewer, {}, name)
    layers = dict(net.named_modules())
    for place, indices in chosen.items():
        layer = layers[place.layer]
        rest = [index for index in range(len(parts.places[place])) if index not in indices]
        if place.side == "out":
            rows = [index + place.group * len(parts.places[place]) for index in rest]
            for tensor in (layer.weight, layer.bias, getattr(layer, "running_mean", None)):
                if tensor is not None:
                    tensor.data[rows] = 0
    return chosen


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "resnet18", "squeezenet1_1", "shufflenet_v2"])
def test_without_channels_that_are_zero_the_answers_are_the_same(name: str) -> None:
    size = 64
    net = lively(name, 1.0 if name == "shufflenet_v2" else 0.5, size)
    width = {"shufflenet_v2": 0.5, "mobilenet_v2": 0.35}.get(name, 0.25)
    silenced(net, name, width)
    narrow = build(name, width=width, resolution=size, num_classes=5).eval()
    shown = image_batch(8, size)
    slice_net(narrow, net, shown, name=name)
    with torch.no_grad():
        before, after = net(shown[0]), narrow(shown[0])
    assert before.std(0).min() > 1e-6
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5 * float(before.abs().max()))


def test_kept_channels_stand_in_for_cut_ones() -> None:
    """Two channels that always say the same: one of them is enough, with both weights."""
    net = lively("mobilenet_v1", 0.5)
    spec = ModelSpec("mobilenet_v1", 0.5, 32, 5)
    shown = image_batch(16)
    with torch.no_grad():
        last, norm = net.features[-1][0], net.features[-1][1]
        half = len(last.weight) // 2
        last.weight[half:] = last.weight[:half]
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor[half:] = tensor[:half]
        before = net(shown[0])
    narrow = build("mobilenet_v1", width=0.25, resolution=32, num_classes=5).eval()
    slice_net(narrow, net, shown, name="mobilenet_v1")
    with torch.no_grad():
        after = narrow(shown[0])
    gap = (after - before).abs().mean() / (before - before.mean(0)).abs().mean()
    assert gap < 1.0
    found = sliced(weights_of(net, spec), replace(spec, width=0.25), shown)
    assert found.spec.width == 0.25
    assert not found.folded
    load_into(build("mobilenet_v1", width=0.25, resolution=32, num_classes=5), found, keep_head=True)


def test_weights_of_the_width_wanted_come_back_as_they_are() -> None:
    spec = ModelSpec("mobilenet_v1", 0.25, 32, 5)
    given = weights_of(lively("mobilenet_v1", 0.25), spec)
    assert sliced(given, replace(spec, num_classes=3), image_batch()) is given


def test_another_head_can_be_put_on() -> None:
    spec = ModelSpec("mobilenet_v2", 0.5, 32, 5)
    source = weights_of(lively("mobilenet_v2", 0.5), spec)
    found = sliced(source, replace(spec, width=0.35, num_classes=3), image_batch())
    report = load_into(build("mobilenet_v2", width=0.35, resolution=32, num_classes=3), found, keep_head=False)
    assert report.fresh == ("classifier.1.weight", "classifier.1.bias")


def test_what_cannot_be_cut_is_named() -> None:
    with torch.device("meta"):
        with pytest.raises(UsageError, match=r"alexnet cannot .* LocalResponseNorm"):
            Channels(build("alexnet").eval(), "alexnet")
        with pytest.raises(UsageError, match="channels are wanted"):
            kept(
                Channels(build("mobilenet_v1", width=0.25).eval(), "it"),
                Channels(build("mobilenet_v1", width=0.5).eval(), "it"),
                {},
                "mobilenet_v1",
            )
    spec = ModelSpec("mobilenet_v1", 0.25, 32, 5)
    with pytest.raises(WeightsError, match="cannot be cut out of a mobilenet_v1"):
        sliced(weights_of(lively("mobilenet_v1", 0.25), spec), ModelSpec("mobilenet_v2", 0.25, 32, 5), image_batch())


@pytest.mark.parametrize("name", sorted({family.names[0] for family in families().values()} | {"efficientnet_lite1"}))
def test_which_families_can_be_cut_is_said_in_their_files(name: str) -> None:
    """At widths too at which rounding gives the narrow net a shortcut that the wide one has not."""
    rule: Any = family_of(name).paddings[0]
    with torch.device("meta"):
        nets = [build(name, width=width, padding=rule).eval() for width in (1.0, 0.5, 0.35)]
    if not family_of(name).narrows:
        with pytest.raises(UsageError, match="cannot be followed"):
            Channels(nets[0], name)
        return
    wide = Channels(nets[0], name)
    for net in nets[1:]:
        narrow = Channels(net, name)
        chosen = kept(wide, narrow, {}, name)
        assert {place: len(indices) for place, indices in chosen.items()} == {
            place: len(channels) for place, channels in narrow.places.items()
        }


def test_a_shortcut_that_only_the_narrow_net_has_takes_the_best_of_both_ends() -> None:
    names = ("mobilenet_v3_small", 1.0, 0.5)
    with torch.device("meta"):
        wide, narrow = (Channels(build(names[0], width=width).eval(), "it") for width in names[1:])
    place, behind = ChannelPlace("features.4.layers.3.0", "out"), ChannelPlace("features.7.layers.3.0", "out")
    assert {narrow.set_of(one) for one in narrow.places[place]} == {narrow.set_of(one) for one in narrow.places[behind]}
    scores = {
        wide.set_of(one): float(index) for where in (place, behind) for index, one in enumerate(wide.places[where])
    }
    chosen = kept(wide, narrow, scores, "it")
    for where in (place, behind):
        count, whole = len(narrow.places[where]), len(wide.places[where])
        assert chosen[where] == list(range(whole - count, whole))


def test_norms_take_the_statistics_of_the_images_and_nothing_else_changes() -> None:
    net = lively("mobilenet_v1", 0.25)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    shown = image_batch(32)
    recalibrate(net, shown)
    assert not net.training
    after = net.state_dict()
    moved = {key.rpartition(".")[2] for key in after if not torch.equal(after[key], before[key])}
    assert moved == {"running_mean", "running_var", "num_batches_tracked"}
    first = net.features[0]
    with torch.no_grad():
        found = torch.stack([first[0](batch).mean((0, 2, 3)) for batch in shown]).mean(0)
    np.testing.assert_allclose(first[1].running_mean, found, rtol=1e-4, atol=1e-6)
    assert first[1].momentum == 0.1
