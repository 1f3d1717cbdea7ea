"""The verb `compress` on a net trained for the purpose."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketvision
from pocketvision.cli.app import run as command
from pocketvision.compress.compress import compress
from pocketvision.compress.steps.named import steps_named
from pocketvision.errors import UnknownName, UsageError
from pocketvision.export.calibrate import calibration
from pocketvision.export.source import open_source
from pocketvision.graph.graph import Conv, Linear
from pocketvision.graph.run import run
from pocketvision.progress import Silent
from pocketvision.runtime import download_bytes
from pocketvision.weights.onnx_file import read_own_onnx

TINY = {"model": "mobilenet_v1", "width": 0.125, "resolution": 32, "epochs": 2, "device": "cpu", "weights": "none"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("runs")
    pocketvision.train("digits", **TINY, output=folder, name="tiny")
    return folder / "train" / "tiny"


def test_steps_and_layers_are_told_and_nothing_is_written(trained: Any) -> None:
    before = sorted(path for path in trained.rglob("*"))
    found = pocketvision.compress(trained)
    assert [stage.steps for stage in found.stages] == ["float", "int8", "equalize, ranges, int8, bias"]
    plain, small, best = found.stages
    assert plain.same_answer == 1
    assert plain.weight_bytes > 3 * small.weight_bytes == 3 * best.weight_bytes
    assert best.same_answer >= small.same_answer - 0.02
    assert plain.validation.count == best.validation.count > 100
    assert [loss.kind for loss in found.layers] == ["3x3", *["depthwise", "pointwise"] * 13, "linear"]
    assert all(loss.alone_db > 10 and loss.alone_same > 0.5 for loss in found.layers)
    assert sorted(path for path in trained.rglob("*")) == before


def test_the_command_prints_tables_and_json(trained: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["compress", str(trained), "--steps", "int8, bias"]) == 0
    printed = capsys.readouterr().out
    assert "int8, bias" in printed
    assert "depthwise" in printed
    assert command(["compress", str(trained), "--steps", "int8", "--json"]) == 0
    assert [stage["steps"] for stage in json.loads(capsys.readouterr().out)["stages"]] == ["float", "int8"]


def test_wrong_steps_and_runs_are_told(trained: Any) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'equalize'"):
        pocketvision.compress(trained, steps="equalise,int8")
    with pytest.raises(UsageError, match="add int8"):
        pocketvision.compress(trained, steps="bias")
    with pytest.raises(UsageError, match="no finished training"):
        pocketvision.compress(trained.parent / "other")


def test_a_pruned_net_of_shared_weights_is_stored_as_deep_compression_does(trained: Any, tmp_path: Path) -> None:
    asked = {"steps": "prune=0.4,share=6", "format": "net", "output": tmp_path / "out"}
    found = pocketvision.compress(trained, **asked)
    assert [stage.steps for stage in found.stages] == ["float", "int8", "prune=0.4", "prune=0.4, share=6"]
    whole, _, pruned, shared = (stage.weight_bytes for stage in found.stages)
    assert shared < 0.5 * pruned < 0.5 * whole
    assert (found.layers, Path(str(found.file)).name, found.strength) == ([], "small.net", None)
    opened, again = (
        open_source(path, None, labels=None, progress=Silent()) for path in (trained, tmp_path / "out" / "small.net")
    )
    assert again.manifest.labels == opened.manifest.labels
    layers = [node for node in again.graph.nodes if isinstance(node, Conv | Linear)]
    assert sum(int((node.weight == 0).sum()) for node in layers) > 0.39 * sum(node.weight.size for node in layers)
    assert max(len(np.unique(node.weight)) for node in layers) <= 64
    images = calibration(opened.images(), opened.manifest.image)
    written = compress(
        opened.graph, calibration(opened.images(), opened.manifest.image, most=500), steps=steps_named(asked["steps"])
    ).graph
    np.testing.assert_array_equal(run(again.graph, images), run(written, images))


def test_the_net_of_any_steps_is_written_where_an_output_is_named(trained: Any, tmp_path: Path) -> None:
    found = pocketvision.compress(trained, steps="quantize=4,compensate,bias", output=tmp_path)
    assert Path(str(found.file)) == tmp_path / "small.onnx"
    assert found.download_bytes == download_bytes(tmp_path / "small.onnx")
    assert found.stages[-1].steps == "quantize=4, compensate, bias"
    weights = read_own_onnx(tmp_path / "small.onnx").weights
    assert max(int(np.abs(layer.weight).max()) for layer in weights.levels.layers.values()) == 7


def test_the_layout_of_shared_weights_asks_for_them(trained: Any) -> None:
    with pytest.raises(UsageError, match="let --steps end in share"):
        pocketvision.compress(trained, format="net")
    with pytest.raises(UsageError, match="write files for runtimes"):
        pocketvision.compress(trained, format="net", steps="share=4", to="20KB")
