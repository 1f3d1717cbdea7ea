"""Loggers: results.csv always, the others on request, late, and only if they are installed."""

import csv
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pocketvision.errors import MissingExtra, UnknownName
from pocketvision.train.logs import LOGS, figures, log_names, open_logs, require_logs
from pocketvision.values import Epoch


def epoch(number: int) -> Epoch:
    return Epoch(
        epoch=number,
        phase="all",
        learning_rate=0.1,
        train_loss=1.0 / number,
        train_accuracy=0.5,
        val_loss=2.0 / number,
        val_accuracy=0.25,
        images_per_s=10.0,
        seconds=1.0,
    )


class Calls(ModuleType):
    """A stand-in package that writes down what is called."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.heard: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: Any, **named: Any) -> Any:
            self.heard.append((name, args, named))
            return SimpleNamespace(log=self.log, finish=self.finish, info=SimpleNamespace(run_id="7"))

        return call

    def named(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(args, named) for heard, args, named in self.heard if heard == name]


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Calls:
    stand_in = Calls(request.param)
    monkeypatch.setitem(sys.modules, request.param, stand_in)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return stand_in


def run(folder: Path, asked: str) -> None:
    logs = open_logs(asked, folder, {"epochs": 2})
    logs.epochs([epoch(1)])
    logs.epochs([epoch(1), epoch(2)])
    logs.close()


def test_the_csv_is_written_always(tmp_path: Path) -> None:
    run(tmp_path, "csv")
    rows = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.csv"]


@pytest.mark.parametrize("package", ["wandb"], indirect=True)
def test_wandb_stays_offline_and_a_resumed_run_is_the_same_one(package: Calls, tmp_path: Path) -> None:
    run(tmp_path, "csv,wandb")
    run(tmp_path, "wandb")
    first, second = (named for _, named in package.named("init"))
    assert first["mode"] == "offline"
    assert (first["project"], first["name"], first["dir"]) == ("pocketvision", tmp_path.name, str(tmp_path))
    assert first["id"] == second["id"]
    assert [named["step"] for _, named in package.named("log")] == [1, 2, 1, 2]
    assert package.named("log")[1][0][0]["val_loss"] == 1.0
    assert len(package.named("finish")) == 2
    assert (tmp_path / "results.csv").exists()


@pytest.mark.parametrize("package", ["mlflow"], indirect=True)
def test_mlflow_stays_in_the_folder_and_a_resumed_run_is_the_same_one(package: Calls, tmp_path: Path) -> None:
    run(tmp_path, "mlflow")
    run(tmp_path, "mlflow")
    assert package.named("set_tracking_uri")[0][0][0].startswith("sqlite:///")
    assert [named["run_id"] for _, named in package.named("start_run")] == [None, "7"]
    assert len(package.named("log_params")) == 1
    assert [named["step"] for _, named in package.named("log_metrics")] == [1, 2, 1, 2]
    assert len(package.named("end_run")) == 2


def test_tensorboard_gets_a_point_an_epoch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    points: list[tuple[str, float, int]] = []
    writer = SimpleNamespace(
        add_scalar=lambda *point: points.append(point), flush=lambda: None, close=lambda: points.append(("end", 0, 0))
    )
    door = ModuleType("torch.utils.tensorboard")
    door.SummaryWriter = lambda log_dir: writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorboard", ModuleType("tensorboard"))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", door)
    run(tmp_path, "tensorboard")
    assert ("val_loss", 2.0, 1) in points
    assert ("val_loss", 1.0, 2) in points
    assert points[-1] == ("end", 0, 0)


def test_the_real_tensorboard_leaves_a_file(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run(tmp_path, "tensorboard")
    assert list((tmp_path / "tensorboard").glob("events.*"))


@pytest.mark.parametrize("name", LOGS[1:])
def test_what_is_not_installed_is_said_with_the_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=rf"pocketvision\[{name}\]"):
        require_logs(f"csv,{name}")


def test_unknown_logs() -> None:
    with pytest.raises(UnknownName, match="tensorboard"):
        log_names("csv,tensorbord")
    assert log_names("csv, wandb,csv") == ("csv", "wandb")


def test_figures_are_numbers_only() -> None:
    found = figures(epoch(1))
    assert "phase" not in found
    assert found["train_loss"] == 1.0
