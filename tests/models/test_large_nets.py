"""The larger nets: exact counts, the papers' map sizes, order of layers, dials, one step of training, scripting.

Counts come from an independent plain-Python counter, GMACs in three digits from torchvision's own figures.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional

from pocketvision.cost.count import count
from pocketvision.errors import UsageError
from pocketvision.graph.trace import trace_spec
from pocketvision.models import googlenet, inception_v2, inception_v3, resnet, resnext
from pocketvision.models.blocks import MaxPool2dSame, Net
from pocketvision.models.catalogue import build, family_of
from pocketvision.values import ModelSpec

FOLDER = Path(__file__).parent


class Exact(NamedTuple):
    """Parameters at 1000 classes and MACs at the paper's resolution; `printed_gmacs` where only that is known."""

    params: int
    macs: int | None = None
    printed_gmacs: str = ""


EXACT = {
    "alexnet": Exact(60_965_224, 724_406_816),
    "alexnet_one_tower": Exact(61_100_840, None, "0.714"),
    "vgg11": Exact(132_863_336, None, "7.609"),
    "vgg13": Exact(133_047_848, None, "11.308"),
    "vgg16": Exact(138_357_544, None, "15.47"),
    "vgg19": Exact(143_667_240, None, "19.632"),
    "googlenet": Exact(6_998_552, 1_582_671_872),
    "googlenet_bn": Exact(6_624_904, 1_498_376_192),
    "inception_v2": Exact(11_295_240, 2_032_600_064),
    "inception_v3": Exact(23_834_568, None, "5.713"),
    "xception": Exact(22_855_952, None, "8.4"),
    "resnet18": Exact(11_689_512, None, "1.814"),
    "resnet34": Exact(21_797_672, None, "3.664"),
    "resnet50": Exact(25_557_032, None, "4.089"),
    "resnet101": Exact(44_549_160, None, "7.801"),
    "resnet152": Exact(60_192_808, None, "11.514"),
    "resnet50_paper": Exact(25_557_032, 3_857_973_248),
    "resnet101_paper": Exact(44_549_160, 7_570_194_432),
    "resnet152_paper": Exact(60_192_808, 11_282_415_616),
    "resnext50_32x4d": Exact(25_028_904, 4_230_479_872),
    "resnext101_32x4d": Exact(44_177_704, 7_969_996_800),
    "resnext101_32x8d": Exact(88_791_336, None, "16.414"),
    "resnext101_64x4d": Exact(83_455_272, 15_460_270_080),
    "resnext152_32x4d": Exact(59_951_400, 11_709_513_728),
}
FIXED_MAP = tuple(name for name in EXACT if name.startswith(("alexnet", "vgg")))
# One net of each kind, narrow and small enough to be run for real.
SMALL = {
    "alexnet": 199,
    "alexnet_one_tower": 223,
    "vgg16": 224,
    "googlenet": 47,
    "googlenet_bn": 32,
    "inception_v2": 33,
    "inception_v3": 75,
    "xception": 33,
    "resnet18": 33,
    "resnet50": 33,
    "resnet50_paper": 33,
    "resnext50_32x4d": 33,
}
ANY_MAP = tuple(name for name in SMALL if name not in FIXED_MAP)


def own(name: str) -> int:
    return family_of(name).resolution


@pytest.fixture(autouse=True)
def _no_drawing_on_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawing of weights that are not there, which takes most of the time."""
    draw = nn.init.kaiming_normal_
    monkeypatch.setattr(nn.init, "kaiming_normal_", lambda weight, **how: weight.is_meta or draw(weight, **how))


def weightless(name: str, **settings: object) -> Net:
    with torch.device("meta"):
        return build(name, **settings).eval()  # type: ignore[arg-type]


def image(resolution: int, channels: int = 3) -> torch.Tensor:
    return torch.empty(1, channels, resolution, resolution, device="meta")


def maps(net: Net, resolution: int) -> Iterator[tuple[int, int, int]]:
    """Yield [H, W, C] after every layer of the features, as the papers print it."""
    batch = image(resolution)
    for layer in net.features:
        batch = layer(batch)
        yield batch.shape[2], batch.shape[3], batch.shape[1]


@pytest.mark.parametrize("name", EXACT)
def test_counts_are_exact(name: str) -> None:
    cost, exact = count(trace_spec(ModelSpec(name, resolution=own(name)))), EXACT[name]
    assert cost.params == exact.params
    assert exact.macs in (None, cost.macs)
    digits = len(exact.printed_gmacs.partition(".")[2])
    assert exact.printed_gmacs in ("", f"{cost.macs / 1e9:.{digits}f}")


@pytest.mark.parametrize("name", SMALL)
def test_torch_agrees_on_parameters(name: str) -> None:
    assert sum(weight.numel() for weight in weightless(name).parameters()) == EXACT[name].params


def test_stages_are_as_written(golden: Callable[[Path, str], None]) -> None:
    lines = []
    for name in SMALL:
        lines.append(f"{name} {own(name)}px")
        lines += [
            f"  features.{stage.layer} {stage.channels} channels, stride {stage.stride}"
            for stage in weightless(name).stages(own(name))
        ]
    golden(FOLDER / "large_nets_stages.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("googlenet", [row.output_size for row in googlenet.TABLE_1[:-4]]),
        ("inception_v2", [row.output_size for row in inception_v2.FIGURE_5[:-1]]),
    ],
)
def test_maps_are_those_printed_in_the_table(name: str, printed: list[tuple[int, int, int]]) -> None:
    # The reduction before the 3x3 convolution has no line of its own.
    reduction = (56, 56, 64)
    assert [size for size in maps(weightless(name), 224) if size != reduction] == [
        size for size in printed if size != reduction
    ]


def test_inception_v3_maps_are_those_printed_in_the_table() -> None:
    sizes = [*maps(weightless("inception_v3"), 299)]
    assert [(299, 299, 3), *sizes[:-1]] == [row.input_size for row in inception_v3.TABLE_1]
    assert sizes[-1] == (8, 8, 2048)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet50_paper"])
def test_resnet_maps_are_those_printed_in_the_table(name: str) -> None:
    column = f"layers_{name.removesuffix('_paper').removeprefix('resnet')}"
    cells = [(row.output_size, getattr(row, column)) for row in resnet.TABLE_1]
    printed = [(size, size, cell.convs[-1][1]) for size, cell in cells for _ in range(cell.units)]
    assert [*maps(weightless(name), 224)] == [(112, 112, 64), (56, 56, 64), *printed]


def test_resnext_widths_are_those_printed_in_the_table() -> None:
    units = [unit for unit in weightless("resnext50_32x4d").features if isinstance(unit, resnet.Unit)]
    printed = [(row.convs, row.c) for row in resnext.TABLE_1 for _ in range(row.units)]
    assert [
        (tuple((block[0].kernel_size[0], block[0].out_channels) for block in unit.main), unit.main[1][0].groups)  # type: ignore[index]
        for unit in units
    ] == printed


@pytest.mark.parametrize("name", SMALL)
def test_layers_are_defined_in_running_order(name: str) -> None:
    net = weightless(name, width=0.25)
    ran: list[nn.Module] = []
    leaves = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    for module in leaves:
        module.register_forward_hook(lambda layer, *_: ran.append(layer))
    net(image(own(name)))
    assert ran == leaves


@pytest.mark.parametrize("name", SMALL)
def test_only_the_classifier_knows_the_classes(name: str) -> None:
    three, five = (weightless(name, width=0.25, num_classes=classes).state_dict() for classes in (3, 5))
    differing = {key for key in three if three[key].shape != five[key].shape}
    assert differing == {"classifier.1.weight", "classifier.1.bias"}
    assert {key for key in three if key.startswith("classifier.")} == differing


@pytest.mark.parametrize("name", [*SMALL, "resnext101_64x4d"])
@pytest.mark.parametrize("width", [0.01, 0.3])
def test_any_width_runs_with_one_channel_of_color(name: str, width: float) -> None:
    resolution = SMALL.get(name, 33)
    net = weightless(name, width=width, in_channels=1, num_classes=7, resolution=resolution)
    assert net(image(resolution, 1)).shape == (1, 7)
    assert net.embed(image(resolution, 1)).ndim == 2


@pytest.mark.parametrize("name", ANY_MAP)
@pytest.mark.parametrize("resolution", [97, 130])
def test_any_resolution_runs_and_is_counted(name: str, resolution: int) -> None:
    net = weightless(name, width=0.25, resolution=resolution)
    assert net(image(resolution)).shape == (1, 1000)
    assert count(trace_spec(ModelSpec(name, 0.25, resolution))).macs > 0


@pytest.mark.parametrize(
    ("name", "resolution", "fits"),
    [
        ("alexnet", 300, "199 to 230, 391 to 422"),
        ("alexnet_one_tower", 256, "223 to 254, 415 to 446"),
        ("vgg16", 299, "224 to 255, 448 to 479"),
    ],
)
def test_a_map_that_does_not_fit_is_refused_with_those_that_do(name: str, resolution: int, fits: str) -> None:
    with pytest.raises(UsageError, match=f"{resolution} pixels a side give .* These fit: {fits}"):
        build(name, width=0.1, resolution=resolution)


@pytest.mark.parametrize("name", ["alexnet", "vgg11"])
def test_a_map_of_twice_the_size_is_pooled(name: str) -> None:
    resolution = {"alexnet": 391, "vgg11": 448}[name]
    net = weightless(name, width=0.25, resolution=resolution)
    assert net(image(resolution)).shape == (1, 1000)
    assert count(trace_spec(ModelSpec(name, 0.25, resolution))).params == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_the_smallest_resolution_runs_and_one_less_does_not(name: str) -> None:
    smallest = family_of(name).smallest
    assert weightless(name, width=0.25, resolution=smallest)(image(smallest)).shape == (1, 1000)
    with pytest.raises(UsageError, match=f"at least {smallest} pixels"):
        weightless(name, resolution=smallest - 1)


@pytest.mark.parametrize(
    ("name", "own_share"),
    [("alexnet", 0.5), ("vgg16", 0.5), ("googlenet", 0.4), ("googlenet_bn", 0.2), ("xception", 0.5), ("resnet50", 0.0)],
)
def test_dropout_is_the_papers_or_as_asked(name: str, own_share: float) -> None:
    for asked, share in ((None, own_share), (0.3, 0.3)):
        net = weightless(name, width=0.25, dropout=asked)
        assert {module.p for module in net.modules() if isinstance(module, nn.Dropout)} == {share}


@pytest.mark.parametrize("name", SMALL)
def test_a_narrow_net_learns_from_one_step(name: str) -> None:
    torch.manual_seed(0)
    resolution = SMALL[name]
    net = build(name, width=0.125, resolution=resolution, num_classes=3, dropout=0.0).train()
    batch, labels = torch.randn(6, 3, resolution, resolution), torch.tensor([0, 1, 2] * 2)
    before = functional.cross_entropy(net(batch), labels)
    gradients = torch.autograd.grad(before, tuple(net.parameters()))
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
    norm = sum(float(gradient.square().sum()) for gradient in gradients) ** 0.5
    with torch.no_grad():
        for weight, gradient in zip(net.parameters(), gradients, strict=True):
            weight.sub_(0.001 / norm * gradient)
        assert float(before) < 2, "fresh weights blow the signal up"
        assert functional.cross_entropy(net(batch), labels) < before


def test_alexnet_is_the_formula_of_its_paper() -> None:
    torch.manual_seed(0)
    net = build("alexnet", width=0.125, resolution=227, num_classes=3).eval()
    batch = torch.randn(1, 3, 227, 227)
    convs = [layer for layer in net.features if isinstance(layer, nn.Conv2d)]
    expected = batch
    for place, conv in enumerate(convs, 1):
        assert conv.bias is not None
        weights, biases = conv.weight.chunk(conv.groups), conv.bias.chunk(conv.groups)
        halves = zip(expected.chunk(conv.groups, 1), weights, biases, strict=True)
        towers = [functional.conv2d(part, w, b, conv.stride, conv.padding) for part, w, b in halves]
        expected = torch.cat(towers, 1).relu()
        if place <= 2:
            squares = functional.pad(expected.square(), (0, 0, 0, 0, 2, 2)).unfold(1, 5, 1).sum(-1)
            expected = expected / (1 + 1e-4 / 5 * squares) ** 0.75
        if place in (1, 2, 5):
            expected = functional.max_pool2d(expected, 3, 2)
    assert [conv.groups for conv in convs] == [1, 2, 1, 2, 2]
    torch.testing.assert_close(net.features(batch), expected)


def test_googlenet_norms_stand_after_the_first_pool_and_before_the_second() -> None:
    kinds = [type(layer).__name__ for layer in weightless("googlenet").features][:7]
    assert kinds == [
        "Sequential",
        "MaxPool2d",
        "LocalResponseNorm",
        "Sequential",
        "Sequential",
        "LocalResponseNorm",
        "MaxPool2d",
    ]


@pytest.mark.parametrize("size", [14, 28])
def test_an_even_map_is_pooled_as_in_the_release_of_inception_v2(size: int) -> None:
    batch = torch.randn(1, 2, size, size)
    assert torch.equal(MaxPool2dSame(3, 2)(batch), functional.max_pool2d(batch, 3, 2, ceil_mode=True))


def test_tensorflows_padding_shifts_the_even_pool_of_xception_only() -> None:
    torch.manual_seed(0)
    both = [build("xception", width=0.05, resolution=299, padding=rule).eval() for rule in ("symmetric", "same")]
    both[1].load_state_dict(both[0].state_dict())
    one, other = (next(m for m in net.features[2].modules() if isinstance(m, nn.MaxPool2d)) for net in both)
    for size, equal in ((147, True), (74, False), (37, True), (19, True)):
        batch = torch.randn(1, 1, size, size)
        assert torch.equal(one(batch), other(batch)) is equal
        assert one(batch).shape == other(batch).shape
    with pytest.raises(UsageError, match="padding rule symmetric"):
        build("resnet18", padding="same")


def test_tensorflows_averages_of_inception_v3_leave_the_padding_out() -> None:
    batch = torch.ones(1, 1, 8, 8)
    for padding, corner in (("symmetric", 4 / 9), ("same", 1.0)):
        net = weightless("inception_v3", width=0.05, padding=padding)
        pools = [module for module in net.modules() if isinstance(module, nn.AvgPool2d)]
        assert len(pools) == 9
        assert pools[0](batch)[0, 0, 0, 0].item() == pytest.approx(corner)


@pytest.mark.parametrize(("name", "strided"), [("resnet50", (1, 2, 1)), ("resnet50_paper", (2, 1, 1))])
def test_the_first_unit_of_a_stage_halves_where_the_name_says(name: str, strided: tuple[int, ...]) -> None:
    unit = weightless(name).features[5]
    assert isinstance(unit, resnet.Unit)
    assert tuple(block[0].stride[0] for block in unit.main) == strided  # type: ignore[index]


def scripts_and_answers_the_same(name: str) -> None:
    torch.manual_seed(0)
    resolution = SMALL[name]
    padding = "same" if "same" in family_of(name).paddings else "symmetric"
    net = build(name, width=0.125, resolution=resolution, num_classes=3, padding=padding).eval()  # type: ignore[arg-type]
    batch = torch.randn(1, 3, resolution, resolution)
    torch.testing.assert_close(torch.jit.script(net)(batch), net(batch))


# PyTorch recommends torch.export for new code, and warns of torch.jit.
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", ["alexnet", "vgg16", "resnet18"])
def test_a_net_scripts(name: str) -> None:
    scripts_and_answers_the_same(name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", [name for name in SMALL if name not in ("alexnet", "vgg16", "resnet18")])
def test_a_net_of_many_branches_scripts(name: str) -> None:
    scripts_and_answers_the_same(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet", "inception_v2", "xception", "resnext50_32x4d"])
def test_a_net_exports_with_torch(name: str) -> None:
    resolution = SMALL[name]
    net = build(name, width=0.125, resolution=resolution, num_classes=3).eval()
    batch = torch.randn(1, 3, resolution, resolution)
    torch.testing.assert_close(torch.export.export(net, (batch,)).module()(batch), net(batch))
