"""Schedules: resolution and frozen layers of each epoch, fitted to this machine's speed where the time is limited."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import torch

from pocketvision.data.tensors import eval_batch_size
from pocketvision.models.blocks import Net
from pocketvision.tasks import learning
from pocketvision.train.batches import RandomViews
from pocketvision.train.device import Engine
from pocketvision.train.evaluate import logits
from pocketvision.train.loop import step
from pocketvision.train.maps import MapMaker
from pocketvision.train.objective import Batch, Objective
from pocketvision.train.optimizer import set_train_mode
from pocketvision.train.recipe import Recipe
from pocketvision.values import Schedule

TEACHER_SHARE = 1 / 3
"""Share of the time left that the teachers' outputs may take; fewer views are better than fewer steps."""
TRIES = 3
"""Steps timed at each resolution, after one that warms up; the median counts."""
STEP = 16
"""Resolutions of early epochs are multiples of this."""
SMALLEST = 64
"""No epoch is below this resolution: the last maps would be a single pixel or two."""
MARGIN = 0.95
"""Share of the time left that a schedule may fill: other programs may want the cores too."""
HEAD_SHARE = 0.5
"""Share of the time left that the head alone may take where not every image's features fit."""
FEWEST = 256
"""Images that a head learns from at least, where there are as many."""


def scheduled(recipe: Recipe, resolution: int, layers: int) -> Schedule:
    """Schedule `recipe.epochs` epochs: the resolution rises over the first part, the last ones see all pixels."""
    progressive_epochs = math.floor(recipe.epochs * recipe.progressive_epochs)
    sizes = [
        _between(recipe.progressive_start, resolution, place / max(1, progressive_epochs))
        for place in range(progressive_epochs)
    ]
    frozen = math.floor(recipe.epochs * recipe.frozen)
    return Schedule(
        head_epochs=recipe.head_epochs,
        resolutions=(*sizes, *[resolution] * (recipe.epochs - progressive_epochs)),
        frozen=(*[layers // 2] * frozen, *[0] * (recipe.epochs - frozen)),
    )


def _between(share: float, resolution: int, place: float) -> int:
    exact = resolution * (share + (1 - share) * place)
    return min(resolution, max(SMALLEST, round(exact / STEP) * STEP))


@dataclass(frozen=True)
class Speed:
    """What this machine takes, in seconds."""

    step: float
    """One training step at the net's resolution."""
    small_step: float
    """One at `small` pixels."""
    small: int
    resolution: int
    validation: float
    """One pass over the validation images."""
    feature: float = 0.0
    """One image's features, which the head alone is trained on; 0 where no head is."""

    def of(self, resolution: int) -> float:
        """Return a training step's time at a resolution: a fixed part and one that grows with the area."""
        if self.small == self.resolution:
            return self.step
        share = (resolution**2 - self.small**2) / (self.resolution**2 - self.small**2)
        return max(0.0, self.small_step + share * (self.step - self.small_step))


def fitted(schedule_of: Callable[[int], Schedule], speed: Speed, *, steps: int, most: int, left_s: float) -> Schedule:
    """Return the longest schedule of at most `most` epochs that fits into `left_s`, with the forecast of every epoch.

    Of as many epochs the usual one is taken where it fits, else one with all but the last at the lowest resolution:
    what counts in few epochs is the number of steps. Where not even one low epoch fits, none where a head was trained
    alone, else that one, which the clock will cut.
    """
    for epochs in range(most, 0, -1):
        usual = schedule_of(epochs)
        low = replace(usual, resolutions=(speed.small,) * (epochs - 1) + usual.resolutions[-1:])
        for schedule in (forecast(usual, speed, steps=steps), forecast(low, speed, steps=steps)):
            if sum(schedule.seconds) <= MARGIN * left_s:
                return schedule
    last = forecast(replace(schedule_of(1), resolutions=(speed.small,), frozen=(0,)), speed, steps=steps)
    if last.head_epochs and sum(last.seconds) > left_s:
        return replace(last, resolutions=(), frozen=(), seconds=())
    return last


def head_images(train: int, speed: Speed, *, mirrored: bool, left_s: float) -> tuple[int | None, float]:
    """Return from how many training images the head learns, and how many seconds that takes.

    None for all, with their mirror images if `mirrored`; else as many as fit, down to some hundred.
    """
    whole = speed.feature * train * (1 + mirrored)
    if whole <= HEAD_SHARE * left_s:
        return None, whole
    count = min(train, max(FEWEST, int(HEAD_SHARE * left_s / speed.feature)))
    return count, count * speed.feature


def forecast(schedule: Schedule, speed: Speed, *, steps: int) -> Schedule:
    """Fill in the seconds that every epoch is expected to take."""
    seconds = (steps * speed.of(resolution) + speed.validation for resolution in schedule.resolutions)
    return replace(schedule, seconds=tuple(round(item, 3) for item in seconds))


def fitted_with_views(
    of: Callable[[int], Schedule], speed: Speed, *, steps: int, most: int, views: int, view_s: float, left_s: float
) -> Schedule:
    """Return the schedule with as many views, up to `views`, and epochs, up to `most`, as fit into `left_s`."""
    views = max(1, min(views, int(TEACHER_SHARE * left_s / view_s)))
    schedule = fitted(of, speed, steps=steps, most=most, left_s=max(0.0, left_s - views * view_s))
    # Where the epoch does not fit behind so many views, it may behind fewer.
    views = max(1, min(views, int((left_s - sum(schedule.seconds)) / view_s)))
    return replace(schedule, views=views, teacher_s=round(views * view_s, 3))


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
    engine.micro_batch = trial_engine.micro_batch
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
    engine.micro_batch = trial.micro_batch


def upper_step_s(upper: Net, maker: MapMaker, engine: Engine) -> tuple[float, float]:
    """Return the seconds of a training step on maps, and of evaluating one image's."""
    views, (height, width, channels) = maker.views, maker.shape
    count = min(views.recipe.batch_size, len(views.images.train))
    maps = torch.rand(count, height, width, channels, device=views.device).permute(0, 3, 1, 2)
    labels = torch.from_numpy(views.images.train_labels[:count]).to(views.device)
    optimizer = torch.optim.SGD([{"params": list(upper.parameters()), "rate": 1.0}], lr=0.0)
    objective, batch, trial = _objective(views), Batch(maps, labels, torch.arange(count)), engine.trial()

    def answer() -> None:
        with torch.no_grad():
            upper.eval()(maps)

    answer_s = median_s(answer, 1) / count
    upper.train()
    return median_s(lambda: step(upper, optimizer, batch, objective=objective, rate=0.0, engine=trial), TRIES), answer_s


def _objective(views: RandomViews) -> Objective:
    images = views.images
    found, _ = learning(images.spec.name).objective(
        images.train_labels, views.num_classes, images.spec, balance="none", smoothing=0.0
    )
    return cast(Objective, found)


def _step_s(net: Net, views: RandomViews, engine: Engine, resolution: int, tries: int = TRIES) -> float:
    optimizer = torch.optim.SGD([{"params": list(net.parameters()), "rate": 1.0}], lr=0.0)
    set_train_mode(net, frozen=0, fixed_norms=views.recipe.norms == "fixed")
    batches = views.batches(0, resolution)
    kept, objective = next(batches), _objective(views)

    def one() -> None:
        loss, _, _ = step(net, optimizer, next(batches, kept), objective=objective, rate=0.0, engine=engine)
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
