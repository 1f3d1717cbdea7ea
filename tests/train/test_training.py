"""Training: it learns, it resumes to the same weights, its settings are checked."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pocketvision.data.tensors import to_input
from pocketvision.errors import UnknownName, UsageError, WeightsError
from pocketvision.metrics.calibration import TEMPERATURES, fitted, temperature
from pocketvision.models.catalogue import build
from pocketvision.progress import Progress, Silent
from pocketvision.settings.groups import TrainConfig
from pocketvision.train.batches import TrainImages, shuffled
from pocketvision.train.checkpoint import Checkpoint
from pocketvision.train.device import device_for
from pocketvision.train.evaluate import fold_temperature, logits
from pocketvision.train.optimizer import learning_rate, moving_average
from pocketvision.train.recipe import Recipe, recipe_for
from pocketvision.train.trainer import Trainer
from pocketvision.values import ImageSpec

CPU = torch.device("cpu")
IMAGE = ImageSpec(32)


def stripes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """TrainImages with bright stripes, either lying (0) or standing (1)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    lines = (np.arange(32) // 4 % 2 * 255).astype(np.uint8)
    image_batch = np.stack([np.tile(lines, (32, 1)) if label else np.tile(lines, (32, 1)).T for label in labels])
    image_batch = image_batch[..., None].repeat(3, -1) // 2 + rng.integers(0, 100, (count, 32, 32, 3), np.uint8)
    return image_batch.astype(np.uint8), labels.astype(np.int64)


def image_batch() -> TrainImages:
    train, labels = stripes(48, 0)
    val, val_labels = stripes(20, 1)
    return TrainImages(train, train, labels, val, val_labels)


RECIPE = recipe_for(
    TrainConfig(epochs=3, batch_size=16, patience=99, flip=False, seed=5, fine_tune="all"), examples=48, transfer=True
)


def trainer(folder: Path, recipe: Recipe = RECIPE, progress: Progress = Silent()) -> Trainer:
    torch.manual_seed(3)
    net = build("mobilenet_v1", width=0.125, resolution=32, num_classes=2)
    return Trainer(net, image_batch(), IMAGE, recipe, folder, progress=progress)


def test_it_learns(tmp_path: Path) -> None:
    recipe = recipe_for(TrainConfig(epochs=30, batch_size=8, patience=99, flip=False), examples=48, transfer=False)
    job = trainer(tmp_path, recipe)
    epochs = job.train()
    assert [epoch.phase for epoch in epochs] == ["all"] * 30
    assert max(epoch.val_accuracy for epoch in epochs) >= 0.95
    found = logits(job.net, job.images.val, IMAGE, CPU)
    assert (found.argmax(1) == job.images.val_labels).mean() >= 0.95
    assert (tmp_path / "results.csv").read_text().count("\n") == 31


class Killed(Exception):
    """Stands for a kill."""


class KillAt(Silent):
    """Dies when the bars have moved so often."""

    def __init__(self, moves: int) -> None:
        self.moves = moves

    def bar(self, title: str, total: int):  # type: ignore[no-untyped-def]
        killer = self

        class Bar:
            def __enter__(self):  # type: ignore[no-untyped-def]
                return self

            def __exit__(self, *_: object) -> None:
                pass

            def advance(self, steps: int = 1, *, note: str = "") -> None:
                killer.moves -= 1
                if killer.moves == 0:
                    raise Killed

        return Bar()


def weights_of(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize("moves", [1, 3, 30, 63, 66, 68, 70, 72, 74])
def test_killed_and_resumed_it_ends_with_the_same_weights(tmp_path: Path, moves: int) -> None:
    whole = trainer(tmp_path / "whole")
    expected_epochs = whole.train()
    with pytest.raises(Killed):
        trainer(tmp_path / "killed", progress=KillAt(moves)).train()
    again = trainer(tmp_path / "killed")
    epochs = again.train()
    expected = weights_of(whole.net)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights_of(again.net).items())
    assert [(e.epoch, e.phase, e.train_loss, e.val_accuracy) for e in epochs] == [
        (e.epoch, e.phase, e.train_loss, e.val_accuracy) for e in expected_epochs
    ]


def test_a_damaged_checkpoint_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        trainer(tmp_path, RECIPE, KillAt(71)).train()
    path = Checkpoint(tmp_path / "weights").path
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(WeightsError, match="start the run anew"):
        trainer(tmp_path, RECIPE).train()


def test_a_checkpoint_of_another_version_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        trainer(tmp_path, RECIPE, KillAt(71)).train()
    path = Checkpoint(tmp_path / "weights").path
    path.write_bytes(path.read_bytes().replace(b"lowest_loss", b"the_other__"))
    with pytest.raises(WeightsError, match=r"was not written by this version .* start the run anew"):
        trainer(tmp_path, RECIPE).train()


def test_the_head_learns_before_the_rest(tmp_path: Path) -> None:
    epochs = trainer(tmp_path, RECIPE).train()
    phases = [epoch.phase for epoch in epochs]
    assert phases == sorted(phases, reverse=True)
    assert {"head", "all"} == set(phases)


def test_the_newest_of_equally_good_weights_are_kept(tmp_path: Path) -> None:
    job = trainer(
        tmp_path, recipe_for(TrainConfig(epochs=6, batch_size=8, lr=1e-9, flip=False), examples=48, transfer=False)
    )
    epochs = job.train()
    _, loss = fitted(logits(job.net, job.images.val, IMAGE, CPU), job.images.val_labels)
    kept = [epoch for epoch in epochs if epoch.kept][-1]
    assert loss == pytest.approx(kept.val_loss, rel=1e-4)
    assert kept.epoch >= min(epochs, key=lambda epoch: epoch.val_loss).epoch


def test_the_best_weights_are_kept_not_the_last(tmp_path: Path) -> None:
    ruinous = recipe_for(TrainConfig(epochs=6, batch_size=8, lr=5.0, flip=False), examples=48, transfer=False)
    job = trainer(tmp_path, ruinous)
    epochs = job.train()
    _, loss = fitted(logits(job.net, job.images.val, IMAGE, CPU), job.images.val_labels)
    assert loss == pytest.approx([epoch for epoch in epochs if epoch.kept][-1].val_loss, rel=1e-4)
    assert not epochs[-1].kept
    assert loss < epochs[-1].val_loss


def test_early_stop(tmp_path: Path) -> None:
    settings = recipe_for(
        TrainConfig(epochs=30, batch_size=8, lr=1e-9, patience=2, flip=False), examples=48, transfer=False
    )
    epochs = trainer(tmp_path, settings).train()
    assert len(epochs) < 30


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    rates = [learning_rate(step, 100, 10, 1.0) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.001


def test_batches_cover_every_example_once_and_none_is_single() -> None:
    for count in (1, 31, 32, 33, 65, 97):
        batches = shuffled(count, 32, 7, 0)
        assert sorted(np.concatenate(batches)) == list(range(count))
        assert count == 1 or min(map(len, batches)) > 1
    assert not np.array_equal(np.concatenate(shuffled(64, 32, 7, 0)), np.concatenate(shuffled(64, 32, 7, 1)))


def test_input_is_normalized_as_the_rule_says() -> None:
    image = ImageSpec(2, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    batch = to_input(np.full((1, 2, 2, 3), 255, np.uint8), image, CPU)
    assert batch[0, :, 0, 0].tolist() == [1.0, 3.0, 1.0]


def test_temperature_makes_confidence_match_accuracy() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(4000, 5)).astype(np.float32)
    shares = np.exp(honest) / np.exp(honest).sum(1, keepdims=True)
    labels = np.array([rng.choice(5, p=row / row.sum()) for row in shares.astype(np.float64)])
    assert temperature(3 * honest, labels) == pytest.approx(3, rel=0.1)
    assert temperature(honest / 2, labels) == pytest.approx(0.5, rel=0.1)
    sure = np.eye(5, dtype=np.float32)[labels]
    assert temperature(sure, labels) == pytest.approx(TEMPERATURES[0])


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "squeezenet1_1"])
def test_folding_the_temperature_divides_the_logits(name: str) -> None:
    net = build(name, width=0.25, resolution=32, num_classes=4).eval()
    pixels = stripes(4, 0)[0]
    before = logits(net, pixels, IMAGE, CPU)
    fold_temperature(net, 2.5)
    assert np.allclose(logits(net, pixels, IMAGE, CPU), before / 2.5, atol=1e-6)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"lr": -0.1}, {"patience": 0}])
def test_impossible_settings(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=r"takes a (whole )?number"):
        recipe_for(TrainConfig(**wrong), examples=48, transfer=True)  # type: ignore[arg-type]


def test_unknown_optimizer_and_device() -> None:
    with pytest.raises(UsageError, match="auto, adamw, sgd"):
        recipe_for(TrainConfig(optimizer="adam"), examples=48, transfer=True)
    with pytest.raises(UsageError, match="auto, upper, all"):
        recipe_for(TrainConfig(fine_tune="head"), examples=48, transfer=True)
    with pytest.raises(UnknownName, match="cuda"):
        device_for("gpu")


def test_the_average_forgets_the_first_weights_soon() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = moving_average(module, steps=1000)
    average.update_parameters(module)
    nn.init.ones_(module.weight)
    for _ in range(30):
        average.update_parameters(module)
    assert average.module.weight.item() > 0.99
    nn.init.zeros_(module.weight)
    for _ in range(1000):
        average.update_parameters(module)
    before = average.module.weight.item()
    nn.init.ones_(module.weight)
    average.update_parameters(module)
    assert average.module.weight.item() - before < 0.01


def test_sgd_runs(tmp_path: Path) -> None:
    settings: Recipe = recipe_for(
        TrainConfig(epochs=2, batch_size=16, optimizer="sgd", flip=False), examples=48, transfer=False
    )
    assert len(trainer(tmp_path, settings).train()) == 2


@pytest.mark.parametrize(("examples", "batch"), [(20, 8), (300, 16), (600, 32), (100_000, 32)])
def test_small_sets_get_small_batches(examples: int, batch: int) -> None:
    assert recipe_for(TrainConfig(), transfer=False, examples=examples).batch_size == batch
