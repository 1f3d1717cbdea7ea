"""Plans, time limits, layers' rates and modes, balance, batches made ahead: what surrounds the loop."""

import math
import threading
import time
from collections.abc import Iterator
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pocketvision.clock import Clock, command_begins, seconds
from pocketvision.errors import UsageError
from pocketvision.metrics.calibration import temperature
from pocketvision.models.catalogue import build
from pocketvision.settings.groups import TrainConfig
from pocketvision.tasks.classify.learning import CrossEntropy, class_weights
from pocketvision.train import schedule as scheduling
from pocketvision.train.batches import TrainImages, mixed, prefetch, shuffled
from pocketvision.train.checkpoint import Checkpoint
from pocketvision.train.evaluate import evaluate, within_noise
from pocketvision.train.loop import step
from pocketvision.train.objective import Batch
from pocketvision.train.optimizer import layer_groups, optimizer_for, set_train_mode
from pocketvision.train.recipe import Recipe, balance_for, recipe_for
from pocketvision.train.schedule import Speed, fitted, scheduled
from pocketvision.train.trainer import Trainer
from pocketvision.values import ImageSpec

CPU = torch.device("cpu")
RECIPE = replace(
    recipe_for(
        TrainConfig(epochs=4, batch_size=16, patience=99, flip=False, seed=5, fine_tune="all"),
        transfer=True,
        examples=48,
    ),
    progressive_start=0.5,
    progressive_epochs=0.5,
    frozen=0.5,
    rate_decay=0.9,
    mixup=0.2,
    head_epochs=1,
)


def training(folder: Path, recipe: Recipe, clock: Clock | None = None) -> Trainer:
    rng = np.random.default_rng(0)
    train, val = (rng.integers(0, 256, (count, 80, 80, 3), np.uint8) for count in (48, 20))
    images = TrainImages(train, train, np.arange(48) % 3 // 2, val, np.arange(20) % 2)
    torch.manual_seed(3)
    net = build("mobilenet_v1", width=0.125, resolution=80, num_classes=2)
    return Trainer(net, images, ImageSpec(80), recipe, folder, clock=clock or Clock())


class Sand(Clock):
    """A clock that loses a second whenever it is asked."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(limit_s)
        self.asked = 0

    def spent(self) -> float:
        self.asked += 1
        return float(self.asked)


def test_the_resolution_rises_and_ends_at_the_nets() -> None:
    schedule = scheduled(replace(RECIPE, epochs=10, progressive_start=0.6, progressive_epochs=0.5, frozen=0.3), 160, 12)
    assert schedule.resolutions == (96, 112, 128, 144, 144) + (160,) * 5 or schedule.resolutions[5:] == (160,) * 5
    assert list(schedule.resolutions) == sorted(schedule.resolutions)
    assert schedule.resolutions[0] == 96
    assert schedule.frozen == (6,) * 3 + (0,) * 7
    assert scheduled(replace(RECIPE, progressive_start=0.5), 48, 12).resolutions == (48,) * 4


def test_a_plan_fits_the_time() -> None:
    speed = Speed(step=0.1, small_step=0.04, small=64, resolution=128, validation=0.5)

    def of(epochs: int) -> scheduling.Schedule:
        return scheduled(replace(RECIPE, epochs=epochs), 128, 12)

    for left in (3.0, 10.0, 20.0, 1000.0):
        schedule = fitted(of, speed, steps=20, most=15, left_s=left)
        assert sum(schedule.seconds) <= left
        assert len(schedule.seconds) == len(schedule.resolutions) <= 15
        longer = fitted(of, speed, steps=20, most=15, left_s=2 * left)
        assert len(longer.resolutions) >= len(schedule.resolutions)
    assert len(fitted(of, speed, steps=20, most=15, left_s=1000.0).resolutions) == 15
    assert speed.of(64) == pytest.approx(0.04)
    assert speed.of(128) == pytest.approx(0.1)


def test_low_epochs_fill_the_time_before_fewer_are_taken() -> None:
    speed = Speed(step=0.1, small_step=0.02, small=64, resolution=128, validation=0.0)

    def of(epochs: int) -> scheduling.Schedule:
        return scheduled(replace(RECIPE, epochs=epochs, progressive_epochs=0.0), 128, 12)

    schedule = fitted(of, speed, steps=10, most=6, left_s=2.2)
    assert schedule.resolutions == (64,) * 5 + (128,)
    assert sum(schedule.seconds) == pytest.approx(2.0)
    assert fitted(of, speed, steps=10, most=6, left_s=7.0).resolutions == (128,) * 6


def test_without_time_for_a_low_epoch_a_trained_head_is_left_as_it_is() -> None:
    speed = Speed(step=0.1, small_step=0.04, small=64, resolution=128, validation=0.5)

    def of(epochs: int) -> scheduling.Schedule:
        return scheduled(replace(RECIPE, epochs=epochs), 128, 12)

    assert fitted(of, speed, steps=20, most=15, left_s=0.1).resolutions == ()
    scratch = fitted(lambda n: replace(of(n), head_epochs=0), speed, steps=20, most=15, left_s=0.1)
    assert scratch.resolutions == (64,)


def test_the_head_takes_no_more_images_than_the_time_allows() -> None:
    speed = Speed(step=0.1, small_step=0.1, small=64, resolution=64, validation=0.5, feature=0.01)
    assert scheduling.head_images(1000, speed, mirrored=True, left_s=50) == (None, 20.0)
    assert scheduling.head_images(1000, speed, mirrored=True, left_s=10) == (500, 5.0)
    assert scheduling.head_images(1000, speed, mirrored=True, left_s=0)[0] == 256
    assert scheduling.head_images(100, speed, mirrored=False, left_s=0) == (100, 1.0)


class Fake(Clock):
    """A clock that moves only when it is told to."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(limit_s)
        self.now = 0.0

    def spent(self) -> float:
        return self.now


def test_the_end_is_within_a_twentieth_whatever_the_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps take as long as was forecast, half longer, or twice as long; the time is never over by more than a step."""
    from pocketvision.train import loop, planning

    for slower in (1.0, 1.5, 2.0):
        clock = Fake(100.0)
        forecast = Speed(step=0.5, small_step=0.5, small=80, resolution=80, validation=0.0)
        recipe = replace(RECIPE, epochs=400, progressive_epochs=0.0, mixup=0.0, head_epochs=0, patience=999)
        task = training(tmp_path / str(slower), recipe, clock)
        monkeypatch.setattr(planning, "measured", lambda *_, found=forecast: found)
        real = step

        def slow(*args, clock=clock, slower=slower, real=real, **settings):  # type: ignore[no-untyped-def]
            clock.now += 0.5 * slower
            return real(*args, **settings)

        monkeypatch.setattr(loop, "step", slow)
        monkeypatch.setattr("time.perf_counter", lambda clock=clock: clock.now)
        task.train()
        monkeypatch.undo()
        assert 93 <= clock.now <= 101


def test_a_head_alone_can_be_all_that_is_trained(tmp_path: Path) -> None:
    task = training(tmp_path, replace(RECIPE, head_epochs=3), Clock(1e-6))
    epochs = task.train()
    assert [epoch.phase for epoch in epochs] == ["head"] * 3
    again = training(tmp_path, replace(RECIPE, head_epochs=3), Clock(1e-6))
    assert again.train() == epochs
    assert all(map(torch.equal, task.net.state_dict().values(), again.net.state_dict().values()))


def test_a_clock_counts_from_the_commands_beginning() -> None:
    def within() -> float:
        command_begins()
        time.sleep(0.05)
        return Clock(10).spent()

    assert copy_context().run(within) >= 0.05
    assert Clock(10).spent() < 0.05


def test_a_time_limit_is_kept(tmp_path: Path) -> None:
    training(tmp_path / "first", replace(RECIPE, epochs=1)).train()
    task = training(tmp_path, replace(RECIPE, epochs=400, progressive_epochs=0.0), Clock(5.0))
    epochs = task.train()
    assert 1 <= sum(epoch.phase == "all" for epoch in epochs) < 400
    # An epoch's validation and files come after the last step; the machine may be busy.
    assert task.clock.spent() < 5 + 5


def test_when_the_time_is_over_training_ends_and_stays_ended(tmp_path: Path) -> None:
    epochs = training(tmp_path, replace(RECIPE, epochs=50), Sand(30)).train()
    count = sum(epoch.phase == "all" for epoch in epochs)
    assert 1 <= count < 20
    schedule = Checkpoint(tmp_path / "weights").schedule()
    assert training(tmp_path, replace(RECIPE, epochs=50), Sand(1e6)).train() == epochs
    assert Checkpoint(tmp_path / "weights").schedule() == schedule


def test_interrupted_tries_count() -> None:
    clock = Clock(100)
    clock.count(70)
    clock.reserve(20)
    assert clock.spent() >= 70
    assert clock.left() <= 10
    assert Clock().left() == math.inf
    assert not Clock().limited


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("45", 45), (None, math.inf)])
def test_times_are_read(text: str | None, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "0", "-3m", "ten", "10 days"])
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="write 90s, 10m or"):
        seconds(text)


class Killed(Exception):
    """Stands for a kill."""


def test_with_every_trick_on_a_kill_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = training(tmp_path / "whole", RECIPE)
    whole.train()
    keep = Checkpoint.keep
    for stop in range(1, 5):
        folder = tmp_path / str(stop)
        calls = 0

        def kept(self, *args, stop=stop):  # type: ignore[no-untyped-def]
            nonlocal calls
            calls += 1
            if calls > stop:
                raise Killed
            return keep(self, *args)

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "keep", kept)
            with pytest.raises(Killed):
                training(folder, RECIPE).train()
        again = training(folder, RECIPE)
        again.train()
        assert all(map(torch.equal, whole.net.state_dict().values(), again.net.state_dict().values()))


def test_early_layers_learn_slower_and_are_frozen() -> None:
    net = build("mobilenet_v2", width=0.35, resolution=32, num_classes=2)
    layers = layer_groups(net, 0.5)
    assert layers[-1].module is net.classifier
    assert layers[-1].rate == 1
    assert layers[-3].rate == 0.25
    set_train_mode(net, frozen=4, fixed_norms=True)
    assert [next(iter(part.parameters())).requires_grad for part in net.features][:6] == [False] * 4 + [True] * 2
    assert not any(module.training for module in net.modules() if isinstance(module, nn.BatchNorm2d))
    assert net.classifier.training
    set_train_mode(net, frozen=0, fixed_norms=False)
    assert all(module.training for module in net.modules())
    assert all(weight.requires_grad for weight in net.parameters())


def test_every_weight_has_its_rate(tmp_path: Path) -> None:
    task = training(tmp_path, RECIPE)
    optimizer = optimizer_for(task.whole().groups, RECIPE, 0.01, fused=True)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(task.net.parameters()))
    parts = len(task.net.features) + 1
    expected = {round(0.9**n, 9) for n in range(parts)}
    assert {round(group["rate"], 9) for group in optimizer.param_groups} == expected


def test_class_weights_make_classes_equal() -> None:
    labels = np.array([0] * 8 + [1] * 2 + [3] * 2)
    weights = class_weights(labels, 4)
    sums = np.bincount(labels, weights[labels], minlength=4)
    assert sums.tolist() == pytest.approx([4, 4, 0, 4])
    found = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    batch = Batch(torch.zeros(12, 1), torch.from_numpy(labels), torch.arange(12))
    evaluated = evaluate(torch.nn.Identity(), iter([Batch(found, batch.targets, batch.indices)]), weights)
    value = temperature(found.numpy(), labels)
    loss = CrossEntropy(0.0, torch.from_numpy(weights).float())(found / value, batch)
    assert evaluated.loss == pytest.approx(loss.item(), rel=1e-5)


def test_a_later_epoch_is_kept_unless_it_is_worse_by_more_than_chance() -> None:
    some = np.random.default_rng(0).normal(size=200)
    assert within_noise(some - some.mean() + 0.9 * some.std(ddof=1) / 200**0.5)
    assert not within_noise(some - some.mean() + 1.1 * some.std(ddof=1) / 200**0.5)
    assert within_noise(np.zeros(5))
    assert not within_noise(np.full(5, 0.01))
    assert not within_noise(np.array([0.0]))


def test_the_sampler_draws_classes_equally_often() -> None:
    labels = np.array([0] * 900 + [1] * 100)
    drawn = np.concatenate(shuffled(1000, 32, 7, 0, balanced=labels))
    assert len(drawn) == 1000
    assert 0.44 < labels[drawn].mean() < 0.56
    assert np.array_equal(drawn, np.concatenate(shuffled(1000, 32, 7, 0, balanced=labels)))


@pytest.mark.parametrize(
    ("asked", "counts", "taken"),
    [
        ("auto", [500, 1300], "weights"),
        ("auto", [100, 110], "none"),
        ("none", [1, 99], "none"),
        ("auto", [0, 5], "none"),
    ],
)
def test_balance_is_on_where_classes_are_unequal(asked: str, counts: list[int], taken: str) -> None:
    assert balance_for(asked, counts) == taken
    with pytest.raises(UsageError, match="auto, none, weights, sampler"):
        balance_for("yes", counts)


def test_mixed_images_keep_their_probabilities() -> None:
    batch = Batch(torch.eye(6).reshape(6, 1, 1, 6), torch.arange(6) % 3, torch.arange(6))
    found = mixed(batch, 3, alpha=0.4, seed=1)
    assert torch.allclose(found.targets.sum(1), torch.ones(6))
    assert torch.allclose(found.inputs.sum((1, 2, 3)), torch.ones(6))
    again = mixed(batch, 3, alpha=0.4, seed=1)
    assert torch.equal(found.inputs, again.inputs)
    assert float(CrossEntropy().right(found.targets, found)) == 6


def test_items_made_ahead_come_in_order_and_errors_come_through() -> None:
    def items(fail: bool) -> Iterator[int]:
        yield from range(5)
        if fail:
            raise Killed

    assert list(prefetch(items(fail=False))) == list(range(5))
    with pytest.raises(Killed):
        list(prefetch(items(fail=True)))
    before = threading.active_count()
    started = prefetch(items(fail=False))
    assert next(started) == 0
    started.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
