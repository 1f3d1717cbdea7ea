"""The only training loop: epochs over batches, early stop, best weights by a moving average, checkpoints, the clock."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.clock import Clock
from pocketvision.errors import Diverged
from pocketvision.progress import Progress
from pocketvision.tasks import Evaluation, load
from pocketvision.tasks.classify.learning import CrossEntropy
from pocketvision.train.batches import BatchSource, prefetch
from pocketvision.train.checkpoint import Checkpoint, Position, TrainState
from pocketvision.train.device import Engine, Threads, all_threads_after, out_of_memory
from pocketvision.train.evaluate import evaluate
from pocketvision.train.logs import Logs
from pocketvision.train.objective import Batch, Objective
from pocketvision.train.optimizer import LayerGroup, learning_rate, moving_average, optimizer_for
from pocketvision.train.recipe import Recipe
from pocketvision.values import Epoch, TaskSpec
from pocketvision.values.nets import CLASSES

_NOTE_S = 0.2
"""Fewest seconds between two notes on a bar: to know the loss means to wait for an accelerator."""


@dataclass(frozen=True, eq=False)
class Phase:
    """What is trained on what; the loop does not know whether it is a head, a whole net or a student of another."""

    name: Literal["head", "upper", "all"]
    module: nn.Module
    """Maps a batch's inputs to logits; its parameters are the ones that learn."""
    groups: tuple[LayerGroup, ...]
    """The module's parts with their rates."""
    source: BatchSource
    validation: Callable[[], Iterator[Batch]]
    epochs: int
    learning_rate: float
    objective: Objective = field(default_factory=CrossEntropy)
    spec: TaskSpec = CLASSES
    """Whose measure tells which epoch is the best."""
    class_weights: NDArray[np.float64] | None = None
    """How much each class counts in the validation loss."""
    prepare: Callable[[int], object] | None = None
    """Puts parts of the module into the mode of an epoch, after all of it was put into training mode."""
    resolutions: tuple[int, ...] = ()
    """Side of the images in each epoch; empty where the phase learns from features."""
    seconds: tuple[float, ...] = ()
    """The forecast of each epoch's time."""
    counts_start: bool = False
    """Whether the state before the first epoch may be the best: so it is after the head alone was trained."""
    cuts: bool = True
    """Whether the phase ends where the time is over; without a trained head no net is worth anything."""
    uncut_epochs: int = 0
    """The first epochs that are run to their end, whatever the time: before them no net is worth anything."""
    threads: Threads = field(default_factory=Threads)
    objective_of: Callable[[nn.Module], Objective] | None = None
    """Makes the objective of a copy of the module, where it reads more of the module than it returns."""


@dataclass(frozen=True, eq=False)
class Loop:
    """What all phases of one training share."""

    recipe: Recipe
    checkpoint: Checkpoint
    engine: Engine
    clock: Clock
    logs: Logs
    progress: Progress

    def run(self, phase: Phase) -> Position:
        """Train a phase to its end, its early stop or the end of the time; goes on from its checkpoint if there is one.

        Leaves in `phase.module` the weights of the last epoch whose validation loss is the lowest but for chance.
        """
        steps = phase.source.steps
        optimizer = optimizer_for(phase.groups, self.recipe, phase.learning_rate, fused=self.engine.fused)
        state = TrainState(phase.module, moving_average(phase.module, steps), optimizer, self.engine.scaler)
        position = self._begun(phase, state)
        title = "head" if phase.name == "head" else "training"
        with (
            self.progress.bar(title, phase.epochs * steps) as bar,
            self._last_finite(phase),
            all_threads_after(phase.threads),
        ):
            bar.advance(position.epoch * steps)
            while position.epoch < phase.epochs and position.since_best < self.recipe.patience and not position.cut:
                skipped = self._too_many(phase, position)
                position = replace(position, epoch=position.epoch + skipped)
                bar.advance(skipped * steps)
                self._choose_threads(phase, position.epoch)
                torch.manual_seed(_epoch_seed(self.recipe.seed, phase.name, position.epoch))
                epoch, evaluated, cut = self._epoch(phase, state, position.epoch, bar.advance)
                position = replace(position, cut=cut, spent_s=self.clock.spent(), micro_batch=self.engine.micro_batch)
                position = self.checkpoint.keep(position, epoch, state, evaluated)
                self.logs.epochs(position.epochs)
            bar.advance((phase.epochs - position.epoch) * steps, note=_stopped(position, phase))
        self.engine.wait()
        self.checkpoint.load_best(phase.name, phase.module)
        return replace(position, since_best=0)

    def _begun(self, phase: Phase, state: TrainState) -> Position:
        """Restore what an interrupted run had reached; without one, evaluate the start where it may be the best."""
        position = self.checkpoint.restore(phase.name, state)
        with self._last_finite(phase):
            _require_finite(state, max(0, position.epoch - 1), phase.learning_rate)
        self.clock.count(position.spent_s)
        self.engine.micro_batch = position.micro_batch or self.engine.micro_batch
        if position.lowest_loss is None and phase.counts_start:
            start = self.engine.first(
                lambda: evaluate(phase.module, phase.validation(), phase.class_weights, phase.spec)
            )
            position = self.checkpoint.start(position, phase.module, start)
        return position

    @contextmanager
    def _last_finite(self, phase: Phase) -> Iterator[None]:
        """Leave the best weights there are in the module where the body diverges, if there are any."""
        try:
            yield
        except Diverged as error:
            error.kept = self.checkpoint.has_finite_best(phase.name)
            if error.kept:
                self.checkpoint.load_best(phase.name, phase.module)
            raise

    def _choose_threads(self, phase: Phase, epoch: int) -> None:
        """Take the threads of an epoch: as when it was interrupted, else as measured, else as before.

        With another number of threads floats are added in another order: a repeated epoch must have the same one.
        """
        threads = phase.threads
        if threads.most == 1:
            return
        known = self.checkpoint.threads(phase.name)
        if epoch not in known:
            left = (phase.epochs - epoch) * phase.source.steps
            count = threads.measure(self._trial(phase, epoch)) if threads.due(left) else threads.taken
            self.checkpoint.keep_threads(phase.name, {**known, epoch: count})
            known = {epoch: count}
        if known[epoch] != threads.taken:
            self.engine.say(
                f"epoch {epoch + 1}: computed by {known[epoch]} of {threads.most} threads, which is faster now; other "
                "programs may want the cores"
            )
        threads.take(known[epoch])

    def _trial(self, phase: Phase, epoch: int) -> Callable[[], object]:
        """Return a step that leaves no trace, on a copy of the module."""
        module = copy.deepcopy(phase.module).train()
        optimizer = torch.optim.SGD([{"params": list(module.parameters()), "rate": 1.0}], lr=0.0)
        batch, engine = next(phase.source.batches(epoch, _resolution(phase, epoch))), self.engine.trial()
        objective = phase.objective_of(module) if phase.objective_of else phase.objective

        def one() -> None:
            with torch.random.fork_rng(devices=[]):
                step(module, optimizer, batch, objective=objective, rate=0.0, engine=engine)

        return one

    def _too_many(self, phase: Phase, position: Position) -> int:
        """Count the next epochs to skip so that the last ones, at all pixels and a low rate, are still in time."""
        coming = phase.seconds[position.epoch :]
        taken = [epoch.seconds for epoch in position.epochs if epoch.phase == phase.name]
        if not self.clock.limited or not taken or not coming:
            return 0
        slower = taken[-1] / max(1e-9, phase.seconds[position.epoch - 1])
        left = self.clock.left()
        fitting = [skip for skip in range(len(coming)) if slower * sum(coming[skip:]) <= left]
        return fitting[0] if fitting else len(coming) - 1

    def _epoch(
        self, phase: Phase, state: TrainState, number: int, advance: Callable[..., None]
    ) -> tuple[Epoch, Evaluation, bool]:
        """Train one epoch and evaluate it; the last value tells whether the time ran out within it."""
        started, tally, rate, cut = time.perf_counter(), _Tally(), 0.0, False
        phase.module.train()
        if phase.prepare:
            phase.prepare(number)
        resolution, steps = _resolution(phase, number), phase.source.steps
        shares = load(phase.spec.name).WATCHED == "accuracy"
        total, warmup = phase.epochs * steps, self.recipe.warmup_epochs * steps
        for place, batch in enumerate(prefetch(phase.source.batches(number, resolution))):
            rate = learning_rate(number * steps + place, total, warmup, phase.learning_rate)
            taken = step(phase.module, state.optimizer, batch, objective=phase.objective, rate=rate, engine=self.engine)
            tally.add(*taken)
            state.average.update_parameters(phase.module)
            advance(1, note=tally.note(started, f"{number + 1}/{phase.epochs}", shares=shares))
            # At fp16 a step that overflows is left out and the next one scaled; of several processes all end together.
            if tally.lost and self.engine.precision != "fp16" and self.engine.alone:
                raise Diverged(number + 1, phase.learning_rate)
            if cut := phase.cuts and number >= phase.uncut_epochs and self.clock.left() <= 0:
                break
        training_s = time.perf_counter() - started
        _require_finite(state, number, phase.learning_rate)
        average, weights = state.average.module, phase.class_weights
        evaluated = self.engine.first(lambda: evaluate(average, phase.validation(), weights, phase.spec))
        if not math.isfinite(evaluated.loss):
            raise Diverged(number + 1, phase.learning_rate)
        record = Epoch(
            epoch=number + 1,
            phase=phase.name,
            learning_rate=rate,
            train_loss=tally.loss(),
            train_accuracy=tally.accuracy(),
            val_loss=evaluated.loss,
            val_accuracy=evaluated.accuracy,
            images_per_s=tally.seen() / training_s,
            seconds=time.perf_counter() - started,
            val_macro=evaluated.macro,
            resolution=resolution,
        )
        return record, evaluated, cut


def _resolution(phase: Phase, epoch: int) -> int:
    return phase.resolutions[epoch] if phase.resolutions else 0


def _stopped(position: Position, phase: Phase) -> str:
    why = "the time is over" if position.cut else "stopped early"
    early = f", {why} after {position.epoch} of {phase.epochs} epochs" if position.epoch < phase.epochs else ""
    return f"validation {load(phase.spec.name).WATCHED} {position.kept_accuracy:.1%}{early}"


def _epoch_seed(seed: int, phase: str, epoch: int) -> int:
    return (seed * 1_000_003 + epoch * 2 + (phase == "all")) % 2**63


def _require_finite(state: TrainState, number: int, rate: float) -> None:
    """Raise Diverged where weights, or what batch norms have counted, are no numbers any more."""
    held = (*state.module.state_dict().values(), *state.average.state_dict().values())
    if not all(bool(tensor.isfinite().all()) for tensor in held if tensor.is_floating_point()):
        raise Diverged(number + 1, rate)


@dataclass
class _Tally:
    """Sums over an epoch's batches; what is on an accelerator stays there until it is asked for."""

    losses: list[Tensor] = field(default_factory=list)
    correct: list[Tensor] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    noted: float = 0.0
    lost: bool = False
    """Whether the loss was seen to be no number any more."""

    def add(self, loss: Tensor, right: Tensor, size: int) -> None:
        """Count a batch."""
        self.losses.append(loss)
        self.correct.append(right)
        self.sizes.append(size)

    def seen(self) -> int:
        """Return the number of examples."""
        return sum(self.sizes)

    def loss(self) -> float:
        """Return the mean loss."""
        return float(np.average(torch.stack(self.losses).double().cpu().numpy(), weights=self.sizes))

    def accuracy(self) -> float:
        """Return the share of correct answers."""
        return float(torch.stack(self.correct).sum()) / self.seen()

    def note(self, started: float, epoch: str, *, shares: bool) -> str:
        """Say how it goes, with the share of right answers where that is watched; nothing if it was said a moment
        ago."""
        now = time.perf_counter()
        if now - self.noted < _NOTE_S:
            return ""
        self.noted = now
        speed, loss = self.seen() / (now - started), self.loss()
        self.lost = not math.isfinite(loss)
        right = f"  accuracy {self.accuracy():.1%}" if shares else ""
        return f"epoch {epoch}  loss {loss:.3f}{right}  {speed:.0f} images/s"


def step(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    *,
    objective: Objective,
    rate: float,
    engine: Engine = Engine(),  # noqa: B008  alone, at full precision
) -> tuple[Tensor, Tensor, int]:
    """Take the only step there is, and return the loss, the number of correct answers and of examples."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate"]
    while (found := _gradients(module, optimizer, batch, objective=objective, engine=engine)) is None:
        engine.lower(len(batch.targets))
    engine.take_step(optimizer)
    return *found, len(batch.targets)


def _gradients(
    module: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, *, objective: Objective, engine: Engine
) -> tuple[Tensor, Tensor] | None:
    """Compute the gradients of a batch, in parts where memory asks for it; None where it does not hold a part."""
    optimizer.zero_grad(set_to_none=True)
    whole = engine.micro_batch is None or engine.micro_batch >= len(batch.targets)
    parts = (batch,) if whole else tuple(batch.parts(engine.micro_batch or 1))
    losses, right = [], []
    try:
        for part in parts:
            with engine.autocast():
                logits = engine.forward(module, part.inputs)
                loss = objective(logits, part)
                loss = loss if whole else loss * (objective.weight(part) / objective.weight(batch))
            engine.backward(loss)
            losses.append(loss.detach())
            right.append(objective.right(logits.detach(), part))
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return None
    return torch.stack(losses).sum(), torch.stack(right).sum()
