"""The catalogue: exact counts, names in every spelling, dials that every net has."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from pocketvision.cost import count
from pocketvision.errors import UnknownName, UsageError
from pocketvision.graph.trace import trace_spec
from pocketvision.models.blocks import Conv2dSame, scale
from pocketvision.models.catalogue import build, build_spec, families, family_of, names, parse_name
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
    with pytest.raises(UnknownName, match=r"Known: .*mobilenet_v1, .*mobilenet_v2, .*squeezenet1_1"):
        parse_name(name)


def test_the_papers_nets_are_all_there() -> None:
    asked = (
        "alexnet vgg11 vgg13 vgg16 vgg19 googlenet inception_v2 inception_v3 xception resnet18 resnet34 resnet50 "
        "resnet101 resnet152 resnext50_32x4d resnext101_32x8d resnext152_32x4d squeezenet1_0 squeezenet1_1 "
        "mobilenet_v1 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small mobilenet_v4_conv_small shufflenet_v1 "
        "shufflenet_v2 fd_mobilenet effnet mnasnet_b1 mnasnet_a1 efficientnet_b0 efficientnet_lite0 ghostnet"
    )
    assert set(asked.split()) <= set(names())
    assert names() == tuple(sorted(names()))


def test_families_are_read_without_torch() -> None:
    code = "import sys; from pocketvision.models import families; families(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", names())
def test_every_net_has_every_dial(name: str) -> None:
    """Classes concern the classifier only, channels the first layer only, dropout no weight at all."""
    spec = usual(name)
    with torch.device("meta"):
        net, other = build_spec(spec), build_spec(replace(spec, num_classes=7, in_channels=1, dropout=0.3))
    ours, theirs = ({key: tuple(value.shape) for key, value in built.state_dict().items()} for built in (net, other))
    assert list(ours) == list(theirs)
    changed = [key for key in ours if ours[key] != theirs[key]]
    head = [key for key in changed if key.startswith("classifier.")]
    assert head
    assert len(changed) - len(head) in (1, 2)  # Xception-like shortcuts may read the image too
    assert {module.p for module in other.modules() if isinstance(module, torch.nn.Dropout)} == {0.3}
    assert not any(isinstance(value, torch.nn.Dropout) for value in net.features.modules())


@pytest.mark.parametrize("name", names())
def test_every_net_can_be_narrow(name: str) -> None:
    spec = usual(name)
    with torch.device("meta"):
        whole, half = (sum(w.numel() for w in build_spec(replace(spec, width=w)).parameters()) for w in (1.0, 0.5))
    assert half < 0.8 * whole


@pytest.mark.parametrize("name", names())
def test_every_net_has_stages_for_detection(name: str) -> None:
    spec = usual(name)
    with torch.device("meta"):
        net = build_spec(spec)
        stages = net.stages(spec.resolution)
        maps = net.features(torch.empty(1, 3, spec.resolution, spec.resolution))
    assert [stage.stride for stage in stages] == sorted({stage.stride for stage in stages})
    assert stages[-1].channels == maps.shape[1]
    assert stages[-1].layer == len(net.features) - 1


def usual(name: str) -> ModelSpec:
    return ModelSpec(name, 1.0, family_of(name).resolution)


@pytest.mark.parametrize("name", sorted({family.names[0] for family in families().values()}))
def test_a_narrow_net_of_each_family_runs_and_learns(name: str) -> None:
    torch.manual_seed(0)
    resolution = max(64, family_of(name).smallest)
    net = build(name, width=0.25, resolution=resolution, num_classes=5).train()
    loss = net(torch.randn(2, 3, resolution, resolution)).logsumexp(1).sum()
    loss.backward()
    gradients = [weight.grad for weight in net.parameters()]
    assert all(gradient is not None and bool(torch.isfinite(gradient).all()) for gradient in gradients)
    assert net.eval()(torch.randn(2, 3, resolution, resolution)).shape == (2, 5)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"width": 0}, "--width takes a number from"),
        ({"width": -1}, "--width takes a number from"),
        ({"resolution": 16}, "at least 32 pixels"),
        ({"num_classes": 0}, "--num-classes takes a whole number from 1"),
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
    image = torch.arange(float(size * size)).view(1, 1, size, size)
    out = -(-size // stride)
    total = max((out - 1) * stride + 3 - size, 0)
    before = total // 2
    padded = torch.zeros(1, 1, size + total, size + total)
    padded[..., before : before + size, before : before + size] = image
    expected = torch.nn.functional.conv2d(padded, conv.weight, stride=stride)
    assert torch.equal(conv(image), expected)
    assert conv(image).shape[-1] == out
