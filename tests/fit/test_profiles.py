"""The profile that a choice uses: this machine's own or the shipped one, at the speed of today."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketvision.errors import UnknownName
from pocketvision.files import make_folder
from pocketvision.fit import profiles
from pocketvision.fit.profiles import as_delivered, calibrated, default_profile, opener, own_profile, setting_of
from pocketvision.latency.measure import Timed, machine, reference_graph
from pocketvision.latency.profile import own_path, shipped, write_profile


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path))


def clock(monkeypatch: pytest.MonkeyPatch, times: list[float]) -> None:
    """Let the first nets that are timed take these times, and all others 1 ms."""
    left = list(times)

    def timed(calls: list[Any], **_: Any) -> list[list[Timed]]:
        for call in calls:
            call()
        return [[Timed((left.pop(0) if left else 1.0) / 1000, 1e-5)] * 20 for _ in calls]

    monkeypatch.setattr(profiles, "time_nets", timed)


def own(**changes: Any) -> None:
    path = own_path(runtime="onnx", precision="int8", threads=1)
    make_folder(path.parent)
    write_profile(replace(shipped(runtime="onnx", precision="int8"), **changes), path)


def test_the_shipped_profile_is_brought_to_the_speed_of_its_anchors(monkeypatch: pytest.MonkeyPatch) -> None:
    anchors = shipped(runtime="onnx", precision="float").anchors
    clock(monkeypatch, [2 * anchor.median_ms for anchor in anchors])
    found = default_profile("float16")  # computes as float
    assert (found.precision, found.machine) == ("float", machine())
    assert found.scale == pytest.approx(2)


def test_this_machines_own_profile_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    own(machine=machine(), note="own")
    clock(monkeypatch, [anchor.median_ms for anchor in shipped(runtime="onnx", precision="int8").anchors])
    assert default_profile("int8").note == "own"


def test_another_machines_and_a_damaged_profile_are_passed_over() -> None:
    setting = setting_of("onnx", precision="int8", threads=1)
    assert own_profile(setting) is None
    own(machine="another")
    assert own_profile(setting) is None
    own(machine=machine(), models=())
    assert own_profile(setting) is None


def test_a_runtime_without_profiles_lists_those_with() -> None:
    with pytest.raises(UnknownName, match=r"Known: .*onnx"):
        setting_of("coreml", precision="float", threads=1)


@pytest.mark.parametrize("runtime", ["onnx", "litert"])
@pytest.mark.parametrize("precision", ["float", "int8"])
def test_nets_are_opened_as_they_would_be_delivered(runtime: str, precision: str) -> None:
    graph = reference_graph()
    assert (as_delivered(graph, precision).quant is not None) == (precision == "int8")
    answer = opener(setting_of(runtime, precision=precision, threads=1))(graph)()
    assert np.asarray(answer).shape == (1, 1000)


def test_a_calibration_times_all_nets_and_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketvision.latency.calibrate.fit", _quick_fit)
    monkeypatch.setattr("pocketvision.latency.calibrate.FEWEST", 16)
    monkeypatch.setattr(profiles, "_FEWEST", 16)
    clock(monkeypatch, [*np.linspace(0.1, 5, 16), 0.4])
    found = calibrated(setting_of("litert", precision="int8", threads=1), seconds=1)
    assert (found.nets, found.reference_ms) == (16, 0.4)
    assert len(found.anchors) == 8
    assert found.range_ms == (pytest.approx(0.1), pytest.approx(5))
    assert len(found.errors) == 101


def _quick_fit(*args: Any, **options: Any) -> Any:
    from pocketvision.latency.model import fit

    return fit(*args, **(options | {"steps": 5}))
