"""A delivered file judged for another device: read back as the graph that it was written from, and predicted."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pocketvision import verify
from pocketvision.budget import prediction
from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.export import litert, onnx
from pocketvision.graph.graph import Graph
from pocketvision.graph.trace import trace_spec
from pocketvision.values import Budget, ImageSpec, ModelSpec
from pocketvision.verify.verdicts import predicted_for

SPEC = ModelSpec("mobilenet_v1", 0.25, 32, 3)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """Stand in for a profile, and keep the graphs that it is asked for."""
    asked: list[Graph] = []

    def predict(graphs: list[Graph]) -> Any:
        asked.extend(graphs)
        times = np.full(len(graphs), 5.0)
        return SimpleNamespace(median_ms=times, low_ms=times - 1, high_ms=times + 1, covered=times > 0)

    profile = SimpleNamespace(machine="Pixel 7", runtime_name="LiteRT", threads=1, precision="float", predict=predict)
    monkeypatch.setattr(prediction, "read_profile", lambda path: profile)
    return asked


@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
@pytest.mark.parametrize("precision", ["float", "int8"])
def test_the_graph_is_that_of_the_file(
    precision: Any, suffix: str, seen: list[Graph], toy: Any, tmp_path: Path
) -> None:
    plain = graph = trace_spec(SPEC)
    if precision == "int8":
        noise = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
        graph = quantize(graph, calibrate(graph, noise))
    manifest = replace(toy.manifest, model=SPEC, image=ImageSpec(32), precision=precision, probes=())
    file = tmp_path / f"model{suffix}"
    {".onnx": onnx, ".tflite": litert}[suffix].write(graph, manifest, file)
    assert predicted_for(file, Budget({"max_latency": 10.0})) is None
    found = predicted_for(file, Budget({"max_latency": 10.0}, "pixel7.json"))
    assert found is not None
    assert (found.device, found.median_ms) == ("Pixel 7", 5.0)
    (asked,) = seen
    assert [type(node) for node in asked.nodes] == [type(node) for node in plain.nodes]
    assert list(asked.shapes.values()) == list(plain.shapes.values())
    assert asked.quant is None, "profiles read float graphs"
    assert found.covered == (precision == "float"), "and this one is of float nets"


def test_a_file_that_is_not_read_back_is_judged_by_its_twin(seen: list[Graph], toy: Any, tmp_path: Path) -> None:
    budget = Budget({"max_latency": 10.0}, "pixel7.json")
    (tmp_path / "model.pte").write_bytes(b"no file that is read back")
    assert predicted_for(tmp_path / "model.pte", budget) is None
    manifest = replace(toy.manifest, model=SPEC, image=ImageSpec(32), probes=())
    onnx.write(trace_spec(SPEC), manifest, tmp_path / "model.onnx")
    assert predicted_for(tmp_path / "model.pte", budget) is not None
    assert len(seen) == 1


def test_verify_tells_of_the_device(seen: list[Graph], toy: Any, tmp_path: Path) -> None:
    manifest = replace(toy.manifest, model=SPEC, image=ImageSpec(32), probes=())
    file = tmp_path / "model.onnx"
    onnx.write(trace_spec(SPEC), manifest, file)
    profile = tmp_path / "pixel7.json"
    profile.write_text("{}", encoding="utf-8")
    (verdict,) = verify(file, toy.data, max_latency=f"0.001ms@{profile}").verdicts
    assert (verdict.passed, verdict.measured) == (False, 5.0)
    (verdict,) = verify(file, toy.data, max_latency=f"5ms@{profile}").verdicts
    assert verdict.passed
    assert verdict.predicted is not None
    assert verdict.predicted.high_ms == 6.0
