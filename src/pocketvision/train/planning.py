"""What the epochs of a training do: as its recipe says, or as fits the time that is left on this machine."""

import copy
from dataclasses import dataclass, replace

import torch

from pocketvision.clock import Clock
from pocketvision.models.blocks import Net
from pocketvision.progress import Progress
from pocketvision.tasks import learning
from pocketvision.train.batches import RandomViews
from pocketvision.train.device import Engine
from pocketvision.train.distillation import Distillation
from pocketvision.train.lower import map_layers_of, upper_of
from pocketvision.train.maps import MapMaker
from pocketvision.train.recipe import Recipe
from pocketvision.train.schedule import (
    FEWEST,
    MARGIN,
    fitted,
    fitted_with_views,
    head_images,
    measured,
    median_s,
    scheduled,
    upper_step_s,
)
from pocketvision.values import Schedule


@dataclass(frozen=True, eq=False)
class Planner:
    """Settles the schedule of a training that has not begun."""

    net: Net
    views: RandomViews
    engine: Engine
    clock: Clock
    distillation: Distillation | None
    progress: Progress

    @property
    def recipe(self) -> Recipe:
        """Return the recipe."""
        return self.views.recipe

    def schedule(self) -> Schedule:
        """Return the schedule: on maps where the recipe says so and they can be kept, else on pixels alone."""
        on_maps = self._on_maps() if self.recipe.fine_tune != "all" else None
        if on_maps is not None:
            return on_maps
        if self.distillation is not None and not learning(self.views.images.spec.name).PLACED:
            return self._distilled()
        return self._in_time() if self.clock.limited else self._scheduled(self.recipe.epochs)

    def _scheduled(self, epochs: int) -> Schedule:
        return scheduled(replace(self.recipe, epochs=epochs), self.views.image.resolution, len(self.net.features))

    def _on_maps(self) -> Schedule | None:
        """Return a schedule on feature maps; None where one on pixels is to be taken, which is told."""
        recipe, layers = self.recipe, map_layers_of(self.net, self.views.image.resolution, self.recipe.map_layers)
        usual = self.engine.device.type == "cpu" or recipe.fine_tune == "upper"
        if layers == 0 or not usual or not self.engine.alone or self.clock.left() <= 0:
            return None
        wanted = recipe.map_views if self.distillation is None else self.distillation.views
        maker, views = MapMaker(self.net, layers, self.views, self.progress), min(wanted, recipe.epochs)
        if refused := maker.refused(views):
            self.progress.say(f"all of the net is trained, on pixels, since feature maps cannot be kept: {refused}")
            return None
        schedule = Schedule(0, (), (), map_layers=layers, map_views=views, upper_epochs=recipe.epochs)
        return self._on_maps_in_time(schedule, maker) if self.clock.limited else schedule

    def _on_maps_in_time(self, schedule: Schedule, maker: MapMaker) -> Schedule | None:
        """Return the schedule with as many epochs as fit, and no more views than epochs; None where not one fits."""
        with torch.random.fork_rng():
            image_s = maker.image_s()
            step_s, answer_s = upper_step_s(upper_of(copy.deepcopy(self.net), schedule.map_layers), maker, self.engine)
        counts, left = (len(self.views.images.train), len(self.views.images.val)), max(0.0, self.clock.left())
        upper_s, asking_s = round(self.views.steps * step_s + counts[1] * answer_s, 3), self._asking_s()
        for epochs in range(schedule.upper_epochs, 0, -1):
            views = min(schedule.map_views, epochs)
            maps_s, teacher_s = round(image_s * (views * counts[0] + counts[1]), 3), round(views * asking_s, 3)
            needed_s = maps_s + teacher_s + epochs * upper_s
            if needed_s <= MARGIN * left:
                self.progress.say(
                    f"time limit: {epochs} of up to {schedule.upper_epochs} epochs on the maps of {views} views, about "
                    f"{needed_s:.0f} s of the {left:.0f} s left"
                )
                settled = replace(schedule, map_views=views, upper_epochs=epochs)
                return replace(settled, upper_s=upper_s, maps_s=maps_s, teacher_s=teacher_s)
        return None

    def _asking_s(self) -> float:
        """Return the seconds in which the teachers answer to one view of every image; 0 without them."""
        if self.distillation is None:
            return 0.0
        ask, times = self.distillation.trial(self.views)
        with torch.random.fork_rng():
            return max(1e-6, median_s(ask, 3)) * times

    def _in_time(self) -> Schedule:
        recipe, images = self.recipe, self.views.images
        if self.clock.left() <= 0 and recipe.head_epochs:
            self.progress.say("time limit: over already; the head alone is trained, on few images")
            return Schedule(recipe.head_epochs, (), (), head_images=FEWEST)
        speed = measured(self.net, self.views, self.engine)
        left = max(0.0, self.clock.left())
        count, features_s = head_images(len(images.train), speed, mirrored=recipe.flip, left_s=left)
        head_s = features_s + 2 * speed.validation if recipe.head_epochs else 0.0
        left_s = max(0.0, left - head_s)
        schedule = fitted(self._scheduled, speed, steps=self.views.steps, most=recipe.epochs, left_s=left_s)
        late = head_s - self.clock.left()
        if late > 0:
            self.progress.say(
                f"time limit: too short for this data and machine; the head alone is trained, about {late:.0f} s late"
            )
        else:
            told = f"{len(schedule.resolutions)} of up to {recipe.epochs} epochs"
            self.progress.say(
                f"time limit: {told}, about {sum(schedule.seconds) + head_s:.0f} s of the {left:.0f} s left"
            )
        return replace(schedule, head_images=count if recipe.head_epochs else None, head_s=round(head_s, 3))

    def _distilled(self) -> Schedule:
        assert self.distillation is not None
        if not self.clock.limited:
            return replace(self._scheduled(self.recipe.epochs), views=self.distillation.views)
        speed = measured(self.net, self.views, self.engine)
        left = max(0.0, self.clock.left())
        schedule = fitted_with_views(
            self._scheduled,
            speed,
            steps=self.views.steps,
            most=self.recipe.epochs,
            views=self.distillation.views,
            view_s=self._asking_s(),
            left_s=left,
        )
        self.progress.say(
            f"time limit: {schedule.views} of up to {self.distillation.views} views and {len(schedule.resolutions)} of "
            f"up to {self.recipe.epochs} epochs, about {sum(schedule.seconds) + schedule.teacher_s:.0f} s of the "
            f"{left:.0f} s left"
        )
        return schedule
