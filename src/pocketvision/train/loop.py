"""The only training loop: epochs over batches, warm-up and cosine, early stop, best weights, checkpoints, the clock."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pocketvision.clock import Clock
from pocketvision.errors import Diverged
from pocketvision.progress import Progress
from pocketvision.train.checkpoint import Checkpoint, Position, TrainState
from pocketvision.train.device import Engine, out_of_memory
from pocketvision.train.evaluate import Evaluation, evaluate
from pocketvision.train.logs import Logs
from pocketvision.train.objective import Batch, CrossEntropy, Objective
from pocketvision.train.prefetch import prefetch
from pocketvision.train.recipe import Recipe
from pocketvision.train.threads import Threads, all_threads_after
from pocketvision.values import Epoch

Tensors = tuple[Tensor, ...] | list[Tensor]
AVERAGED_EPOCHS = 2
_NOTE_S = 0.2
"""Fewest seconds between two notes on a bar: to know the loss means to wait for an accelerator."""


@dataclass(frozen=True)
class LayerGroup:
    """Weights that learn at the same rate."""

    module: nn.Module
    rate: float = 1.0
    """Share of the phase's learning rate."""


@dataclass(frozen=True)
class Phase:
    """What is trained on what; the loop does not know whether it is a head or a whole net."""

    name: Literal["head", "all"]
    module: nn.Module
    """Maps a batch's inputs to logits; its parameters are the ones that learn."""
    epochs: int
    learning_rate: float
    steps: int
    """Batches an epoch."""
    batches: Callable[[int], Iterator[Batch]]
    """Yields an epoch's batches; all randomness follows from the epoch's number."""
    validation: Callable[[], Iterator[Batch]]
    counts_start: bool
    """Whether the state before the first epoch may be the best: so it is after the head alone was trained."""
    objective: Objective = field(default_factory=CrossEntropy)
    weights: NDArray[np.float64] | None = None
    """How much each class counts in the validation loss."""
    layers: tuple[LayerGroup, ...] = ()
    """The module's parts with their rates; empty for one rate throughout."""
    prepare: Callable[[int], int] | None = None
    """Puts the module in the mode of an epoch and returns the side of its images; without it, plain `train()`."""
    clock: Clock = field(default_factory=Clock)
    cuts: bool = True
    """Whether the phase ends where the time is over; without a trained head no net is worth anything."""
    seconds: tuple[float, ...] = ()
    """The forecast of each epoch's time."""
    engine: Engine = field(default_factory=Engine)
    logs: Logs | None = None
    """Where finished epochs are told; without it, results.csv alone."""
    threads: Threads = field(default_factory=Threads)


def run_phase(phase: Phase, recipe: Recipe, checkpoint: Checkpoint, *, folder: Path, progress: Progress) -> Position:
    """Train a phase to its end, its early stop or the end of the time, going on from its checkpoint if there is one.

    Leaves in `phase.module` the weights of the last epoch whose validation loss is the lowest but for chance.
    """
    state = TrainState(phase.module, moving_average(phase), _optimizer(phase, recipe), phase.engine.scaler)
    logs = phase.logs or Logs(folder)
    position = checkpoint.restore(phase.name, state)
    with _last_finite(phase, checkpoint):
        _require_finite(state, max(0, position.epoch - 1), phase.learning_rate)
    phase.clock.count(position.spent_s)
    phase.engine.most = position.most or phase.engine.most
    if position.lowest_loss is None and phase.counts_start:
        start = phase.engine.first(lambda: evaluate(phase.module, phase.validation(), phase.weights))
        position = checkpoint.start(position, phase.module, start)
    title = "head" if phase.name == "head" else "training"
    with (
        progress.bar(title, phase.epochs * phase.steps) as bar,
        _last_finite(phase, checkpoint),
        all_threads_after(phase.threads),
    ):
        bar.advance(position.epoch * phase.steps)
        while position.epoch < phase.epochs and position.since_best < recipe.patience and not position.cut:
            skipped = _too_many(phase, position)
            position = replace(position, epoch=position.epoch + skipped)
            bar.advance(skipped * phase.steps)
            _choose_threads(phase, checkpoint, position.epoch)
            torch.manual_seed(_epoch_seed(recipe.seed, phase.name, position.epoch))
            epoch, evaluated, cut = _epoch(phase, recipe, state, position.epoch, bar.advance)
            position = replace(position, cut=cut, spent_s=phase.clock.spent(), most=phase.engine.most)
            position = checkpoint.keep(position, epoch, state, evaluated)
            logs.epochs(position.epochs)
        bar.advance((phase.epochs - position.epoch) * phase.steps, note=_stopped(position, phase))
    phase.engine.wait()
    checkpoint.load_best(phase.name, phase.module)
    return replace(position, since_best=0)


@contextmanager
def _last_finite(phase: Phase, checkpoint: Checkpoint) -> Iterator[None]:
    """Leave the best weights there are in the module where the body diverges, if there are any."""
    try:
        yield
    except Diverged as error:
        error.kept = checkpoint.has_finite_best(phase.name)
        if error.kept:
            checkpoint.load_best(phase.name, phase.module)
        raise


def _choose_threads(phase: Phase, checkpoint: Checkpoint, epoch: int) -> None:
    """Take the threads that an epoch is computed by: as when it was interrupted, else as measured, else as before."""
    threads = phase.threads
    if threads.most == 1:
        return
    known = checkpoint.threads(phase.name)
    if epoch not in known:
        left = (phase.epochs - epoch) * phase.steps
        count = threads.measure(_trial(phase, epoch)) if threads.due(left) else threads.taken
        checkpoint.keep_threads(phase.name, {**known, epoch: count})
        known = {epoch: count}
    if known[epoch] != threads.taken:
        phase.engine.say(
            f"epoch {epoch + 1}: computed by {known[epoch]} of {threads.most} threads, which is faster now; other "
            "programs may want the cores"
        )
    threads.take(known[epoch])


def _trial(phase: Phase, epoch: int) -> Callable[[], object]:
    """Return a step that leaves no trace, on a copy of the module."""
    module = copy.deepcopy(phase.module).train()
    optimizer = torch.optim.SGD([{"params": list(module.parameters()), "share": 1.0}], lr=0.0)
    batch, engine = next(phase.batches(epoch)), phase.engine.trial()

    def one() -> None:
        with torch.random.fork_rng(devices=[]):
            step(module, optimizer, batch, objective=CrossEntropy(), rate=0.0, engine=engine)

    return one


def _stopped(position: Position, phase: Phase) -> str:
    why = "the time is over" if position.cut else "stopped early"
    early = f", {why} after {position.epoch} of {phase.epochs} epochs" if position.epoch < phase.epochs else ""
    return f"validation accuracy {position.kept_accuracy:.1%}{early}"


def _too_many(phase: Phase, position: Position) -> int:
    """Count the next epochs to skip so that the last ones, at all pixels and a low rate, are still in time."""
    coming = phase.seconds[position.epoch :]
    taken = [epoch.seconds for epoch in position.epochs if epoch.phase == phase.name]
    if not phase.clock.limited or not taken or not coming:
        return 0
    slower = taken[-1] / max(1e-9, phase.seconds[position.epoch - 1])
    left = phase.clock.left()
    fitting = [skip for skip in range(len(coming)) if slower * sum(coming[skip:]) <= left]
    return fitting[0] if fitting else len(coming) - 1


def moving_average(phase: Phase) -> AveragedModel:
    """Follow the weights by a moving average over about two epochs (Polyak and Juditsky, 1992).

    It is better than any single step's weights, and less a matter of luck. The first steps' weights, which are far
    off, are soon forgotten: after n steps each new one counts for at least 9 / (n + 10).
    """
    longest = 1 - 1 / (AVERAGED_EPOCHS * phase.steps + 1)

    def follow(averages: Tensors, currents: Tensors, count: Tensor | int) -> None:
        decay = min(longest, (1 + int(count)) / (10 + int(count)))
        floats = [place for place, tensor in enumerate(averages) if tensor.is_floating_point()]
        if floats:
            torch._foreach_lerp_([averages[p] for p in floats], [currents[p] for p in floats], 1 - decay)
        for average, current in zip(averages, currents, strict=True):
            if not average.is_floating_point():
                average.copy_(current)

    return AveragedModel(phase.module, multi_avg_fn=follow, use_buffers=True)


def _epoch_seed(seed: int, phase: str, epoch: int) -> int:
    return (seed * 1_000_003 + epoch * 2 + (phase == "all")) % 2**63


def _optimizer(phase: Phase, recipe: Recipe) -> torch.optim.Optimizer:
    # Norms and biases are not decayed: they have no scale that decay could usefully shrink.
    groups = [
        {"params": found, "weight_decay": recipe.weight_decay * many, "share": layer.rate}
        for layer in phase.layers or (LayerGroup(phase.module),)
        for many in (True, False)
        if (found := [p for p in layer.module.parameters() if (p.ndim >= 2) == many])
    ]
    # A fused optimizer whose first step the scaler leaves out starts its momentum from memory never written.
    fused = phase.engine.precision != "fp16"
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=phase.learning_rate, fused=fused)
    return torch.optim.SGD(groups, lr=phase.learning_rate, momentum=0.9, nesterov=True, fused=fused)


def learning_rate(step: int, total: int, warmup: float, peak: float) -> float:
    """Return the rate of a step: linear up to `peak` over `warmup` steps, then half a cosine down to zero."""
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, total - warmup)))


@dataclass
class _Tally:
    """Sums over an epoch's batches; what is on an accelerator stays there until it is asked for."""

    losses: list[Tensor] = field(default_factory=list)
    right: list[Tensor] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    told: float = 0.0
    lost: bool = False
    """Whether the loss was seen to be no number any more."""

    def add(self, loss: Tensor, right: Tensor, size: int) -> None:
        """Count a batch."""
        self.losses.append(loss)
        self.right.append(right)
        self.sizes.append(size)

    def seen(self) -> int:
        """Return the number of examples."""
        return sum(self.sizes)

    def loss(self) -> float:
        """Return the mean loss."""
        return float(np.average(torch.stack(self.losses).double().cpu().numpy(), weights=self.sizes))

    def accuracy(self) -> float:
        """Return the share of right answers."""
        return float(torch.stack(self.right).sum()) / self.seen()

    def note(self, started: float, epoch: str) -> str:
        """Say how it goes; nothing if it was said a moment ago."""
        now = time.perf_counter()
        if now - self.told < _NOTE_S:
            return ""
        self.told = now
        speed, loss = self.seen() / (now - started), self.loss()
        self.lost = not math.isfinite(loss)
        return f"epoch {epoch}  loss {loss:.3f}  accuracy {self.accuracy():.1%}  {speed:.0f} images/s"


def _epoch(
    phase: Phase, recipe: Recipe, state: TrainState, number: int, advance: Callable[..., None]
) -> tuple[Epoch, Evaluation, bool]:
    """Train one epoch and judge it; the last value tells whether the time ran out within it."""
    started, tally, rate, cut = time.perf_counter(), _Tally(), 0.0, False
    phase.module.train()
    side = phase.prepare(number) if phase.prepare else 0
    total, warmup = phase.epochs * phase.steps, recipe.warmup_epochs * phase.steps
    for place, batch in enumerate(prefetch(phase.batches(number))):
        rate = learning_rate(number * phase.steps + place, total, warmup, phase.learning_rate)
        taken = step(phase.module, state.optimizer, batch, objective=phase.objective, rate=rate, engine=phase.engine)
        tally.add(*taken)
        state.average.update_parameters(phase.module)
        advance(1, note=tally.note(started, f"{number + 1}/{phase.epochs}"))
        # At fp16 a step that overflows is left out and the next one scaled; of several processes all end together.
        if tally.lost and phase.engine.precision != "fp16" and phase.engine.alone:
            raise Diverged(number + 1, phase.learning_rate)
        if cut := phase.cuts and phase.clock.left() <= 0:
            break
    training_s = time.perf_counter() - started
    _require_finite(state, number, phase.learning_rate)
    evaluated = phase.engine.first(lambda: evaluate(state.average.module, phase.validation(), phase.weights))
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
        resolution=side,
    )
    return record, evaluated, cut


def _require_finite(state: TrainState, number: int, rate: float) -> None:
    """Raise Diverged where weights, or what batch norms have counted, are no numbers any more."""
    held = (*state.module.state_dict().values(), *state.average.state_dict().values())
    if not all(bool(tensor.isfinite().all()) for tensor in held if tensor.is_floating_point()):
        raise Diverged(number + 1, rate)


def step(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    *,
    objective: Objective,
    rate: float,
    engine: Engine = Engine(),  # noqa: B008  alone, at full precision
) -> tuple[Tensor, Tensor, int]:
    """Take the only step there is; returns the loss, the number of right answers and of examples."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]
    while (found := _gradients(module, optimizer, batch, objective=objective, engine=engine)) is None:
        engine.lower(len(batch.targets))
    engine.descend(optimizer)
    return *found, len(batch.targets)


def _gradients(
    module: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, *, objective: Objective, engine: Engine
) -> tuple[Tensor, Tensor] | None:
    """Compute the gradients of a batch, in parts where memory asks for it; None where it does not hold a part."""
    optimizer.zero_grad(set_to_none=True)
    whole = engine.most is None or engine.most >= len(batch.targets)
    parts = (batch,) if whole else tuple(batch.parts(engine.most or 1))
    losses, right = [], []
    try:
        for part in parts:
            with engine.autocast():
                logits = engine.answers(module, part.inputs)
                loss = objective(logits, part)
                loss = loss if whole else loss * (objective.weight(part) / objective.weight(batch))
            engine.backward(loss)
            losses.append(loss.detach())
            right.append((logits.detach().argmax(1) == part.labels()).sum())
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return None
    return torch.stack(losses).sum(), torch.stack(right).sum()
