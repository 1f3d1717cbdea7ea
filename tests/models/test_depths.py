"""Nets that are cut after some of their layers: what is kept is the whole net's, to the last bit."""

import json

import pytest
import torch
from torch import nn

from pocketvision.cost.count import count
from pocketvision.cost.graphs import graph_at
from pocketvision.errors import UsageError
from pocketvision.graph.trace import trace
from pocketvision.models.blocks import CutNet
from pocketvision.models.catalogue import build, build_spec, check_spec, depths, families, family_of, names
from pocketvision.values import ImageSpec, ModelSpec, from_json, to_json

HOMES = sorted({family.names[0] for family in families().values()})
ENDINGS = ("squeezenet1_1", "mobilenet_v3_small", "vgg11", "alexnet")
"""Nets whose own ending is another than a mean and one linear layer."""


def test_the_kept_layers_are_those_of_the_whole_net() -> None:
    torch.manual_seed(0)
    whole = build("mobilenet_v2", width=0.35, resolution=64).eval()
    images = torch.randn(2, 3, 64, 64)
    maps, seen = images, []
    for layer in whole.features:
        maps = layer(maps)
        seen.append(maps)
    for depth in depths("mobilenet_v2"):
        cut = build("mobilenet_v2", width=0.35, resolution=64, num_classes=7, depth=depth).eval()
        state = whole.state_dict()
        cut.features.load_state_dict({key: state[f"features.{key}"] for key in cut.features.state_dict()})
        assert torch.equal(cut.features(images), seen[depth - 1])
        assert torch.equal(cut.embed(images), seen[depth - 1].mean((2, 3)))
        assert cut(images).shape == (2, 7)


@pytest.mark.parametrize("name", HOMES)
def test_every_family_is_cut_by_one_rule(name: str) -> None:
    allowed = depths(name)
    assert allowed == tuple(sorted(set(allowed)))
    assert len(allowed) > 2
    with torch.device("meta"):
        for depth in {allowed[0], allowed[len(allowed) // 2], allowed[-1]}:
            net = build(name, depth=depth, num_classes=3, padding=family_of(name).paddings[0])  # type: ignore[arg-type]
            assert isinstance(net, CutNet)
            dropout, linear = net.classifier
            assert isinstance(dropout, nn.Dropout)
            assert isinstance(linear, nn.Linear)
            side = family_of(name).resolution
            assert net.eval()(torch.empty(2, 3, side, side)).shape == (2, 3)


def test_a_cut_keeps_what_follows_without_weights() -> None:
    assert depths("squeezenet1_1")[0] == 3  # convolution, ReLU, pool
    net = build("squeezenet1_1", depth=3)
    assert isinstance(net.features[-1], nn.MaxPool2d)


@pytest.mark.parametrize("name", ENDINGS)
def test_all_layers_are_a_cut_where_the_net_ends_otherwise(name: str) -> None:
    assert depths(name)[-1] == len(build(name).features)


def test_a_net_with_the_same_ending_is_not_cut_behind_its_last_layer() -> None:
    assert depths("mobilenet_v2") == tuple(range(1, 19))


def test_a_depth_that_no_cut_has_is_refused_with_those_there_are() -> None:
    for depth in (0, 19, 1025):
        with pytest.raises(UsageError, match="from 1 to 1024" if depth in (0, 1025) else "17, 18$"):
            check_spec(ModelSpec("mobilenet_v2", depth=depth))


def test_a_net_without_hidden_layers_takes_other_resolutions() -> None:
    with torch.device("meta"), pytest.raises(UsageError, match="These fit"):
        build("alexnet", resolution=256)
    with torch.device("meta"):
        assert build("alexnet", depth=12, resolution=256)(torch.empty(1, 3, 256, 256)).shape == (1, 1000)


def test_depth_is_named_and_stored() -> None:
    spec = ModelSpec("mobilenet_v2", 0.5, 96, 10, depth=11)
    assert str(spec) == "mobilenet_v2 0.5 depth 11 @ 96px"
    assert from_json(ModelSpec, json.loads(json.dumps(to_json(spec)))) == spec
    assert "depth" not in to_json(ModelSpec("mobilenet_v2"))


def test_a_cut_net_is_counted_and_traced() -> None:
    spec = ModelSpec("mobilenet_v2", 0.35, 96, 10, depth=11)
    net = build_spec(spec).eval()
    graph = trace(net, ImageSpec(96))
    assert count(graph).params == count(graph_at(spec)).params == sum(weight.numel() for weight in net.parameters())
    assert count(graph_at(spec)).macs < count(graph_at(ModelSpec("mobilenet_v2", 0.35, 96, 10))).macs


def test_every_net_lists_its_cuts() -> None:
    assert all(depths(name) for name in names())
