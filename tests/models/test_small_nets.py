"""The papers' small nets: exact counts, every group and width that is defined, errors for the rest."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pocketvision.cost.count import count
from pocketvision.data.tensors import to_input
from pocketvision.errors import UsageError
from pocketvision.graph.graph import Linear
from pocketvision.graph.run import run
from pocketvision.graph.trace import trace, trace_spec
from pocketvision.models.blocks import ChannelShuffle, Net
from pocketvision.models.catalogue import build, family_of
from pocketvision.models.shufflenet_v1 import COLUMNS, COMPLEXITY
from pocketvision.models.squeezenet import Fire
from pocketvision.values import ImageSpec, ModelSpec

SMALL = (
    "effnet",
    "effnet_baseline",
    "effnet_mobilenet",
    "effnet_shufflenet",
    "fd_mobilenet",
    "mobilenet_v1",
    "mobilenet_v1_full_conv",
    "mobilenet_v1_shallow",
    "shufflenet_v1",
    "shufflenet_v1_se",
    "shufflenet_v1_shallow",
    "shufflenet_v2",
    "squeezenet1_0",
    "squeezenet1_0_complex_bypass",
    "squeezenet1_0_simple_bypass",
    "squeezenet1_1",
    "squeezenet1_1_complex_bypass",
    "squeezenet1_1_simple_bypass",
)
FLATTENED = tuple(name for name in SMALL if name.startswith("effnet"))


def small(name: str, **dials: float | None) -> Net:
    """Build a narrow net for 32 pixels and 7 classes."""
    return build(name, **{"width": 0.5, "resolution": 32, "num_classes": 7, **dials})  # type: ignore[arg-type]


# ---------------------------------------------------------------- counts

# Parameters at 1000 classes and MACs, of a plain-Python counter that knows no framework.
EXACT = [
    (ModelSpec("mobilenet_v1_full_conv"), 29_294_088, 4_867_293_184),
    (ModelSpec("mobilenet_v1_shallow"), 2_887_976, 307_323_392),
    (ModelSpec("squeezenet1_0"), 1_248_424, 818_924_576),
    (ModelSpec("squeezenet1_0", resolution=227), 1_248_424, 832_667_936),
    (ModelSpec("squeezenet1_0_simple_bypass"), 1_248_424, 818_924_576),
    (ModelSpec("squeezenet1_0_complex_bypass"), 1_589_672, 1_165_298_720),
    (ModelSpec("squeezenet1_1"), 1_235_496, 349_151_936),
    (ModelSpec("squeezenet1_1", resolution=227), 1_235_496, 387_747_520),
    (ModelSpec("squeezenet1_1_simple_bypass"), 1_235_496, 349_151_936),
    (ModelSpec("squeezenet1_1_complex_bypass"), 1_572_648, 447_660_736),
    (ModelSpec("shufflenet_v1", groups=1), 1_531_936, 143_078_976),
    (ModelSpec("shufflenet_v1", groups=2), 1_733_848, 140_836_512),
    (ModelSpec("shufflenet_v1", groups=3), 1_865_728, 137_460_672),
    (ModelSpec("shufflenet_v1", groups=4), 1_968_344, 134_339_776),
    (ModelSpec("shufflenet_v1", groups=8), 2_434_768, 138_365_952),
    (ModelSpec("shufflenet_v1", 1.5, groups=3), 3_442_168, 292_443_552),
    (ModelSpec("shufflenet_v1", 1.5, groups=8), 4_269_952, 290_188_800),
    (ModelSpec("shufflenet_v1", 2.0, groups=3), 5_450_776, 524_045_184),
    (ModelSpec("shufflenet_v1", 2.0, groups=8), 6_522_232, 521_942_016),
    (ModelSpec("shufflenet_v1", 0.5, groups=1), 534_484, 38_517_408),
    (ModelSpec("shufflenet_v1", 0.5, groups=3), 718_324, 37_589_856),
    (ModelSpec("shufflenet_v1", 0.5, groups=8), 1_011_448, 40_469_760),
    (ModelSpec("shufflenet_v1", 0.75, groups=1), 975_214, 82_542_672),
    (ModelSpec("shufflenet_v1", 0.75, groups=3), 1_238_266, 79_740_144),
    (ModelSpec("shufflenet_v2", 0.5), 1_366_792, 40_476_448),
    (ModelSpec("shufflenet_v2", 1.0), 2_278_604, 144_907_992),
    (ModelSpec("shufflenet_v2", 1.5), 3_503_624, 295_759_392),
    (ModelSpec("shufflenet_v2", 2.0), 7_393_996, 583_253_464),
    (ModelSpec("fd_mobilenet"), 2_901_288, 144_489_728),
    (ModelSpec("fd_mobilenet", 0.75), 1_833_304, 84_282_816),
    (ModelSpec("fd_mobilenet", 0.5), 993_928, 40_132_224),
    (ModelSpec("fd_mobilenet", 0.25), 383_160, 12_037_952),
    (ModelSpec("effnet", resolution=32, num_classes=10), 151_146, 5_640_192),
    (ModelSpec("effnet_baseline", resolution=32, num_classes=10), 412_234, 39_559_168),
    (ModelSpec("effnet_mobilenet", resolution=32, num_classes=10), 86_666, 2_914_304),
    (ModelSpec("effnet_shufflenet", resolution=32, num_classes=10), 52_522, 2_231_296),
]


@pytest.mark.parametrize(("spec", "params", "macs"), EXACT, ids=str)
def test_counts_are_exact(spec: ModelSpec, params: int, macs: int) -> None:
    cost = count(trace_spec(spec))
    assert (cost.params, cost.macs) == (params, macs)


def test_effnet_without_its_norms() -> None:
    with torch.device("meta"):
        net = build("effnet", num_classes=10)
    norms = sum(weight.numel() for module in norms_of(net) for weight in module.parameters())
    assert norms == 2_240
    assert sum(weight.numel() for weight in net.parameters()) - norms == 148_906


def test_squeezenet_layer_by_layer() -> None:
    with torch.device("meta"):
        net = build("squeezenet1_0")
    parameters = [sum(weight.numel() for weight in layer.parameters()) for layer in (*net.features, *net.classifier)]
    assert [number for number in parameters if number] == [
        14_208, 11_920, 12_432, 45_344, 49_440, 104_880, 111_024, 188_992, 197_184, 513_000,
    ]  # fmt: skip


def million_macs(name: str, width: float, groups: int | None = None, *, head: bool = True) -> float:
    graph = trace_spec(ModelSpec(name, width, groups=groups))
    last = 0 if head else next(node.weight.size for node in graph.nodes if isinstance(node, Linear))
    return (count(graph).macs - last) / 1e6


@pytest.mark.parametrize(("groups", "printed"), [*zip(COLUMNS, COMPLEXITY, strict=True)])
def test_shufflenet_costs_what_table_1_prints(groups: int, printed: int) -> None:
    assert round(million_macs("shufflenet_v1", 1.0, groups, head=False)) == printed


@pytest.mark.parametrize(
    ("width", "groups", "printed"),
    [
        *((0.5, groups, 38) for groups in (1, 2, 3, 4)),
        (0.5, 8, 40),  # 38 in Table 2; 40 in the authors' release, whose stem this is
        *((0.25, groups, 13) for groups in (1, 2, 3, 4, 8)),
        *((1.5, 3, 292), (2.0, 3, 524)),
        *((1.5, 8, 290), (2.0, 8, 522)),  # of the release
    ],
)
def test_shufflenet_costs_what_tables_2_and_5_print(width: float, groups: int, printed: int) -> None:
    assert abs(million_macs("shufflenet_v1", width, groups) - printed) < 1


@pytest.mark.parametrize(
    ("name", "width", "printed"), [("shufflenet_v1_se", 2.0, 527), ("shufflenet_v1_shallow", 0.7, 40)]
)
def test_shufflenets_twins_cost_what_table_5_prints(name: str, width: float, printed: int) -> None:
    assert abs(million_macs(name, width) - printed) < 1


def test_shallow_shufflenet_has_26_layers() -> None:
    with torch.device("meta"):
        deep, shallow = build("shufflenet_v1"), build("shufflenet_v1_shallow")
    assert [layers(net) for net in (deep, shallow)] == [50, 26]


def layers(net: nn.Module) -> int:
    return sum(isinstance(module, nn.Conv2d | nn.Linear) for module in net.modules())


# ---------------------------------------------------------------- what is not defined


@pytest.mark.parametrize(
    ("width", "groups", "defined"),
    [
        (1.5, 2, "2, 1, 0.5, 0.25"),
        (1.5, 4, "2, 1, 0.5, 0.25"),
        (0.75, 4, "2, 1, 0.5, 0.25"),
        (0.6, 8, "2, 1.5, 1, 0.5, 0.25"),
        (0.33, None, "2, 1.5, 1, 0.5, 0.25"),
    ],
)
def test_shufflenets_that_the_paper_does_not_define(width: float, groups: int | None, defined: str) -> None:
    with pytest.raises(UsageError, match=f"not defined by its paper.*groups {groups or 3}: the widths {defined}, and"):
        build("shufflenet_v1", width=width, groups=groups)


def test_shufflenet_knows_its_groups() -> None:
    with pytest.raises(UsageError, match="groups of 3, 1, 2, 4, 8, not 5"):
        build("shufflenet_v1", groups=5)


@pytest.mark.parametrize("name", ["shufflenet_v1", "shufflenet_v2", "effnet", "fd_mobilenet"])
@pytest.mark.parametrize("width", [0, -1])
def test_a_width_is_positive(name: str, width: float) -> None:
    with pytest.raises(UsageError, match="--width takes a number from"):
        build(name, width=width)


@pytest.mark.parametrize("name", FLATTENED)
@pytest.mark.parametrize("resolution", [12, 33, 75])
def test_flattened_maps_need_whole_strides(name: str, resolution: int) -> None:
    with pytest.raises(UsageError, match=f"multiple of 8, not {resolution}"):
        build(name, resolution=resolution)


def test_groups_belong_to_shufflenet_v1() -> None:
    with pytest.raises(UsageError, match="no choice of groups"):
        build("shufflenet_v2", groups=2)


# ---------------------------------------------------------------- shapes


def test_shufflenet_v2_grows_with_its_width() -> None:
    widths = (0.1, 0.5, 0.99, 1.0, 1.49, 1.5, 1.99, 2.0)
    costs = [count(trace_spec(ModelSpec("shufflenet_v2", width))) for width in widths]
    assert [cost.macs for cost in costs] == sorted(cost.macs for cost in costs)


STAGES = [
    ("shufflenet_v1", [(24, 2), (24, 4), (240, 8), (480, 16), (960, 32)]),
    ("shufflenet_v2", [(24, 2), (24, 4), (116, 8), (232, 16), (1024, 32)]),
    ("fd_mobilenet", [(32, 2), (64, 4), (128, 8), (256, 16), (1024, 32)]),
    ("squeezenet1_0", [(96, 2), (256, 4), (512, 8), (512, 16)]),
    ("mobilenet_v1_full_conv", [(64, 2), (128, 4), (256, 8), (512, 16), (1024, 32)]),
]


@pytest.mark.parametrize(("name", "expected"), STAGES)
def test_stages(name: str, expected: list[tuple[int, int]]) -> None:
    with torch.device("meta"):
        net = build(name)
    assert [(stage.channels, stage.stride) for stage in net.stages()] == expected


@pytest.mark.parametrize(
    ("name", "channels"),
    [("effnet", [64, 128, 256]), ("effnet_baseline", [64, 128, 256]), ("effnet_shufflenet", [64, 128, 256])],
)
def test_stages_of_flattened_nets(name: str, channels: list[int]) -> None:
    with torch.device("meta"):
        net = build(name)
    stages = net.stages(32)
    assert [stage.channels for stage in stages] == channels
    assert [stage.stride for stage in stages] == [2, 4, 8]
    assert build(name, num_classes=10).embed(torch.zeros(1, 3, 32, 32)).shape == (1, 256 * 4 * 4)


@pytest.mark.parametrize("name", SMALL)
def test_any_resolution_runs_that_the_strides_allow(name: str) -> None:
    resolution = 40 if name in FLATTENED else 75
    with torch.device("meta"):
        net = small(name, resolution=resolution).eval()
        assert net(torch.empty(1, 3, resolution, resolution)).shape == (1, 7)


@pytest.mark.parametrize("name", SMALL)
def test_every_dial_is_taken(name: str) -> None:
    net = small(name, in_channels=1, dropout=0.35, num_classes=4).eval()
    assert [module.p for module in net.modules() if isinstance(module, nn.Dropout)] == [0.35]
    with torch.no_grad():
        assert net(torch.randn(2, 1, 32, 32)).shape == (2, 4)


@pytest.mark.parametrize("name", SMALL)
def test_classes_show_in_the_head_only(name: str) -> None:
    with torch.device("meta"):
        few, many = (
            {key: value.shape for key, value in small(name, num_classes=number).state_dict().items()}
            for number in (3, 9)
        )
    assert few.keys() == many.keys()
    assert {key for key in few if few[key] != many[key]} == {"classifier.1.weight", "classifier.1.bias"}


# ---------------------------------------------------------------- what runs


@pytest.mark.parametrize("name", SMALL)
def test_one_step_of_training(name: str) -> None:
    torch.manual_seed(0)
    net = small(name, dropout=0.0).train()
    images, labels = torch.randn(16, 3, 32, 32), torch.arange(16) % 7
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4)
    before = nn.functional.cross_entropy(net(images), labels)
    before.backward()
    assert all(weight.grad is not None and bool(weight.grad.isfinite().all()) for weight in net.parameters())
    optimizer.step()
    assert nn.functional.cross_entropy(net(images), labels) < before


def norms_of(net: nn.Module) -> Iterator[nn.BatchNorm2d]:
    return (module for module in net.modules() if isinstance(module, nn.BatchNorm2d))


def lively(net: Net) -> Net:
    """Give batch norms statistics and parameters of their own, so that a wrong order shows."""
    torch.manual_seed(1)
    for module in norms_of(net):
        nn.init.uniform_(module.weight, 0.5, 1.5)
        nn.init.normal_(module.bias, std=0.2)
        module.running_mean = torch.randn(module.num_features) * 0.2
        module.running_var = torch.rand(module.num_features) + 0.5
    return net.eval()


@pytest.mark.parametrize("name", SMALL)
def test_the_graph_answers_as_the_net(name: str) -> None:
    net, image = lively(small(name)), ImageSpec(32)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    with torch.no_grad():
        expected = net(to_input(images, image, torch.device("cpu"))).softmax(1).numpy()
    assert np.abs(run(trace(net, image), images) - expected).max() < 1e-5


@pytest.mark.parametrize("name", ["effnet", "squeezenet1_0_complex_bypass"])
def test_nets_export(name: str) -> None:
    net, batch = lively(small(name)), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        exported = torch.export.export(net, (batch,)).module()
        assert torch.allclose(exported(batch), net(batch), atol=1e-6)


@pytest.mark.parametrize(
    "name", ["effnet_shufflenet", "shufflenet_v1_shallow", "shufflenet_v2", "squeezenet1_1_simple_bypass"]
)
def test_nets_script(name: str) -> None:
    net, batch = lively(small(name)), torch.randn(2, 3, 32, 32)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript itself
        assert torch.allclose(torch.jit.script(net)(batch), net(batch), atol=1e-6)


# ---------------------------------------------------------------- what each paper says


def test_only_grouped_shufflenets_shuffle() -> None:
    with torch.device("meta"):
        shuffles = [
            [
                module.groups
                for module in build("shufflenet_v1", groups=groups).modules()
                if isinstance(module, ChannelShuffle)
            ]
            for groups in (1, 3, 8)
        ]
    assert shuffles == [[], [3] * 16, [8] * 16]


def test_the_first_pointwise_of_stage_2_has_no_groups() -> None:
    with torch.device("meta"):
        net = build("shufflenet_v1", groups=4)
    groups = [
        module.groups for module in net.modules() if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)
    ]
    assert groups == [1] + [4] * 31


@pytest.mark.parametrize("release", ["squeezenet1_0", "squeezenet1_1"])
def test_bypasses_add_to_the_same_layers(release: str) -> None:
    plain = build(release, resolution=32, num_classes=7).eval()
    simple = build(f"{release}_simple_bypass", resolution=32, num_classes=7).eval()
    complex_ = build(f"{release}_complex_bypass", resolution=32, num_classes=7).eval()
    assert plain.state_dict().keys() == simple.state_dict().keys()
    left_over = complex_.state_dict().keys() - plain.state_dict().keys()
    assert len(left_over) == 8
    assert all(".bypass." in key for key in left_over)
    # With weights of zero a fire module gives nothing, and with a simple bypass its input.
    batch = torch.rand(1, 128, 5, 5)
    for net, expected in ((plain, torch.zeros_like(batch)), (simple, batch)):
        fire3 = next(layer for layer in net.features if isinstance(layer, Fire) and layer.squeeze.in_channels == 128)
        for weight in fire3.parameters():
            nn.init.zeros_(weight)
        assert torch.equal(fire3(batch), expected)


def test_activations_are_the_papers() -> None:
    def kinds(name: str) -> set[type[nn.Module]]:
        return {type(module) for module in small(name).modules() if "ReLU" in type(module).__name__}

    assert kinds("fd_mobilenet") == kinds("shufflenet_v1") == kinds("shufflenet_v2") == {nn.ReLU}
    assert kinds("mobilenet_v1_full_conv") == kinds("mobilenet_v1_shallow") == {nn.ReLU6}
    for name in FLATTENED:
        leaks = [module for module in small(name).modules() if isinstance(module, nn.LeakyReLU)]
        assert {module.negative_slope for module in leaks} == {0.3}
        assert len(leaks) == len(list(norms_of(small(name))))


@pytest.mark.parametrize("name", SMALL)
def test_the_family_says_what_it_is(name: str) -> None:
    family = family_of(name)
    assert family.year in range(2016, 2019)
    assert 3 <= len(family.idea.split()) <= 7
    with torch.device("meta"):
        assert family.norms == any(True for _ in norms_of(build(name)))
        assert build(name, width=min(family.widths), resolution=family.smallest).stages(family.smallest)


@pytest.mark.parametrize("width", [0.25, 0.5])
def test_the_released_fd_mobilenets_fit(shared_weights: Path, width: float) -> None:
    file = shared_weights / f"{width:g}x-FDMobileNet-224.pth.tar"
    theirs = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    ours = {
        key: value
        for key, value in build("fd_mobilenet", width=width).state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    assert [value.shape for value in theirs.values()] == [value.shape for value in ours.values()]
    assert [key.rpartition(".")[2] for key in theirs] == [key.rpartition(".")[2] for key in ours]
