"""The stopwatch, on a clock that the tests turn by hand."""

import importlib

import numpy as np
import pytest

from pocketvision.graph.graph import Conv, Linear
from pocketvision.latency.measure import machine, measure, quick, reference_graph

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
