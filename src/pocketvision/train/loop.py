"""The only training loop: epochs over batches, warm-up and cosine, early stop, best weights, checkpoints."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pocketvision.progress import Progress
from pocketvision.runs import write_epochs
from pocketvision.train.calibrate import fitted
from pocketvision.train.checkpoint import Checkpoint, Standing, State
from pocketvision.train.recipe import Recipe
from pocketvision.values import Epoch

Batch = tuple[Tensor, Tensor]
Tensors = tuple[Tensor, ...] | list[Tensor]
AVERAGED_EPOCHS = 2


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


def run_phase(phase: Phase, recipe: Recipe, checkpoint: Checkpoint, *, folder: Path, progress: Progress) -> Standing:
    """Train a phase to its end or its early stop, going on from the checkpoint if it belongs to this phase.

    Leaves the best weights (lowest validation loss) in `phase.module`.
    """
    optimizer = _optimizer(phase, recipe)
    average = moving_average(phase)
    state = State(phase.module, average, optimizer)
    standing = checkpoint.restore(phase.name, state)
    if standing.best_loss is None and phase.counts_start:
        loss, accuracy = evaluate(phase.module, phase.validation())
        standing = checkpoint.start(standing, phase.module, loss=loss, accuracy=accuracy)
    total = phase.epochs * phase.steps
    title = "head" if phase.name == "head" else "training"
    with progress.bar(title, total) as bar:
        bar.advance(standing.epoch * phase.steps)
        while standing.epoch < phase.epochs and standing.since_best < recipe.patience:
            torch.manual_seed(_epoch_seed(recipe.seed, phase.name, standing.epoch))
            epoch = _epoch(phase, recipe, state, standing.epoch, bar.advance)
            standing = checkpoint.keep(standing, epoch, state)
            write_epochs(folder, standing.epochs)
        bar.advance((phase.epochs - standing.epoch) * phase.steps, note=_stopped(standing, phase))
    checkpoint.load_best(phase.name, phase.module)
    return replace(standing, since_best=0)


def _stopped(standing: Standing, phase: Phase) -> str:
    early = f", stopped early after {standing.epoch} of {phase.epochs} epochs" if standing.epoch < phase.epochs else ""
    return f"validation accuracy {standing.best_accuracy:.1%}{early}"


def moving_average(phase: Phase) -> AveragedModel:
    """Follow the weights by a moving average over about two epochs (Polyak and Juditsky, 1992).

    It is better than any single step's weights, and less a matter of luck. The first steps' weights, which are far
    off, are soon forgotten: after n steps each new one counts for at least 9 / (n + 10).
    """
    longest = 1 - 1 / (AVERAGED_EPOCHS * phase.steps + 1)

    def follow(averages: Tensors, currents: Tensors, count: Tensor | int) -> None:
        decay = min(longest, (1 + int(count)) / (10 + int(count)))
        for average, current in zip(averages, currents, strict=True):
            if average.is_floating_point():
                average.lerp_(current, 1 - decay)
            else:
                average.copy_(current)

    return AveragedModel(phase.module, multi_avg_fn=follow, use_buffers=True)


def _epoch_seed(seed: int, phase: str, epoch: int) -> int:
    return (seed * 1_000_003 + epoch * 2 + (phase == "all")) % 2**63


def _optimizer(phase: Phase, recipe: Recipe) -> torch.optim.Optimizer:
    # Norms and biases are not decayed: they have no scale that decay could usefully shrink.
    plain = [p for p in phase.module.parameters() if p.ndim < 2]
    decayed = [p for p in phase.module.parameters() if p.ndim >= 2]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=phase.learning_rate)
    return torch.optim.SGD(groups, lr=phase.learning_rate, momentum=0.9, nesterov=True)


def learning_rate(step: int, total: int, warmup: float, peak: float) -> float:
    """Return the rate of a step: linear up to `peak` over `warmup` steps, then half a cosine down to zero."""
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, total - warmup)))


def _epoch(phase: Phase, recipe: Recipe, state: State, number: int, advance: Callable[..., None]) -> Epoch:
    started = time.perf_counter()
    phase.module.train()
    seen, right, loss_sum, rate = 0, 0.0, 0.0, 0.0
    for place, (inputs, targets) in enumerate(phase.batches(number)):
        step = number * phase.steps + place
        total, warmup = phase.epochs * phase.steps, recipe.warmup_epochs * phase.steps
        rate = learning_rate(step, total, warmup, phase.learning_rate)
        loss, correct = _step(phase.module, state.optimizer, (inputs, targets), rate, recipe.label_smoothing)
        state.average.update_parameters(phase.module)
        seen += len(targets)
        right += correct
        loss_sum += loss * len(targets)
        speed = seen / (time.perf_counter() - started)
        text = f"epoch {number + 1}/{phase.epochs}  loss {loss_sum / seen:.3f}  accuracy {right / seen:.1%}"
        advance(1, note=f"{text}  {speed:.0f} images/s")
    training_s = time.perf_counter() - started
    val_loss, val_accuracy = evaluate(state.average.module, phase.validation())
    return Epoch(
        epoch=number + 1,
        phase=phase.name,
        learning_rate=rate,
        train_loss=loss_sum / seen,
        train_accuracy=right / seen,
        val_loss=val_loss,
        val_accuracy=val_accuracy,
        images_per_s=seen / training_s,
        seconds=time.perf_counter() - started,
    )


def _step(
    module: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, rate: float, smoothing: float
) -> tuple[float, float]:
    for group in optimizer.param_groups:
        group["lr"] = rate
    logits = module(batch[0])
    loss = nn.functional.cross_entropy(logits, batch[1], label_smoothing=smoothing)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item(), (logits.argmax(1) == batch[1]).sum().item()


@torch.no_grad()
def evaluate(module: nn.Module, batches: Iterator[Batch]) -> tuple[float, float]:
    """Return cross-entropy at the best temperature and accuracy (0..1) in eval mode.

    The temperature is fitted because the file's will be too; without it, label smoothing, which makes a net ever less
    confident, would count against the later and better epochs.
    """
    module.eval()
    found = [(module(inputs), targets) for inputs, targets in batches]
    logits = torch.cat([answers for answers, _ in found]).float().cpu().numpy()
    labels = torch.cat([targets for _, targets in found]).cpu().numpy()
    _, loss = fitted(logits, labels)
    return loss, float((logits.argmax(1) == labels).mean())
