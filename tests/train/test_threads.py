"""How many threads compute a step: judged by a clock, here one that is told what steps take."""

import pytest
import torch

from pocketvision.train.threads import AGAIN_S, COST, TURNS, Threads, all_threads_after, threads_for


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
