"""Where finished epochs are told, beside results.csv: TensorBoard, Weights & Biases, MLflow; each imported late."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pocketvision.errors import MissingExtra, UnknownName
from pocketvision.files import note, note_below, write_text
from pocketvision.runs import RunFolder
from pocketvision.values import Epoch

LOGS = ("csv", "tensorboard", "wandb", "mlflow")
PROJECT = "pocketvision"


class Logger(Protocol):
    """Receives every finished epoch."""

    def epoch(self, record: Epoch) -> None:
        """Tell one epoch."""

    def close(self) -> None:
        """Write what is still held back."""


class Logs:
    """results.csv, always, and the loggers that were asked for."""

    def __init__(self, folder: Path, loggers: Sequence[Logger] = ()) -> None:
        self._folder, self._loggers = folder, loggers

    def epochs(self, records: Sequence[Epoch]) -> None:
        """Tell that the last of these epochs is finished; the file holds all of them, also after a resume."""
        RunFolder(self._folder).epochs.write(tuple(records))
        for logger in self._loggers:
            logger.epoch(records[-1])

    def close(self) -> None:
        """Close all loggers."""
        for logger in self._loggers:
            logger.close()
        note_below(self._folder / "wandb", "*run-*/**/*")


def log_names(asked: str) -> tuple[str, ...]:
    """Read a list such as 'tensorboard,wandb'; raises UnknownName. `csv` need not be named."""
    names = tuple(dict.fromkeys(name.strip() for name in asked.split(",") if name.strip()))
    for name in names:
        if name not in LOGS:
            raise UnknownName("log", name, LOGS)
    return names


def open_logs(asked: str, folder: Path, settings: Mapping[str, Any]) -> Logs:
    """Open the logs of one run; raises UnknownName, and MissingExtra where a package is not installed."""
    kinds: dict[str, Callable[[Path, Mapping[str, Any]], Logger]]
    kinds = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases, "mlflow": Mlflow}
    return Logs(folder, [kinds[name](folder, settings) for name in log_names(asked) if name != "csv"])


def require_logs(asked: str) -> None:
    """Raise what `open_logs` would raise, before hours of training."""
    for name in log_names(asked):
        if name != "csv":
            _package(name)


def figures(record: Epoch) -> dict[str, float]:
    """Return the numbers of an epoch by their names in results.csv, without its own number."""
    found = {item.name: getattr(record, item.name) for item in dataclasses.fields(record) if item.name != "epoch"}
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


class TensorBoard:
    """Event files in the run's folder `tensorboard`; show them with `tensorboard --logdir`."""

    def __init__(self, folder: Path, _: Mapping[str, Any]) -> None:
        _package("tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(log_dir=str(folder / "tensorboard"))
        note_below(folder / "tensorboard", "events.out.tfevents.*")

    def epoch(self, record: Epoch) -> None:
        """Write one point of each curve."""
        for name, value in figures(record).items():
            self._writer.add_scalar(name, value, record.epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


class WeightsAndBiases:
    """A run of the project `pocketvision`; kept in the run's folder unless WANDB_MODE=online is set."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        wandb = _package("wandb")
        mark = _mark(folder, "wandb") or os.urandom(4).hex()
        mode = os.environ.get("WANDB_MODE", "offline")
        self._run = wandb.init(
            project=PROJECT,
            name=folder.name,
            id=mark,
            resume="allow",
            dir=str(folder),
            config={name: str(value) for name, value in settings.items()},
            mode=mode,
        )
        _keep_mark(folder, "wandb", mark)

    def epoch(self, record: Epoch) -> None:
        """Log one step."""
        self._run.log(figures(record), step=record.epoch)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


class Mlflow:
    """A run of the experiment `pocketvision`; in the run's folder unless MLFLOW_TRACKING_URI is set."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._mlflow = _package("mlflow")
        place = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{(folder / 'mlflow.db').absolute().as_posix()}")
        self._mlflow.set_tracking_uri(place)
        note(folder / "mlflow.db")
        self._mlflow.set_experiment(PROJECT)
        mark = _mark(folder, "mlflow")
        run = self._mlflow.start_run(run_id=mark, run_name=None if mark else folder.name)
        if mark is None:
            self._mlflow.log_params({name: str(value)[:500] for name, value in settings.items()})
            _keep_mark(folder, "mlflow", run.info.run_id)

    def epoch(self, record: Epoch) -> None:
        """Log one step."""
        self._mlflow.log_metrics(figures(record), step=record.epoch)

    def close(self) -> None:
        """End the run."""
        self._mlflow.end_run()


def _package(name: str) -> Any:
    try:
        match name:
            case "tensorboard":
                import tensorboard as package
            case "wandb":
                import wandb as package
            case _:
                import mlflow as package
    except ImportError as error:
        raise MissingExtra(name, name) from error
    return package


def _mark(folder: Path, name: str) -> str | None:
    path = folder / f"{name}_run.txt"
    return path.read_text(encoding="utf-8").strip() if path.exists() else None


def _keep_mark(folder: Path, name: str, mark: str) -> None:
    """Remember a logger's name for this run, so that a resumed training goes on in the same one."""
    write_text(folder / f"{name}_run.txt", f"{mark}\n")
