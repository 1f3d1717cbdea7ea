"""What training keeps on disk: all that an interrupted one needs to end with the same weights, and what it leaves."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pocketvision.errors import UsageError, WeightsError
from pocketvision.files import read_json, write_bytes, write_json
from pocketvision.models.blocks import Net
from pocketvision.models.catalogue import build_spec
from pocketvision.runs import RunFolder
from pocketvision.tasks import Evaluation
from pocketvision.train.evaluate import within_noise
from pocketvision.values import Epoch, Schedule, Trained, from_json, to_json
from pocketvision.weights.load import load_into
from pocketvision.weights.load import read as read_weights


@dataclass(frozen=True)
class Position:
    """Where a training is after `epoch` epochs of its phase."""

    phase: str
    epoch: int = 0
    since_best: int = 0
    lowest_loss: float | None = None
    """Lowest validation loss so far. Judged by loss, not accuracy, which moves by whole images on a small set."""
    kept_accuracy: float = 0.0
    """Validation accuracy of the weights that are kept."""
    epochs: tuple[Epoch, ...] = ()
    """All finished epochs, earlier phases' too."""
    cut: bool = False
    """Whether the time ran out, and this phase is over."""
    spent_s: float = 0.0
    """Time that the run had taken."""
    micro_batch: int | None = None
    """Images that memory held in a step; None where it held every batch."""


@dataclass(frozen=True, eq=False)
class TrainState:
    """What changes while a phase is trained."""

    module: nn.Module
    average: AveragedModel
    """The moving average of the module's weights: what is validated and kept."""
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler | None = None
    """What keeps small gradients from vanishing at fp16; empty at other precisions."""


class Checkpoint:
    """The checkpoint of one run: the newest state of its newest phase, and each phase's best weights."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "checkpoint.safetensors"
        self._earlier: tuple[Epoch, ...] = ()
        self._lowest = torch.empty(0)
        """Loss of each validation image where their mean was lowest."""

    def phase(self) -> str | None:
        """Name the phase that the stored checkpoint belongs to, if there is one."""
        stored = self._stored()
        return stored[0].phase if stored else None

    def restore(self, phase: str, state: TrainState) -> Position:
        """Put the stored state of this phase back in place; a fresh position if there is none."""
        stored = self._stored()
        if stored is None or stored[0].phase != phase:
            return Position(phase, epochs=self._earlier)
        position, tensors = stored
        self._earlier = position.epochs
        state.module.load_state_dict(_under("module.", tensors))
        state.average.load_state_dict(_under("average.", tensors))
        settings = state.optimizer.state_dict()
        settings["state"] = _unflattened(_under("optimizer.", tensors))
        state.optimizer.load_state_dict(settings)
        _laid_out(state.optimizer)
        self._lowest = tensors["lowest"]
        scaling = {name: value.item() for name, value in _under("scaler.", tensors).items()}
        if state.scaler is not None and scaling:
            state.scaler.load_state_dict(scaling)
        return position

    def start(self, position: Position, module: nn.Module, evaluated: Evaluation) -> Position:
        """Take the state before the first epoch as the best so far."""
        write_bytes(self._best(position.phase), save(_weights(module)))
        self._lowest = torch.from_numpy(evaluated.losses)
        return replace(position, lowest_loss=evaluated.loss, kept_accuracy=evaluated.accuracy)

    def keep(self, position: Position, epoch: Epoch, state: TrainState, evaluated: Evaluation) -> Position:
        """Store the state after an epoch; best weights first, so that a kill in between only repeats the epoch.

        `position` says where it stood before, except for `cut`, `spent_s` and `micro_batch`, which are those after it.
        The epoch's weights are kept if their validation loss is the lowest so far, or above it by less than chance.
        """
        before = position.lowest_loss
        lowest = before is None or math.isnan(before) or evaluated.loss < before
        kept = lowest or within_noise(evaluated.losses - self._lowest.numpy())
        epoch = replace(epoch, epoch=len(position.epochs) + 1, kept=kept)
        position = replace(
            position,
            epoch=position.epoch + 1,
            since_best=0 if lowest else position.since_best + 1,
            lowest_loss=evaluated.loss if lowest else position.lowest_loss,
            kept_accuracy=evaluated.accuracy if kept else position.kept_accuracy,
            epochs=(*position.epochs, epoch),
        )
        if lowest:
            self._lowest = torch.from_numpy(evaluated.losses)
        if kept:
            write_bytes(self._best(position.phase), save(_weights(state.average.module)))
        tensors = {f"module.{name}": tensor for name, tensor in _weights(state.module).items()}
        tensors |= {f"average.{name}": tensor for name, tensor in _weights(state.average).items()}
        for place, entry in state.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{place}.{key}": _plain(value) for key, value in entry.items()}
        scaling = state.scaler.state_dict() if state.scaler is not None else {}
        tensors |= {f"scaler.{name}": torch.tensor(value) for name, value in scaling.items()}
        tensors["lowest"] = self._lowest
        meta = {"position": json.dumps(to_json(position))}
        write_bytes(self.path, save(tensors, metadata=meta))
        self._earlier = position.epochs
        return position

    def has_finite_best(self, phase: str) -> bool:
        """Tell whether there are best weights of a phase, and all of them numbers."""
        path = self._best(phase)
        held = _read(path).values() if path.exists() else ()
        return path.exists() and all(bool(one.isfinite().all()) for one in held if one.is_floating_point())

    def load_best(self, phase: str, module: nn.Module) -> None:
        """Put the best weights of a phase into its module."""
        module.load_state_dict(_read(self._best(phase)))

    def last(self) -> dict[str, Tensor]:
        """Return the averaged weights after the newest epoch."""
        return _under("average.module.", _read(self.path))

    def schedule(self) -> Schedule | None:
        """Return the schedule that this run was started with, if it was."""
        return read_json(Schedule, self._schedule) if self._schedule.exists() else None

    def keep_schedule(self, schedule: Schedule) -> Schedule:
        """Store the schedule, which was made by this machine's clock and would not be made twice the same."""
        write_json(self._schedule, schedule)
        return schedule

    def threads(self, phase: str) -> dict[int, int]:
        """Return by how many threads each epoch of a phase was or is to be computed, as far as it was begun."""
        stored = json.loads(self._threads.read_text(encoding="utf-8")) if self._threads.exists() else {}
        return {int(epoch): int(count) for epoch, count in stored.get(phase, {}).items()}

    def keep_threads(self, phase: str, counts: dict[int, int]) -> None:
        """Store the threads of a phase's epochs before the newest begins: repeated, it is computed by as many."""
        stored = json.loads(self._threads.read_text(encoding="utf-8")) if self._threads.exists() else {}
        write_json(self._threads, {**stored, phase: counts})

    @property
    def _threads(self) -> Path:
        return self.path.with_name("threads.json")

    @property
    def _schedule(self) -> Path:
        return self.path.with_name("schedule.json")

    def discard(self) -> None:
        """Remove the files of a finished training."""
        for path in (self.path, self._schedule, self._threads, *self.path.parent.glob("best_of_*.safetensors")):
            path.unlink(missing_ok=True)

    def _best(self, phase: str) -> Path:
        return self.path.with_name(f"best_of_{phase}.safetensors")

    def _stored(self) -> tuple[Position, dict[str, Tensor]] | None:
        if not self.path.exists():
            return None
        tensors = _read(self.path)
        try:
            position = from_json(Position, json.loads(_metadata(self.path)["position"]))
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                f"{self.path} was not written by this version ({error}); delete it and start the run anew"
            ) from error
        return position, tensors


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load(path.read_bytes())
    except SafetensorError as error:
        raise WeightsError(f"{path} is damaged ({error}); delete it and start the run anew") from error


def _metadata(path: Path) -> dict[str, str]:
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(size))
    return dict(header["__metadata__"])


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: _plain(tensor) for name, tensor in module.state_dict().items()}


def _plain(value: Tensor | float) -> Tensor:
    return torch.as_tensor(value).detach().cpu().contiguous().clone()


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _unflattened(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        place, key = name.split(".", 1)
        state.setdefault(int(place), {})[key] = tensor
    return state


def _laid_out(optimizer: torch.optim.Optimizer) -> None:
    """Give restored moments the memory order of their weights: a fused step walks both as they lie in memory."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            moments = optimizer.state[weight]
            for name, value in moments.items():
                if isinstance(value, torch.Tensor) and value.shape == weight.shape:
                    moments[name] = torch.empty_like(weight).copy_(value)


def trained_net(folder: Path) -> tuple[Net, Trained]:
    """Load the best weights of a training's folder, in eval mode."""
    run = RunFolder(folder)
    if not run.trained.exists():
        raise UsageError(f"{folder} holds no finished training; start one with `pocketvision train` or `fit`")
    trained = run.trained.read()
    net = build_spec(trained.spec)
    load_into(net, read_weights(run.best), keep_head=True)
    return net.eval(), trained
