"""How long a training will take here, before it is begun: a few batches timed, the rest is arithmetic."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pocketvision.clock import Clock
from pocketvision.models.catalogue import build_spec, has_norms
from pocketvision.progress import Silent
from pocketvision.settings.groups import TrainConfig
from pocketvision.tasks import learning, load, spec_for_net
from pocketvision.train.batches import RandomViews, TrainImages
from pocketvision.train.device import engine_for
from pocketvision.train.planning import Planner
from pocketvision.train.recipe import recipe_for
from pocketvision.values import ImageSpec, ModelSpec, TaskSpec
from pocketvision.values.nets import CLASSES

Start = Literal["own", "sliced", "scratch"]
_LONG_S = 1e9


@dataclass(frozen=True)
class _Grey:
    """As many prepared images as are asked for, which take no memory until then."""

    count: int
    side: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Return [n, size, size, 3]."""
        return self.count, self.side, self.side, 3

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, places: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.full((len(np.arange(self.count)[places]), *self.shape[1:]), 127, np.uint8)


def training_seconds(
    spec: ModelSpec,
    start: Start,
    examples: int,
    *,
    validation: int = 0,
    options: TrainConfig | None = None,
    task: TaskSpec = CLASSES,
) -> float:
    """Forecast the seconds from prepared images to trained weights, by the recipe that the options and start ask for.

    `start` says whether the net has its own weights, those of a wider net, or none; `task` what it is trained for. The
    net itself is built and timed
    on grey images: three steps and answers, some seconds for a large net. Decoding and start-up are not counted.
    """
    options = options or TrainConfig()
    recipe = recipe_for(
        options,
        transfer=start != "scratch",
        examples=examples,
        norms=has_norms(spec.name),
        defaults=learning(task.name).DEFAULTS,
    )
    side, engine = spec.resolution, engine_for(options.device, options.precision)
    train, val = _Grey(max(2, examples), side), _Grey(max(2, validation), side)
    labels = task.labels or tuple(map(str, range(spec.num_classes)))
    asked = spec_for_net(replace(task, labels=labels), spec)
    _, targets = load(task.name).stand_in(asked, len(train) + len(val))
    images = TrainImages(train, train, targets[: len(train)], val, targets[len(train) :], asked)
    net = build_spec(spec).to(engine.device)
    views = RandomViews(images, ImageSpec(side), recipe, spec.num_classes, engine.device)
    return Planner(net, views, engine, Clock(_LONG_S), None, Silent()).schedule().forecast_s
