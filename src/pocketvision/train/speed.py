"""How fast this machine trains a net: a few steps on a copy of it, before a schedule is fitted to a time limit."""

import copy
import time
from collections.abc import Callable

import torch

from pocketvision.data.tensors import eval_batch_size
from pocketvision.models.blocks import Net
from pocketvision.train.batches import RandomViews
from pocketvision.train.device import Engine
from pocketvision.train.evaluate import logits
from pocketvision.train.loop import step
from pocketvision.train.objective import CrossEntropy
from pocketvision.train.optimizer import set_train_mode
from pocketvision.train.schedule import SMALLEST, STEP, Speed

TRIES = 3
"""Steps timed at each resolution, after one that warms up; the median counts."""


def measured(net: Net, views: RandomViews, engine: Engine) -> Speed:
    """Time steps and answers; the net itself and torch's random state stay as they are."""
    images, image, recipe = views.images, views.image, views.recipe
    largest = image.resolution
    small = min(largest, max(SMALLEST, round(largest * recipe.progressive_start / STEP) * STEP))
    trial, trial_engine = copy.deepcopy(net), engine.trial()
    with torch.random.fork_rng():
        full = _step_s(trial, views, trial_engine, largest)
        less = full if small == largest else _step_s(trial, views, trial_engine, small)
        part = images.val[: eval_batch_size(largest, engine.device)]
        answer = median_s(lambda: logits(trial, part, image, engine.device), 1) / len(part)
    engine.most = trial_engine.most
    return Speed(
        step=full,
        small_step=less,
        small=small,
        resolution=largest,
        validation=answer * len(images.val),
        feature=answer if recipe.head_epochs else 0.0,
    )


def find_most(net: Net, views: RandomViews, engine: Engine) -> None:
    """Let the engine find how many images memory holds in a step at the net's resolution, on a copy of the net."""
    trial = engine.trial()
    with torch.random.fork_rng():
        _step_s(copy.deepcopy(net), views, trial, views.image.resolution, tries=0)
    engine.most = trial.most


def _step_s(net: Net, views: RandomViews, engine: Engine, resolution: int, tries: int = TRIES) -> float:
    optimizer = torch.optim.SGD([{"params": list(net.parameters()), "rate": 1.0}], lr=0.0)
    set_train_mode(net, frozen=0, fixed_norms=views.recipe.norms == "fixed")
    batches = views.batches(0, resolution)
    kept = next(batches)

    def one() -> None:
        loss, _, _ = step(net, optimizer, next(batches, kept), objective=CrossEntropy(), rate=0.0, engine=engine)
        loss.item()

    return median_s(one, tries)


def median_s(work: Callable[[], object], tries: int) -> float:
    """Return the median of the seconds that some work takes, after one try that warms up; 0 without tries."""
    work()
    times = []
    for _ in range(tries):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return sorted(times)[len(times) // 2] if times else 0.0
