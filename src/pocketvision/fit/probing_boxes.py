"""What frozen backbones tell of the user's boxes: maps once, prediction layers in seconds, AP50 on validation."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pocketvision.budget.space import Space
from pocketvision.cost.count import count
from pocketvision.cost.graphs import graph_at
from pocketvision.data.arrays import prepared
from pocketvision.fit.probing import Given, probed_sides, rows_of, some
from pocketvision.probe.boxes import BoxImages, frozen_score
from pocketvision.progress import Progress
from pocketvision.tasks import load
from pocketvision.train.inputs import Loaded, image_spec
from pocketvision.values import CropMode, Example, ModelSpec, Probed, Score

IMAGES, JUDGED = 120, 80
"""So many training and validation images at most are shown."""
FEWEST = 8
"""Validation images without which nothing is told."""
LARGEST = 320
"""Pixels a side beyond which fewer images are shown, for the memory that maps take."""


@dataclass(frozen=True, eq=False)
class _Reading:
    given: Given
    spec: ModelSpec


def probe_boxes(
    given: Sequence[Given], space: Space, loaded: Loaded, *, crop: CropMode, allowed_s: float, progress: Progress
) -> tuple[Probed, ...]:
    """Judge the backbones of weights as they are at the largest resolution of a space, then at a lower one.

    No reading is begun that would end after `allowed_s`, going by the longest before it. Nothing is told where there
    are few validation images.
    """
    if len(loaded.dataset.of("val")) < FEWEST:
        return ()
    readings = _readings(given, space)
    found: list[Probed] = []
    begun, longest = time.perf_counter(), 0.0
    for place, one in enumerate(readings, 1):
        spent = time.perf_counter() - begun
        if spent + longest > allowed_s:
            progress.say(f"probing ends after {place - 1} of {len(readings)} readings: the time limit is near")
            break
        score = _score(one, loaded, crop, progress)
        longest = max(longest, time.perf_counter() - begun - spent)
        progress.say(f"probed {place} of {len(readings)}: {one.spec}, frozen: AP50 {score.value:.1%}")
        cost = count(graph_at(one.spec))
        found.append(Probed(one.given.origin, one.spec, cost.macs, cost.params, score))
    return tuple(found)


def _readings(given: Sequence[Given], space: Space) -> list[_Reading]:
    """Return each net at the largest resolution that is considered, then each at a lower one."""
    turns: tuple[list[_Reading], list[_Reading]] = ([], [])
    for one in given:
        rows = rows_of(space, one.origin)
        for turn, side in zip(turns, probed_sides(rows), strict=False):
            spec = replace(rows.spec(0), width=one.spec.width, padding=one.spec.padding, resolution=side)
            turn.append(_Reading(one, spec))
    return [*turns[0], *turns[1]]


def _score(one: _Reading, loaded: Loaded, crop: CropMode, progress: Progress) -> Score:
    side, dataset = one.spec.resolution, loaded.dataset
    share = min(1.0, (LARGEST / side) ** 2)
    image = image_spec(side, crop, one.given.weights)

    def shown(examples: Sequence[Example], most: int) -> BoxImages:
        chosen = some(examples, max(1, round(share * most)))
        pixels = prepared(dataset, chosen, image, decoded=loaded.decoded, keep=False, progress=progress)
        return BoxImages(pixels, load(loaded.spec.name).targets(chosen))

    pair = shown(dataset.of("train"), IMAGES), shown(dataset.of("val"), JUDGED)
    return frozen_score(one.given.weights, one.spec, image, pair, loaded.spec)
