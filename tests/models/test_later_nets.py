"""MobileNetV3 and V4, MnasNet, EfficientNet, GhostNet: exact counts, widths, stages, settings."""

import pytest
import torch
from torch import nn

from pocketvision.cost.count import count
from pocketvision.errors import UsageError
from pocketvision.graph.trace import trace_spec
from pocketvision.models.blocks import Conv2dSame, SqueezeExcite
from pocketvision.models.catalogue import build, family_of
from pocketvision.values import ModelSpec

# params at 1000 classes and MACs; params equal torchvision's, timm's and Keras' nets of the same width
EXACT = [
    ("mobilenet_v3_large", 1.0, 224, 5_483_032, 216_589_760),
    ("mobilenet_v3_large", 0.75, 224, 3_993_528, 154_560_624),
    ("mobilenet_v3_small", 1.0, 224, 2_542_856, 56_510_400),
    ("mobilenet_v3_small", 0.75, 224, 2_041_872, 43_399_344),
    ("mobilenet_v3_small", 0.5, 224, 1_593_224, 24_188_688),
    ("mobilenet_v3_large_minimalistic", 1.0, 224, 3_924_288, 209_136_704),
    ("mobilenet_v3_small_minimalistic", 1.0, 224, 2_044_736, 52_288_448),
    ("mobilenet_v4_conv_small", 1.0, 224, 3_774_024, 186_005_568),
    ("mobilenet_v4_conv_small", 1.0, 256, 3_774_024, 242_178_048),
    ("mobilenet_v4_conv_small", 0.5, 224, 2_238_952, 64_741_408),
    ("mnasnet_b1", 1.3, 224, 6_282_256, 526_362_432),
    ("mnasnet_b1", 1.0, 224, 4_383_312, 314_415_872),
    ("mnasnet_b1", 0.75, 224, 3_170_208, 215_493_104),
    ("mnasnet_b1", 0.5, 224, 2_218_512, 104_455_968),
    ("mnasnet_a1", 1.4, 224, 6_105_992, 586_317_952),
    ("mnasnet_a1", 1.0, 224, 3_887_038, 311_579_072),
    ("mnasnet_a1", 0.75, 224, 2_912_278, 223_448_480),
    ("mnasnet_a1", 0.5, 224, 2_082_006, 103_162_992),
    ("mnasnet_a1", 0.35, 96, 1_747_018, 12_400_640),
    ("mnasnet_small", 1.0, 224, 2_030_264, 68_339_184),
    ("efficientnet_b0", 1.0, 224, 5_288_548, 385_814_752),
    ("efficientnet_lite0", 1.0, 224, 4_652_008, 385_187_552),
    ("efficientnet_lite1", 1.0, 240, 5_416_680, 600_185_232),
    ("efficientnet_lite2", 1.0, 260, 6_092_072, 859_736_272),
    ("ghostnet", 1.3, 224, 7_358_820, 227_003_256),
    ("ghostnet", 1.0, 224, 5_182_508, 141_150_512),
    ("ghostnet", 0.5, 224, 2_587_292, 42_328_152),
]
NAMES = sorted({name for name, *_ in EXACT})
ONE_A_FAMILY = ["mobilenet_v3_small", "mobilenet_v4_conv_small", "mnasnet_a1", "efficientnet_b0", "ghostnet"]


@pytest.mark.parametrize(("name", "width", "resolution", "params", "macs"), EXACT)
def test_later_counts_are_exact(name: str, width: float, resolution: int, params: int, macs: int) -> None:
    cost = count(trace_spec(ModelSpec(name, width, resolution)))
    assert (cost.params, cost.macs) == (params, macs)


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("mobilenet_v3_large", [16, 24, 40, 112, 960]),
        ("mobilenet_v3_small", [16, 16, 24, 48, 576]),
        ("mobilenet_v4_conv_small", [32, 32, 64, 96, 960]),
        ("mnasnet_b1", [16, 24, 40, 96, 1280]),
        ("mnasnet_a1", [16, 24, 40, 112, 1280]),
        ("efficientnet_b0", [16, 24, 40, 112, 1280]),
        ("efficientnet_lite0", [16, 24, 40, 112, 1280]),
        ("efficientnet_lite2", [16, 24, 48, 120, 1280]),
        ("ghostnet", [16, 24, 40, 112, 960]),
    ],
)
def test_stages_are_the_papers(name: str, channels: list[int]) -> None:
    with torch.device("meta"):
        stages = build(name).stages()
    assert [stage.channels for stage in stages] == channels
    assert [stage.stride for stage in stages] == [2, 4, 8, 16, 32]


@pytest.mark.parametrize("name", NAMES)
def test_one_step_of_training_lowers_the_loss(name: str) -> None:
    torch.manual_seed(0)
    net = build(name, resolution=64, num_classes=3, dropout=0.0).train()
    images, labels = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 0])
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4)
    loss = nn.functional.cross_entropy(net(images), labels)
    loss.backward()
    assert not [key for key, weight in net.named_parameters() if weight.grad is None or not weight.grad.any()]
    optimizer.step()
    assert nn.functional.cross_entropy(net(images), labels) < loss


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("name", NAMES)
def test_runs_at_any_resolution_from_32(name: str, padding: str) -> None:
    if padding not in family_of(name).paddings:
        with pytest.raises(UsageError, match="padding rule symmetric"):
            build(name, padding="same")
        return
    net = build(name, width=0.25, num_classes=7, padding=padding).eval()  # type: ignore[arg-type]
    assert any(isinstance(module, Conv2dSame) for module in net.modules()) == (padding == "same")
    for resolution in (32, 75, 96):
        maps = net.features(torch.zeros(2, 3, resolution, resolution))
        assert maps.shape[2:] == (-(-resolution // 32),) * 2
    assert net(torch.zeros(2, 3, 75, 75)).shape == (2, 7)


@pytest.mark.parametrize("name", NAMES)
def test_below_32_pixels_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="at least 32 pixels"):
        build(name, resolution=31)


@pytest.mark.parametrize("name", NAMES)
def test_grey_images_change_the_first_layer_only(name: str) -> None:
    grey, colored = (build(name, width=0.25, in_channels=channels).eval() for channels in (1, 3))
    assert grey(torch.zeros(1, 1, 64, 64)).shape == (1, 1000)
    pairs = zip(grey.state_dict().items(), colored.state_dict().items(), strict=True)
    differing = [key for (key, one), (_, three) in pairs if one.shape != three.shape]
    assert differing == [next(iter(colored.state_dict()))]


@pytest.mark.parametrize("name", NAMES)
def test_dropout_is_the_papers_or_ones_own(name: str) -> None:
    usual = {"mobilenet_v4_conv_small": 0.3, "mnasnet_small": 0.0, "efficientnet_lite2": 0.3}.get(name, 0.2)
    found = [
        [module.p for module in build(name, width=0.25, dropout=given).modules() if isinstance(module, nn.Dropout)]
        for given in (None, 0.0, 0.4)
    ]
    assert found == [[usual], [0.0], [0.4]]


@pytest.mark.parametrize("name", NAMES)
def test_classes_change_the_last_layer_only(name: str) -> None:
    few, many = (build(name, width=0.25, num_classes=classes).state_dict() for classes in (3, 1000))
    differing = [key for key in many if few[key].shape != many[key].shape]
    assert differing == list(many)[-2:]
    assert all(key.startswith("classifier.") for key in differing)


@pytest.mark.parametrize("name", ONE_A_FAMILY)
def test_scripts_to_the_same_answer(name: str) -> None:
    torch.manual_seed(0)
    net = build(name, width=0.35, num_classes=5, padding=family_of(name).paddings[-1]).eval()  # type: ignore[arg-type]
    with pytest.warns(DeprecationWarning, match="torch.jit.script"):
        scripted = torch.jit.script(net)
    images = torch.randn(2, 3, 64, 64)
    answers = net(images)
    assert bool((answers[0] != answers[1]).any())
    torch.testing.assert_close(scripted(images), answers)


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_A_FAMILY)
def test_exports_to_the_same_answer(name: str) -> None:
    torch.manual_seed(0)
    net = build(name, width=0.35, num_classes=5).eval()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(torch.export.export(net, (images,)).module()(images), net(images))


@pytest.mark.parametrize(
    ("name", "squeezed"),
    [
        ("mobilenet_v3_large", [24, 32, 32, 120, 168, 168, 240, 240]),
        ("mobilenet_v3_small", [8, 24, 64, 64, 32, 40, 72, 144, 144]),
        ("mobilenet_v3_small_minimalistic", []),
        ("mnasnet_a1", [6, 10, 10, 20, 28, 28, 40, 40]),
        ("mnasnet_b1", []),
        ("efficientnet_b0", [8, 4, 6, 6, 10, 10, 20, 20, 20, 28, 28, 28, 48, 48, 48, 48]),
        ("efficientnet_lite0", []),
        ("ghostnet", [20, 32, 120, 168, 168, 240, 240]),
    ],
)
def test_squeezes_have_the_released_widths(name: str, squeezed: list[int]) -> None:
    with torch.device("meta"):
        net = build(name)
    assert [m.reduce.out_channels for m in net.modules() if isinstance(m, SqueezeExcite)] == squeezed


def test_minimalistic_nets_have_the_plain_layers_only() -> None:
    with torch.device("meta"):
        net = build("mobilenet_v3_large_minimalistic")
    kinds = {type(module) for module in net.modules() if not list(module.children())}
    assert kinds == {nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Linear, nn.Dropout}
    assert {m.kernel_size for m in net.modules() if isinstance(m, nn.Conv2d)} == {(1, 1), (3, 3)}


def test_lite_keeps_its_ends_at_every_width() -> None:
    with torch.device("meta"):
        ends = [
            [net.features[0][0].out_channels, net.features[-1][0].out_channels]  # type: ignore[index]
            for net in (build("efficientnet_lite0", width=0.5), build("efficientnet_b0", width=0.5))
        ]
    assert ends == [[32, 1280], [16, 640]]


def test_universal_bottleneck_strides_once() -> None:
    with torch.device("meta"):
        net = build("mobilenet_v4_conv_small")
    strided = [m.kernel_size[0] for m in net.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    assert strided == [3, 3, 3, 5, 3]
