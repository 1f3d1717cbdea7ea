"""How long a lesson may last: views of the teacher and epochs, fitted to this machine's speed and the time left."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from pocketvision.progress import Progress
from pocketvision.train.checkpoint import Checkpoint
from pocketvision.train.recipe import Recipe
from pocketvision.train.schedule import fitted, scheduled
from pocketvision.train.speed import measured
from pocketvision.train.teacher import Teacher, Views, outputs_for
from pocketvision.train.transfer import Training
from pocketvision.values import Schedule

ASKING_SHARE = 1 / 3
"""Share of the time left that the teachers' answers may take; fewer views are better than fewer steps."""


@dataclass(frozen=True, eq=False)
class Lecture:
    """Who teaches, and what is shown."""

    teachers: Sequence[Teacher]
    views: Views
    temperature: float


def schedule_of_distillation(
    task: Training, recipe: Recipe, lecture: Lecture, checkpoint: Checkpoint, *, progress: Progress
) -> Schedule:
    """Settle views and epochs: as asked without a time limit, else the most that fit; an interrupted lesson keeps its
    plan."""

    def of(epochs: int) -> Schedule:
        return scheduled(replace(recipe, epochs=epochs), task.image.resolution, len(task.net.features))

    views = lecture.views.count
    if not task.clock.limited:
        return replace(of(recipe.epochs), views=views)
    stored = checkpoint.schedule()
    if stored is not None:
        return stored
    speed = measured(task, recipe)
    one_view = _asking_s(task, lecture)
    left = max(0.0, task.clock.left())
    views = max(1, min(views, int(ASKING_SHARE * left / one_view)))
    steps = max(1, len(task.images.train) // recipe.batch_size)
    schedule = fitted(of, speed, steps=steps, most=recipe.epochs, left_s=max(0.0, left - views * one_view))
    # Where the epoch does not fit behind so many views, it may behind fewer.
    views = max(1, min(views, int((left - sum(schedule.seconds)) / one_view)))
    progress.say(
        f"time limit: {views} of up to {lecture.views.count} views and {len(schedule.resolutions)} of up to "
        f"{recipe.epochs} epochs, about {sum(schedule.seconds) + views * one_view:.0f} s of the {left:.0f} s left"
    )
    return checkpoint.keep_schedule(replace(schedule, views=views, teacher_s=round(views * one_view, 3)))


def _asking_s(task: Training, lecture: Lecture) -> float:
    """Return the seconds that the teachers take for one view of every image."""
    chunks = lecture.views.chunks(len(task.images.source), 0)
    shown = task.images.source[chunks[0]]
    times = []
    with torch.random.fork_rng():
        for _ in range(3):
            started = time.perf_counter()
            draw = partial(lecture.views.pixels, shown, 0, 0)
            outputs_for(lecture.teachers, draw, temperature=lecture.temperature, device=task.device)
            times.append(time.perf_counter() - started)
    return max(1e-6, sorted(times)[1]) * len(chunks)
