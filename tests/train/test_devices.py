"""Devices, precisions and processes: half precision learns, and two processes train as one does."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pocketvision.errors import PocketvisionError, UnknownName
from pocketvision.models.catalogue import build
from pocketvision.settings.groups import TrainConfig
from pocketvision.train.batches import TrainImages
from pocketvision.train.checkpoint import Checkpoint
from pocketvision.train.device import Engine, Precision, engine_for, precision_for
from pocketvision.train.distributed import Shard
from pocketvision.train.recipe import recipe_for
from pocketvision.train.trainer import Trainer
from pocketvision.values import ImageSpec

CPU = torch.device("cpu")


def stripes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """TrainImages with bright stripes, either lying (0) or standing (1)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    lines = (np.arange(32) // 4 % 2 * 255).astype(np.uint8)
    images = np.stack([np.tile(lines, (32, 1)) if label else np.tile(lines, (32, 1)).T for label in labels])
    images = images[..., None].repeat(3, -1) // 2 + rng.integers(0, 100, (count, 32, 32, 3), np.uint8)
    return images.astype(np.uint8), labels.astype(np.int64)


def trained(folder: Path, engine: Engine, name: str, epochs: int = 2) -> tuple[Trainer, float]:
    train, labels = stripes(41, 0)
    val, val_labels = stripes(20, 1)
    torch.manual_seed(3)
    net = build(name, width=0.125, resolution=32, num_classes=2)
    recipe = recipe_for(
        TrainConfig(epochs=epochs, batch_size=10, patience=99, flip=False, seed=5), transfer=False, examples=41
    )
    recipe = replace(recipe, optimizer="sgd", learning_rate=0.03)
    images = TrainImages(train, train, labels, val, val_labels)
    trainer = Trainer(net, images, ImageSpec(32), recipe, folder, engine=engine)
    learned = trainer.train()
    return trainer, max(epoch.val_accuracy for epoch in learned)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns(precision: Precision, tmp_path: Path) -> None:
    trainer, accuracy = trained(tmp_path, Engine(CPU, precision), "mobilenet_v1", epochs=25)
    assert accuracy >= 0.9
    assert all(value.dtype == torch.float32 for value in trainer.net.parameters())


def test_the_checkpoint_keeps_the_scaler(tmp_path: Path) -> None:
    trained(tmp_path, engine := Engine(CPU, "fp16"), "mobilenet_v1", epochs=1)
    stored = load_file(Checkpoint(tmp_path / "weights").path)
    assert stored["scaler.scale"].item() == engine.scaler.get_scale()
    assert stored["scaler._growth_tracker"].item() == engine.scaler.state_dict()["_growth_tracker"]
    fresh = Engine(CPU, "fp16")
    trained(tmp_path, fresh, "mobilenet_v1", epochs=1)  # nothing is left to train: only restored
    assert fresh.scaler.state_dict() == engine.scaler.state_dict()


def test_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [precision_for("auto", torch.device(kind)) for kind in ("cpu", "mps")] == ["fp32", "fp32"]
    for supported, expected in ((True, "bf16"), (False, "fp16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, found=supported: found)
        assert precision_for("auto", torch.device("cuda")) == expected
    with pytest.raises(UnknownName, match="bf16"):
        engine_for("cpu", "half")


def test_alone_there_is_nobody_to_wait_for() -> None:
    engine = engine_for("cpu")
    assert (engine.alone, engine.precision, engine.all(False), engine.first(lambda: 3)) == (True, "fp32", False, 3)


def test_shares_cover_a_batch() -> None:
    for count in (1, 2, 7, 32):
        for processes in (2, 3, 4):
            probabilities = [Shard.of(count, processes, place) for place in range(processes)]
            assert [place for share in probabilities for place in range(share.start, share.stop)] == list(range(count))
            assert max(s.stop - s.start for s in probabilities) - min(s.stop - s.start for s in probabilities) <= 1


def launch(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def few_steps(engine: Engine, name: str) -> dict[str, torch.Tensor]:
    """Return weights, statistics and last gradients after two steps at double precision, on batches of 10 and 7."""
    torch.manual_seed(3)
    net = build(name, width=0.125, resolution=32, num_classes=2).double().train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    rng = torch.Generator().manual_seed(1)
    for count in (10, 7):
        pixels = torch.rand(count, 3, 32, 32, generator=rng, dtype=torch.float64)
        loss = torch.nn.functional.cross_entropy(engine.forward(net, pixels), torch.arange(count) % 2)
        optimizer.zero_grad()
        engine.backward(loss)
        engine.take_step(optimizer)
    gradients = {f"gradient of {key}": value.grad for key, value in net.named_parameters() if value.grad is not None}
    return {**net.state_dict(), **gradients}


def both(folder: Path, what: str, name: str) -> dict[str, torch.Tensor]:
    """Run this file in two processes; return what both of them ended with."""
    done = launch(__file__, str(folder), what, name)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (load_file(folder / f"process_{place}.safetensors") for place in (0, 1))
    for key, value in first.items():
        assert torch.equal(value, second[key]), f"{key} differs between the processes"
    return first


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v1", "shufflenet_v2"])
def test_batch_norms_see_the_whole_batch(name: str, tmp_path: Path) -> None:
    """At double precision: at single, norms of few values make much of the order in which floats are added."""
    together = both(tmp_path, "steps", name)
    for key, value in few_steps(Engine(CPU), name).items():
        scale = max(1e-3, value.abs().max().item())
        assert (together[key] - value).abs().max().item() <= 1e-8 * scale, key


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """A net with dropout and without batch norms, through the loop: weights to 1e-5."""
    trainer, _ = trained(tmp_path / "one", Engine(CPU), "squeezenet1_1")
    together = both(tmp_path / "two", "loop", "squeezenet1_1")
    torch.manual_seed(3)
    start = build("squeezenet1_1", width=0.125, resolution=32, num_classes=2).state_dict()
    moved = 0.0
    for key, value in trainer.net.state_dict().items():
        assert torch.allclose(together[key], value, rtol=0, atol=1e-5), key
        moved = max(moved, (value - start[key]).abs().max().item())
    assert moved > 1e-3
    ours, theirs = ((tmp_path / run / "results.csv").read_text().splitlines() for run in ("one", "two"))
    assert len(ours) == len(theirs)


@pytest.mark.slow
def test_the_command_line_trains_in_two_processes(tmp_path: Path) -> None:
    net = ["--model", "mobilenet_v1", "--width", "0.125", "--resolution", "32", "--weights", "none"]
    rest = ["--epochs", "1", "--device", "cpu", "--output", str(tmp_path), "--name", "two"]
    done = launch("-m", "pocketvision", "train", "digits", *net, *rest)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("validation  ") == 1
    assert (tmp_path / "train" / "two" / "SHA256SUMS").exists()
    assert not list(tmp_path.rglob("*.part"))
    assert len((tmp_path / "train" / "two" / "results.csv").read_text().splitlines()) == 2


def test_other_verbs_refuse_several_processes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pocketvision.cli.app import run

    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("MASTER_ADDR", "localhost")):
        monkeypatch.setenv(name, value)
    assert run(["fit", "digits"]) == 2
    assert "only `train`" in capsys.readouterr().err


@pytest.mark.parametrize("more", [{}, {"RANK": "0"}, {"RANK": "0", "MASTER_ADDR": "here", "WORLD_SIZE": ""}])
def test_a_number_of_processes_that_torchrun_did_not_give_is_passed_over(
    more: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pocketvision.files import first_process, several_processes

    for count in ("2", "many", "-1", "²"):
        for name, value in {"WORLD_SIZE": count, **more}.items():
            monkeypatch.setenv(name, value)
        assert not several_processes()
        assert first_process()


def test_only_the_first_process_writes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pocketvision.files import write_text

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        write_text(tmp_path / f"by_{rank}", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["by_0"]


def test_too_little_memory_is_said_with_a_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pocketvision import train
    from pocketvision.train.trainer import Trainer

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Trainer, "train", full)
    options = {"model": "mobilenet_v1", "width": 0.125, "resolution": 32, "weights": "none", "batch_size": 32}
    with pytest.raises(PocketvisionError, match="lower --resolution"):
        train("digits", **options, output=tmp_path)  # type: ignore[arg-type]


if __name__ == "__main__":
    together = engine_for("cpu")
    place = Path(sys.argv[1])
    place.mkdir(exist_ok=True)
    if sys.argv[2] == "steps":
        found = few_steps(together, sys.argv[3])
    else:
        found = trained(place, together, sys.argv[3])[0].net.state_dict()
    save_file({key: value.contiguous() for key, value in found.items()}, place / f"process_{together.rank}.safetensors")
