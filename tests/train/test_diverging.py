"""A training whose numbers grow beyond all bounds ends with a sentence, and the last good weights are kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import pocketvision
from pocketvision.cli.app import run
from pocketvision.errors import Diverged
from pocketvision.models.catalogue import build
from pocketvision.settings.groups import TrainConfig
from pocketvision.train import loop
from pocketvision.train.batches import TrainImages
from pocketvision.train.checkpoint import Checkpoint
from pocketvision.train.recipe import recipe_for
from pocketvision.train.trainer import Trainer
from pocketvision.values import ImageSpec

TINY = ["--model", "mobilenet_v1", "--width", "0.125", "--resolution", "32", "--weights", "none"]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: Any) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for label, light in (("cat", 60), ("dog", 180)):
        (tmp_path / "base" / label).mkdir(parents=True)
        for number in range(12):
            pixels = (rng.integers(0, 70, (40, 40, 3)) + light).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "base" / label / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("verb", ["train", "fit"])
def test_it_ends_with_a_sentence_again_and_again(verb: str, optimizer: str, photos: Path, capsys: Any) -> None:
    command = [verb, "base", *TINY, "--epochs", "2", "--lr", "1e30", "--optimizer", optimizer, "--name", "x"]
    for more in ([], ["--resume"]):
        assert run([*command, *more]) == 1
        assert "error: training diverged in epoch 1" in capsys.readouterr().err
    assert list((photos / "runs" / verb / "x").rglob("*.safetensors")) == []


def test_distillation_ends_so_too(photos: Path) -> None:
    small = {"model": "mobilenet_v1", "width": 0.125, "resolution": 32, "epochs": 1, "val": 0.3}
    teacher = pocketvision.train("base", weights="none", name="teacher", **small)  # type: ignore[arg-type]
    with pytest.raises(Diverged, match="lower one, such as --lr"):
        pocketvision.distill(teacher.run, "base", lr=1e30, views=1, **small)  # type: ignore[arg-type]


def test_weights_from_before_are_kept_as_the_last(photos: Path, capsys: Any) -> None:
    assert run(["train", "base", *TINY, "--epochs", "1", "--name", "start"]) == 0
    start = "runs/train/start/weights/best.safetensors"
    assert run(["train", "base", "--weights", start, "--resolution", "32", "--lr", "1e30", "--name", "x"]) == 1
    last = Path("runs/train/x/weights/last.safetensors")
    assert f"The best weights from before are in {last.as_posix()}\n" in capsys.readouterr().err
    kept = load_file(last)
    assert all(bool(tensor.isfinite().all()) for tensor in kept.values())
    assert kept.keys() == load_file(start).keys()


def trained(folder: Path, rate: float, transfer: bool) -> Trainer:
    torch.manual_seed(0)
    net = build("mobilenet_v1", width=0.125, resolution=32, num_classes=2)
    rng, labels = np.random.default_rng(0), np.arange(24) % 2
    shown = (rng.integers(0, 100, (24, 32, 32, 3)) + 150 * labels[:, None, None, None]).astype(np.uint8)
    images = TrainImages(shown, shown, labels, shown, labels)
    recipe = recipe_for(TrainConfig(epochs=2, batch_size=8, lr=rate, flip=False), examples=24, transfer=transfer)
    trainer = Trainer(net, images, ImageSpec(32), recipe, folder)
    trainer.train()
    return trainer


def test_the_net_holds_the_trained_head_where_all_of_it_diverges(tmp_path: Path) -> None:
    with pytest.raises(Diverged) as caught:
        trained(tmp_path, 1e30, transfer=True)
    assert caught.value.kept
    assert Checkpoint(tmp_path / "weights").has_finite_best("all")


def test_a_checkpoint_that_holds_no_numbers_is_not_gone_on_with(tmp_path: Path, monkeypatch: Any) -> None:
    """An earlier version kept what had diverged."""
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_require_finite", lambda *_: None)
        patch.setattr(loop.Loop, "_epoch", _ruined)
        trained(tmp_path, 0.01, transfer=False)
    with pytest.raises(Diverged) as caught:
        trained(tmp_path, 0.01, transfer=False)
    assert not caught.value.kept


def _ruined(loop: Any, phase: Any, state: Any, number: int, advance: Any) -> Any:
    from pocketvision.train.evaluate import Evaluation
    from pocketvision.values import Epoch

    for weight in (*state.module.parameters(), *state.average.module.parameters()):
        weight.data.fill_(torch.nan)
    losses = np.full(24, np.nan)
    epoch = Epoch(number + 1, "all", 0.01, np.nan, 0.5, np.nan, 0.5, 1.0, 1.0)
    return epoch, Evaluation(losses, 0.5, 0.5), False
