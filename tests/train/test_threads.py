"""How many threads compute a step: judged by a clock, here one that is told what steps take."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pocketvision.models.catalogue import build
from pocketvision.settings.groups import TrainConfig
from pocketvision.train import trainer
from pocketvision.train.batches import TrainImages
from pocketvision.train.checkpoint import Checkpoint
from pocketvision.train.device import AGAIN_S, COST, TURNS, Threads, all_threads_after, threads_for
from pocketvision.train.loop import Loop
from pocketvision.train.recipe import recipe_for
from pocketvision.train.trainer import Trainer
from pocketvision.values import ImageSpec


class Machine:
    """Takes as long for a step as it is told, by threads."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.seconds, self.time, self.threads, self.steps = seconds, 0.0, 0, list[int]()

    def now(self) -> float:
        return self.time

    def use(self, count: int) -> None:
        self.threads = count

    def step(self) -> None:
        self.steps.append(self.threads)
        self.time += self.seconds[self.threads]


def on(machine: Machine, most: int) -> Threads:
    return Threads(most, now=machine.now, use=machine.use)


@pytest.mark.parametrize(
    ("seconds", "taken"),
    [
        ({2: 1.0, 1: 1.6}, 2),  # an idle machine
        ({2: 1.2, 1: 1.0}, 2),  # not worth other bits
        ({2: 4.0, 1: 1.6}, 1),  # two threads that wait for each other beside a busy process
        ({16: 2.0, 15: 1.1, 8: 1.9, 1: 9.0}, 15),  # one core of many is taken
        ({4: 1.0, 3: 1.1, 2: 1.5, 1: 2.5}, 4),
    ],
)
def test_the_fastest_is_taken_where_it_is_worth_it(seconds: dict[int, float], taken: int) -> None:
    machine = Machine(seconds)
    threads = on(machine, max(seconds))
    assert threads.measure(machine.step) == taken
    assert machine.steps == list(seconds) * (TURNS + 1)
    assert set(threads.choices) == set(seconds)


def test_one_slow_step_of_chance_decides_nothing() -> None:
    machine = Machine({2: 1.0, 1: 1.6})
    threads = on(machine, 2)

    def step() -> None:
        machine.time += 50.0 * (len(machine.steps) == 2)
        machine.step()

    assert threads.measure(step) == 2


def test_it_is_measured_at_the_start_and_now_and_then() -> None:
    machine = Machine({2: 0.5, 1: 0.9})
    threads = on(machine, 2)
    few = int(2 * TURNS / COST)
    assert not threads.due(few - 1)
    assert threads.due(few)
    threads.measure(machine.step)
    assert not threads.due(10**6)
    machine.time += AGAIN_S
    assert not threads.due(10**6), "measuring took so long that it would cost more than its share"
    machine.time += machine.time / COST
    assert threads.due(1)


def test_a_single_thread_is_never_measured() -> None:
    machine = Machine({1: 1.0})
    assert not on(machine, 1).due(10**6)
    on(machine, 1).take(1)
    assert machine.threads == 0


def test_what_follows_a_training_has_all_threads() -> None:
    machine = Machine({})
    threads = on(machine, 4)
    with all_threads_after(threads):
        threads.take(2)
        assert machine.threads == 2
    assert machine.threads == 4


def test_the_users_own_number_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads_for(torch.device("cpu"), alone=True).most == 1
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    assert threads_for(torch.device("cpu"), alone=True).most == 7
    assert threads_for(torch.device("cpu"), alone=False).most == 1
    assert threads_for(torch.device("cuda"), alone=True).most == 1


class Scripted(Threads):
    """Measures before every epoch, and finds what it is told."""

    def __init__(self, found: list[int]) -> None:
        super().__init__(2)
        self.found = found

    def due(self, steps: int) -> bool:
        return steps > 0

    def measure(self, step: Callable[[], object]) -> int:
        step()
        return self.found.pop(0)


def ended(folder: Path, found: list[int], patch: pytest.MonkeyPatch, *, killed_in: int | None = None) -> bytes:
    """Train for three epochs by the threads found, killed in one of them if asked; return all weights."""
    torch.manual_seed(3)
    net = build("mobilenet_v1", width=0.125, resolution=32, num_classes=2)
    shown, labels = np.random.default_rng(0).integers(0, 255, (48, 32, 32, 3), np.uint8), np.arange(48) % 2
    patch.setattr(trainer, "threads_for", lambda _, **__: Scripted(found))
    epoch = Loop._epoch

    def one(self: Loop, phase: Any, state: Any, number: int, advance: Any) -> Any:
        if number == killed_in:
            raise KeyboardInterrupt
        return epoch(self, phase, state, number, advance)

    recipe = recipe_for(TrainConfig(epochs=3, batch_size=16, patience=9, flip=False), examples=48, transfer=False)
    with patch.context() as inner:
        inner.setattr(Loop, "_epoch", one)
        Trainer(net, TrainImages(shown, shown, labels, shown, labels), ImageSpec(32), recipe, folder).train()
    return b"".join(tensor.numpy().tobytes() for tensor in net.state_dict().values())


def test_a_repeated_epoch_is_computed_by_as_many_threads_as_the_first_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    try:
        whole = ended(tmp_path / "whole", [2, 1, 2], monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            ended(tmp_path / "killed", [2, 1], monkeypatch, killed_in=1)
        assert Checkpoint(tmp_path / "killed/weights").threads("all") == {0: 2, 1: 1}
        assert ended(tmp_path / "killed", [2], monkeypatch) == whole
        assert ended(tmp_path / "other", [1, 1, 1], monkeypatch) != whole, "the number of threads matters"
        Checkpoint(tmp_path / "killed/weights").discard()
        assert not (tmp_path / "killed/weights/threads.json").exists()
    finally:
        torch.set_num_threads(before)
