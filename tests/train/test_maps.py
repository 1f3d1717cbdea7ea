"""Feature maps: they are what the lower layers say, are made once, and the upper layers learn from them."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pocketvision.clock import Clock
from pocketvision.data.augment import Augment, augment, seeds_of
from pocketvision.data.tensors import normalize, to_input
from pocketvision.models.catalogue import build
from pocketvision.progress import Progress, Silent
from pocketvision.settings.groups import TrainConfig
from pocketvision.train import maps
from pocketvision.train.evaluate import logits
from pocketvision.train.forecast import training_seconds
from pocketvision.train.lower import Lower, map_layers_of, upper_of
from pocketvision.train.maps import MapMaker
from pocketvision.train.recipe import Recipe, recipe_for
from pocketvision.train.trainer import Trainer
from pocketvision.values import ModelSpec
from tests.train.test_training import CPU, IMAGE, KillAt, Killed, image_batch, weights_of

OPTIONS = TrainConfig(epochs=4, batch_size=16, patience=99, flip=False, seed=5)
RECIPE = replace(recipe_for(OPTIONS, examples=48, transfer=True), map_layers=7)
MAPS = 3 * 48 + 20
"""Images that are shown to the lower layers: three views of the training images, one of the validation images."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images that lower layers were shown, batch by batch; not the single one that tells the maps' shape."""
    shown: list[int] = []
    forward = Lower.forward

    def counting(self: Lower, batch: torch.Tensor) -> torch.Tensor:
        shown.append(len(batch) if len(batch) > 1 else 0)
        return forward(self, batch)

    monkeypatch.setattr(Lower, "forward", counting)
    return shown


class Heard(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def trainer(
    folder: Path, recipe: Recipe = RECIPE, progress: Progress = Silent(), clock: Clock | None = None
) -> Trainer:
    torch.manual_seed(3)
    net = build("mobilenet_v1", width=0.125, resolution=32, num_classes=2)
    return Trainer(net, image_batch(), IMAGE, recipe, folder, progress=progress, clock=clock or Clock())


@pytest.mark.parametrize(
    "name",
    ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2", "resnet18"],
)
@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_the_two_parts_are_the_net(name: str, padding: str) -> None:
    torch.manual_seed(0)
    try:
        net = build(name, resolution=64, num_classes=5, padding=padding)
    except ValueError:
        pytest.skip("of one padding")
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
    net.eval()
    layers, batch = map_layers_of(net, 64), torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        expected = net.features[:layers](batch)
        assert torch.equal(upper_of(net, layers)(expected), net(batch))
        lower = Lower(net, layers, CPU)
        found = lower(batch).float().permute(0, 3, 1, 2)
    error = (found - expected).abs().mean() / expected.abs().mean()
    assert error < (0.03 if lower.dtype == torch.bfloat16 else 1e-3)
    own = {name: value.data_ptr() for name, value in net.state_dict().items()}
    assert all(own[name] == value.data_ptr() for name, value in upper_of(net, layers).state_dict().items())


def test_maps_are_of_the_views_and_of_the_validation_images(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    maker = MapMaker(one.net, 7, one.views, Silent())
    seeds = seeds_of(5, 1, np.arange(48))
    views = augment(torch.from_numpy(image_batch().source), 32, Augment(flip=False), seeds=seeds)
    lower = one.net.eval().features[:7]
    with torch.no_grad():
        for found, shown in (
            (maker.view(1), normalize(views, IMAGE)),
            (maker.validation(), to_input(image_batch().val, IMAGE, CPU)),
        ):
            expected = lower(shown).permute(0, 2, 3, 1).numpy()
            assert found.shape == expected.shape
            assert np.abs(found - expected).mean() < 0.02 * np.abs(expected).mean()
    assert not np.array_equal(maker.view(0), maker.view(1))


def test_the_lower_layers_stay_and_the_upper_ones_learn(tmp_path: Path) -> None:
    one = trainer(tmp_path, replace(RECIPE, epochs=20, batch_size=8, warmup_epochs=2.0))
    before = weights_of(one.net)
    epochs = one.train()
    assert [epoch.phase for epoch in epochs] == ["upper"] * 20
    assert one.schedule.map_layers == 7
    for name, after in weights_of(one.net).items():
        own_layer = name.startswith("features.") and int(name.split(".")[1]) < 7
        if own_layer or "num_batches" not in name:
            assert torch.equal(after, before[name]) == own_layer, name
    found = logits(one.net, one.images.val, IMAGE, CPU)
    assert (found.argmax(1) == one.images.val_labels).mean() >= 0.9
    with one.last_weights():
        last = weights_of(one.net)
    assert set(last) == set(before)


@pytest.mark.parametrize("moves", [1, 5, 8, 9, 12, 15, 19])
def test_killed_and_resumed_it_ends_with_the_same_weights(tmp_path: Path, moves: int) -> None:
    whole = trainer(tmp_path / "whole")
    expected_epochs = whole.train()
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(Killed):
        trainer(tmp_path / "killed", progress=KillAt(moves)).train()
    again = trainer(tmp_path / "killed")
    epochs = again.train()
    expected = weights_of(whole.net)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights_of(again.net).items())
    assert [(e.phase, e.train_loss, e.val_loss) for e in epochs] == [
        (e.phase, e.train_loss, e.val_loss) for e in expected_epochs
    ]


def test_another_training_of_the_same_start_finds_the_maps(tmp_path: Path, counted: list[int]) -> None:
    trainer(tmp_path / "first").train()
    assert sum(counted) == MAPS
    counted.clear()
    trainer(tmp_path / "second", replace(RECIPE, epochs=3, learning_rate=0.01)).train()
    assert sum(counted) == 0
    other = trainer(tmp_path / "third")
    with torch.no_grad():
        next(other.net.parameters()).mul_(1.5)
    other.train()
    assert sum(counted) == MAPS


def test_where_the_disk_is_full_maps_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = trainer(tmp_path / "kept")
    expected.train()
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    heard = Heard()
    found = trainer(tmp_path / "full", progress=heard)
    found.train()
    assert any("would stay free on the disk" in said for said in heard.said)
    assert not list((tmp_path / "cache").rglob("*.npy"))
    assert all(torch.equal(value, weights_of(found.net)[name]) for name, value in weights_of(expected.net).items())


@pytest.mark.parametrize(
    ("limit", "free", "why"), [("LIMIT_BYTES", 10**15, "GB for maps"), ("IN_MEMORY_BYTES", 10**6, "free on the disk")]
)
def test_maps_that_cannot_be_kept_are_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: list[int], limit: str, free: int, why: str
) -> None:
    monkeypatch.setattr(maps, limit, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    heard = Heard()
    one = trainer(tmp_path, replace(RECIPE, head_epochs=1), progress=heard)
    assert {epoch.phase for epoch in one.train()} == {"head", "all"}
    assert any(why in said and "on pixels" in said for said in heard.said)
    assert sum(counted) == 0


def test_a_map_that_was_damaged_is_made_again(tmp_path: Path, own_cache: Path, counted: list[int]) -> None:
    trainer(tmp_path / "first").train()
    counted.clear()
    damaged = sorted(own_cache.rglob("*.npy"))[0]
    damaged.write_bytes(damaged.read_bytes()[:-40])
    trainer(tmp_path / "second").train()
    assert sum(counted) in (48, 20)


def test_all_of_the_net_is_trained_where_asked(tmp_path: Path, counted: list[int]) -> None:
    recipe = replace(recipe_for(replace(OPTIONS, fine_tune="all"), examples=48, transfer=True), map_layers=7)
    one = trainer(tmp_path, replace(recipe, head_epochs=1))
    assert {epoch.phase for epoch in one.train()} == {"head", "all"}
    assert not counted
    assert recipe_for(OPTIONS, examples=48, transfer=False).fine_tune == "all"


def limited(folder: Path, seconds: float, heard: Progress) -> Trainer:
    return trainer(folder, replace(RECIPE, epochs=400), progress=heard, clock=Clock(seconds))


def test_a_time_limit_counts_maps_and_epochs(tmp_path: Path) -> None:
    heard = Heard()
    one = limited(tmp_path, 4.0, heard)
    epochs = one.train()
    assert one.clock.spent() < 6.0
    assert 0 < len(epochs) <= one.schedule.upper_epochs < 400
    assert one.schedule.maps_s > 0
    assert 0 < one.schedule.forecast_s <= 4.0
    assert any("on the maps of 3 views" in said for said in heard.said)
    assert limited(tmp_path, 4.0, heard).schedule == one.schedule


def test_where_maps_took_all_the_time_one_epoch_is_trained(tmp_path: Path) -> None:
    one = limited(tmp_path, 30.0, Silent())
    assert one.schedule.upper_epochs > 1
    one.clock.count(60.0)
    epochs = one.train()
    assert epochs[0].images_per_s * epochs[0].seconds >= 48
    assert len(epochs) <= 2


def test_without_time_for_maps_the_head_alone_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MapMaker, "image_s", lambda _: 1.0)
    one = limited(tmp_path, 3.0, Silent())
    assert one.schedule.map_layers == 0
    assert one.schedule.head_epochs == 20


@pytest.mark.parametrize(
    ("name", "resolution", "layers"),
    [("mobilenet_v1", 64, 7), ("mobilenet_v1", 160, 11), ("mobilenet_v2", 128, 7), ("mobilenet_v2", 224, 14)],
)
def test_maps_keep_fourteen_places_a_side(name: str, resolution: int, layers: int) -> None:
    net = build(name, width=0.25, resolution=resolution)
    assert map_layers_of(net, resolution) == layers
    with torch.no_grad():
        assert net.eval().features[:layers](torch.zeros(1, 3, resolution, resolution)).shape[2] >= 14
    assert map_layers_of(net, 32) == 0
    assert map_layers_of(net, resolution, 5) == 5


def _seconds(examples: int, **options: object) -> float:
    spec = ModelSpec("mobilenet_v1", 0.125, 64, num_classes=3)
    return training_seconds(spec, "own", examples, validation=10, options=TrainConfig(**options))  # type: ignore[arg-type]


def test_the_forecast_grows_with_images_and_epochs(tmp_path: Path) -> None:
    few, many, longer = _seconds(100), _seconds(3000), _seconds(3000, epochs=30)
    assert 0 < few < many < longer
    assert training_seconds(ModelSpec("mobilenet_v1", 0.125, 64, num_classes=3), "scratch", 3000) > longer / 30
    assert _seconds(3000, fine_tune="all") > 0
