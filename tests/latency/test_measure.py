"""The stopwatch, on a clock that the tests turn by hand."""

import importlib
import itertools

import numpy as np
import pytest

from pocketvision.graph.graph import Conv, Linear
from pocketvision.latency.measure import machine, measure, measure_in_turns, noise_words, quick, reference_graph
from pocketvision.values import Latency

module = importlib.import_module("pocketvision.latency.measure")


class Clock:
    """Time stands still except in calls; `slow` makes canaries sing late."""

    def __init__(self):
        self.now = 0.0
        self.canary = 20e-6

    def __call__(self):
        return self.now

    def call(self, milliseconds):
        def run():
            self.now += milliseconds / 1000

        return run


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "perf_counter", clock)
    monkeypatch.setattr(module, "_canary", lambda: clock.canary)
    return clock


def test_both_are_timed_in_turns(clock):
    found = measure(clock.call(2), clock.call(0.5), threads=3, runtime="toy 1.0")
    assert found.median_ms == pytest.approx(2)
    assert found.p90_ms == pytest.approx(2)
    assert found.reference_ms == pytest.approx(0.5)
    assert found.ratio == pytest.approx(4)
    assert (found.threads, found.runtime) == (3, "toy 1.0")
    assert 12 * 20 <= found.runs <= 12 * 21
    assert clock.now < 1.1


def test_a_slow_net_still_gets_a_call_a_visit(clock):
    assert measure(clock.call(300), clock.call(1), threads=1, runtime="toy").runs == 12


def test_quick_takes_a_quarter_of_the_time(clock):
    assert quick(clock.call(1), clock.call(1), threads=1, runtime="toy").median_ms == pytest.approx(1)
    assert clock.now < 0.3


def test_calls_beside_a_late_canary_do_not_count(clock):
    calls = 0

    def run():
        nonlocal calls
        calls += 1
        noisy = calls % 10 > 5
        clock.canary = 40e-6 if noisy else 20e-6
        clock.now += 0.009 if noisy else 0.003

    def reference():
        clock.canary = 20e-6
        clock.now += 0.001

    found = measure(run, reference, threads=1, runtime="toy")
    assert found.median_ms == pytest.approx(3)
    assert found.p90_ms == pytest.approx(3)
    assert found.runs < calls


def test_all_calls_count_where_nothing_was_quiet(clock):
    calls = 0

    def run():
        nonlocal calls
        calls += 1
        clock.canary = 60e-6
        clock.now += 0.005

    def reference():
        clock.canary = 20e-6
        clock.now += 0.001

    found = measure(run, reference, threads=1, runtime="toy")
    assert found.median_ms == pytest.approx(5)
    assert found.runs >= 12 * 8


def test_a_quiet_machine_is_no_noise(clock):
    found = measure(clock.call(2), clock.call(1), threads=1, runtime="toy")
    assert (found.quiet, found.margin) == (1.0, pytest.approx(0, abs=1e-9))
    assert noise_words(found) == ""


def test_a_machine_whose_canaries_are_late_is_too_noisy_to_tell(clock):
    calls = 0

    def run():
        nonlocal calls
        calls += 1
        clock.canary = 60e-6 if calls % 10 > 1 else 20e-6
        clock.now += 0.005

    found = measure(clock.call(5), run, threads=1, runtime="toy")
    assert found.quiet < 0.2
    assert noise_words(found).startswith("too noisy to tell: other work slowed down ")


def test_a_large_net_that_clears_the_cache_is_no_noise(clock):
    def large():
        clock.canary = 30e-6
        clock.now += 0.02

    def reference():
        clock.canary = 20e-6
        clock.now += 0.001

    found = measure(large, reference, threads=1, runtime="toy")
    assert found.median_ms == pytest.approx(20)
    assert noise_words(found) == ""


def test_a_median_that_moves_from_round_to_round_is_too_noisy_to_tell(clock):
    rounds = iter([1.0, 1.3] * 6)

    def visits():
        for speed in rounds:
            run.speed = speed
            yield speed

    def run():
        clock.now += run.speed / 1000

    (found,) = measure_in_turns([(run, "toy")], clock.call(1), threads=1, rounds=visits())
    assert found.quiet == 1
    assert found.margin == pytest.approx(0.15 / 1.15, rel=0.2)
    assert "the median moved by up to 13%" in noise_words(found)


def test_files_side_by_side_take_turns(clock):
    order = []

    def call(name, ms):
        def run():
            order.append(name)
            clock.now += ms / 1000

        return run

    found = measure_in_turns(
        [(call("a", 10), "first 1.0"), (call("b", 20), "second 2.0")], call("r", 5), threads=2, rounds=range(3)
    )
    assert [(one.runtime, one.median_ms, one.reference_ms, one.threads) for one in found] == [
        ("first 1.0", pytest.approx(10), pytest.approx(5), 2),
        ("second 2.0", pytest.approx(20), pytest.approx(5), 2),
    ]
    visits = [name for name, _ in itertools.groupby(order)]
    assert visits == ["a", "b", "r"] * 3


def test_what_was_measured_elsewhere_says_nothing_of_noise():
    assert noise_words(Latency(1, 1, 1, 1, "LiteRT.js", "a phone", 1)) == ""


def test_the_clock_runs(monkeypatch):
    found = measure(lambda: sum(range(2000)), lambda: sum(range(1000)), threads=1, runtime="toy", visits=3, visit_ms=2)
    assert 0 < found.median_ms <= found.p90_ms
    assert 1 < found.ratio < 4
    assert found.machine == machine()


def test_machine_is_described():
    assert "cores" in machine()


def test_the_reference_net_never_changes():
    graph = reference_graph()
    assert graph.shapes[graph.output] == (1000,)
    layers = [node for node in graph.nodes if isinstance(node, Conv | Linear)]
    assert len(layers) == 28
    assert sum(node.learned for node in layers) == 470072  # MobileNet V1 0.25, as printed: 0.5 million
    total = sum(float(np.abs(node.weight).sum()) for node in layers)
    assert total == pytest.approx(40906.77, rel=1e-3)
