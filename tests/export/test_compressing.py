"""The verb `compress` on a net trained for the purpose."""

import json
from typing import Any

import pytest

import pocketvision
from pocketvision.cli.app import run as command
from pocketvision.errors import UnknownName, UsageError

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
