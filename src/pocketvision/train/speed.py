"""How fast this machine trains a net: a few steps on a copy of it, before a plan is fitted to a time limit."""

import copy
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from pocketvision.data.tensors import eval_batch_size
from pocketvision.train.loop import step
from pocketvision.train.modes import layer_groups, set_train_mode
from pocketvision.train.objective import CrossEntropy
from pocketvision.train.recipe import Recipe
from pocketvision.train.schedule import SMALLEST, STEP, Speed
from pocketvision.train.transfer import Training, logits, view_batches

TRIES = 3
"""Steps timed at each resolution, after one that warms up; the median counts."""


def measured(task: Training, recipe: Recipe) -> Speed:
    """Time steps and answers; the net itself and torch's random state stay as they are."""
    largest = task.image.resolution
    small = min(largest, max(SMALLEST, round(largest * recipe.progressive_start / STEP) * STEP))
    trial = _trial(task)
    with torch.random.fork_rng():
        full = _step_s(trial, recipe, largest)
        less = full if small == largest else _step_s(trial, recipe, small)
        part = task.images.val[: eval_batch_size(largest, task.device)]
        answer = _median(lambda: logits(trial.net, part, task.image, task.device), 1) / len(part)
    task.engine.most = trial.engine.most
    return Speed(
        step=full,
        small_step=less,
        small=small,
        resolution=largest,
        validation=answer * len(task.images.val),
        feature=answer if recipe.head_epochs else 0.0,
    )


def probe(task: Training, recipe: Recipe) -> None:
    """Let the engine find how many images memory holds in a step at the net's resolution, on a copy of the net."""
    trial = _trial(task)
    with torch.random.fork_rng():
        _step_s(trial, recipe, task.image.resolution, tries=0)
    task.engine.most = trial.engine.most


def _trial(task: Training) -> Training:
    return replace(task, net=copy.deepcopy(task.net), engine=task.engine.trial())


def _step_s(task: Training, recipe: Recipe, resolution: int, tries: int = TRIES) -> float:
    parts = layer_groups(task.net, 1.0)
    optimizer = torch.optim.SGD([{"params": list(part.module.parameters()), "share": 1.0} for part in parts], lr=0.0)
    set_train_mode(task.net, frozen=0, fixed_norms=recipe.norms == "fixed")
    batches = view_batches(task, recipe, 0, resolution)
    kept = next(batches)

    def one() -> None:
        batch = next(batches, kept)
        loss, _, _ = step(
            task.net, optimizer, batch, objective=task.objective or CrossEntropy(), rate=0.0, engine=task.engine
        )
        loss.item()

    return _median(one, tries)


def _median(work: Callable[[], object], tries: int) -> float:
    work()
    times = []
    for _ in range(tries):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return sorted(times)[len(times) // 2] if times else 0.0
