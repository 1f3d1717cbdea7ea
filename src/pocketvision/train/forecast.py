"""How long a training will take here, before it is begun: a few batches timed, the rest is arithmetic."""

from dataclasses import dataclass
from typing import Any, Literal

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

Start = Literal["own", "sliced", "scratch"]
_LONG_S = 1e9
_SOME = 64


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
    task: TaskSpec | None = None,
) -> float:
    """Forecast the seconds from prepared images to trained weights, by the recipe that the options and start ask for.

    `start` says whether the net has its own weights, those of a wider net, or none; `task` is what is asked of it, one
    class an image where it is not said. The net itself is built and timed on grey images: three steps and answers, some
    seconds for a large net. Decoding and start-up are not counted.
    """
    options = options or TrainConfig()
    asked = spec_for_net(task or TaskSpec("classify", tuple(map(str, range(spec.num_classes)))), spec)
    recipe = recipe_for(
        options,
        transfer=start != "scratch",
        examples=examples,
        norms=has_norms(spec.name),
        defaults=learning(asked.name).DEFAULTS,
    )
    side, engine = spec.resolution, engine_for(options.device, options.precision)
    train, val = _Grey(max(2, examples), side), _Grey(max(2, validation), side)
    images = TrainImages(train, train, _targets(asked, len(train)), val, _targets(asked, len(val)), asked)
    net = build_spec(spec).to(engine.device)
    views = RandomViews(images, ImageSpec(side), recipe, spec.num_classes, engine.device)
    return Planner(net, views, engine, Clock(_LONG_S), None, Silent()).schedule().forecast_s


def _targets(asked: TaskSpec, count: int) -> Any:
    """Return targets of so many images."""
    _, some = load(asked.name).stand_in(asked, _SOME)
    return some[np.arange(count) % len(some)]
