"""The catalogue: exact counts, names in every spelling, published figures against the nets."""

import re

import pytest
import torch

from pocketvision.cost import count
from pocketvision.errors import UnknownName, UsageError
from pocketvision.graph.trace import trace_spec
from pocketvision.models.blocks import Conv2dSame, scale
from pocketvision.models.catalogue import build, models, names, parse_name, published
from pocketvision.values import ModelSpec

# params at 1000 classes, MACs at 224 pixels (reference counts of an independent plain-Python counter)
EXACT = [
    ("mobilenet_v1", 1.0, 4_231_976, 568_740_352),
    ("mobilenet_v1", 0.75, 2_585_560, 325_400_448),
    ("mobilenet_v1", 0.5, 1_331_592, 149_497_088),
    ("mobilenet_v1", 0.25, 470_072, 41_030_272),
    ("mobilenet_v2", 0.35, 1_677_128, 59_285_808),
    ("mobilenet_v2", 0.5, 1_968_680, 97_131_840),
    ("mobilenet_v2", 0.75, 2_636_424, 209_069_792),
    ("mobilenet_v2", 1.0, 3_504_872, 300_774_272),
    ("mobilenet_v2", 1.3, 5_386_792, 509_374_560),
    ("mobilenet_v2", 1.4, 6_108_776, 582_195_824),
    ("squeezenet1_1", 1.0, 1_235_496, 349_151_936),
]


@pytest.mark.parametrize(("name", "width", "params", "macs"), EXACT)
def test_counts_are_exact(name: str, width: float, params: int, macs: int) -> None:
    cost = count(trace_spec(ModelSpec(name, width)))
    assert (cost.params, cost.macs) == (params, macs)


@pytest.mark.parametrize(("resolution", "macs"), [(192, 418_121_728), (160, 290_675_200), (128, 186_400_768)])
def test_resolution_changes_macs_only(resolution: int, macs: int) -> None:
    cost = count(trace_spec(ModelSpec("mobilenet_v1", 1.0, resolution)))
    assert (cost.params, cost.macs) == (4_231_976, macs)


@pytest.mark.parametrize(("name", "width", "params", "macs"), EXACT)
def test_torch_agrees_on_parameters(name: str, width: float, params: int, macs: int) -> None:
    with torch.device("meta"):
        assert sum(weight.numel() for weight in build(name, width=width).parameters()) == params


def test_every_published_line_is_the_net() -> None:
    assert len(published()) > 40
    for line in published():
        if line.note:
            continue
        classes = 1001 if line.rule.startswith("1001") else 1000
        graph = trace_spec(ModelSpec(line.name, line.width, line.resolution, classes))
        cost = count(graph)
        without_norms = sum(node.weight.size for node in graph.nodes if hasattr(node, "weight")) + classes
        with_moving = cost.params + sum(node.bias.size for node in graph.nodes[1:-1] if hasattr(node, "groups"))
        counted = {
            "1000 classes": cost.params,
            "1000 classes, with batch norm": cost.params,
            "1000 classes, without batch norm": without_norms,
            "1001 classes, with batch norm (moving mean or variance counted too)": with_moving,
        }[line.rule]
        assert _within_a_digit(line.params, counted), (line, counted)
        assert _within_a_digit(line.macs, cost.macs), (line, cost.macs)


def _within_a_digit(printed: str, counted: int) -> bool:
    match = re.fullmatch(r"(\d+)(?:\.(\d+))?([MG]?)", printed)
    assert match, printed
    unit = {"": 1.0, "M": 1e6, "G": 1e9}[match[3]]
    last_digit = unit / 10 ** len(match[2] or "")
    return abs(float(printed.rstrip("MG")) * unit - counted) <= last_digit


@pytest.mark.parametrize(
    ("spelling", "name", "width", "resolution"),
    [
        ("mobilenet_v2", "mobilenet_v2", 1.0, 224),
        ("mobilenetv2_050", "mobilenet_v2", 0.5, 224),
        ("mobilenetv1_100", "mobilenet_v1", 1.0, 224),
        ("mobilenet_v1_0.25_128", "mobilenet_v1", 0.25, 128),
        ("google/mobilenet_v1_0.75_192", "mobilenet_v1", 0.75, 192),
        ("MobileNet-V2", "mobilenet_v2", 1.0, 224),
        ("squeezenet1_1", "squeezenet1_1", 1.0, 224),
    ],
)
def test_names_of_other_projects_are_understood(spelling: str, name: str, width: float, resolution: int) -> None:
    assert parse_name(spelling) == ModelSpec(name, width, resolution)


@pytest.mark.parametrize("name", ["resnet", "mobilenet_v9", "", "mobilenet_v2_x_y", "../etc/passwd"])
def test_an_unknown_name_lists_the_known(name: str) -> None:
    with pytest.raises(UnknownName, match="Known: mobilenet_v1, mobilenet_v2, squeezenet1_1"):
        parse_name(name)


def test_names_are_found_without_importing_torch_nets() -> None:
    assert names() == tuple(sorted(names()))
    assert {line.name for line in published()} == set(names())


def test_models_lists_one_net_or_all() -> None:
    assert len(models()) == len(published())
    assert {line.name for line in models("mobilenetv2_050")} == {"mobilenet_v2"}


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("resolution", [32, 64, 75])
def test_every_net_runs_and_learns(name: str, resolution: int) -> None:
    torch.manual_seed(0)
    net = build(name, width=0.25, resolution=resolution, num_classes=5).train()
    loss = net(torch.randn(4, 3, resolution, resolution)).logsumexp(1).sum()
    loss.backward()
    gradients = [weight.grad for weight in net.parameters()]
    assert all(gradient is not None and bool(torch.isfinite(gradient).all()) for gradient in gradients)
    assert net.eval()(torch.randn(2, 3, resolution, resolution)).shape == (2, 5)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"width": 0}, "width must be positive"),
        ({"width": -1}, "width must be positive"),
        ({"resolution": 16}, "at least 32 pixels"),
        ({"num_classes": 0}, "num_classes must be at least 1"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, float], error: str) -> None:
    with pytest.raises(UsageError, match=error):
        build("mobilenet_v2", **settings)  # type: ignore[arg-type]


def test_squeezenet_refuses_tensorflows_padding() -> None:
    with pytest.raises(UsageError, match="padding rule symmetric, not 'same'"):
        build("squeezenet1_1", padding="same")


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [(32, 0.35, 16), (24, 0.35, 8), (96, 0.35, 32), (1280, 1.4, 1792), (16, 0.75, 16)],
)
def test_rounding_to_multiples_of_eight(channels: int, width: float, expected: int) -> None:
    assert scale(channels, width, 8) == expected


def test_cutting_to_whole_channels() -> None:
    assert [scale(32, width) for width in (1, 0.75, 0.5, 0.25, 0.01)] == [32, 24, 16, 8, 1]


@pytest.mark.parametrize("size", [7, 8, 31, 32])
@pytest.mark.parametrize("stride", [1, 2])
def test_same_padding_pads_the_far_side(size: int, stride: int) -> None:
    conv = Conv2dSame(1, 1, 3, stride, bias=False)
    torch.nn.init.ones_(conv.weight)
    picture = torch.arange(float(size * size)).view(1, 1, size, size)
    out = -(-size // stride)
    total = max((out - 1) * stride + 3 - size, 0)
    before = total // 2
    padded = torch.zeros(1, 1, size + total, size + total)
    padded[..., before : before + size, before : before + size] = picture
    expected = torch.nn.functional.conv2d(padded, conv.weight, stride=stride)
    assert torch.equal(conv(picture), expected)
    assert conv(picture).shape[-1] == out
