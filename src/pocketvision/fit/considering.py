"""What is considered: the weights at hand, what the user fixed, what the images allow, and every setting counted."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

from pocketvision.budget.space import Space, space_of
from pocketvision.budget.trunks import Pretrained, Wanted, trunks_for
from pocketvision.cost.graphs import traced
from pocketvision.errors import MissingExtra, UsageError, WeightsError
from pocketvision.fit.options import formats_asked
from pocketvision.fit.probing import Given
from pocketvision.models.catalogue import families, family_of, parse_name
from pocketvision.progress import Progress, track
from pocketvision.settings.verbs import FitOptions
from pocketvision.tasks import load as load_task
from pocketvision.tasks import spec_for
from pocketvision.train.inputs import Loaded, fits
from pocketvision.train.memory import require_memory
from pocketvision.train.teacher import teachers_of
from pocketvision.values import ModelSpec
from pocketvision.weights.available import available, load, path_of

FETCHED_BYTES = 25_000_000
"""Larger weights are not fetched unasked."""


def weights_at_hand(options: FitOptions, progress: Progress) -> list[Given]:
    """Read the weights that were named, or all on this machine; where there are none, the best small ones that are
    published are fetched if they can be reached. None are read where `none` was asked for."""
    found = available(options.weights, offline=options.offline, progress=progress)
    here = [one for one in found if one.path is not None or one.origin == "given"]
    if not here:
        here = sorted(
            (one for one in found if one.bytes is not None and one.bytes <= FETCHED_BYTES and one.top1 is not None),
            key=lambda one: -(one.top1 or 0.0),
        )[:1]
    given: dict[str, Given] = {}
    for one in here:
        try:
            weights = load(one, progress)
        except (WeightsError, MissingExtra) as error:
            if one.origin == "given":
                raise
            progress.say(f"left out: {one.name}: {error}")
            continue
        path = path_of(one, progress)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        given.setdefault(digest, Given(path.name, path, digest, weights))
    return list(given.values())


def wanted_of(loaded: Loaded, options: FitOptions) -> tuple[Wanted, tuple[str, ...]]:
    """Put together what the user fixed and what the images allow, with a sentence for each restriction."""
    task, side = load_task(loaded.spec.name), loaded.health.median_short_side
    largest = options.resolution or task.resolution(side)
    wanted = parse_name(options.model) if options.model else None
    width = options.width or (wanted.width if wanted and wanted.name != options.model else None)
    if wanted is None and options.weights is None and options.depth is not None:
        raise UsageError("--depth counts the layers of one net; name it with --model or --weights")
    fitted = task.fitted(ModelSpec("mobilenet_v2", resolution=largest), loaded.dataset.of("train"))
    wish = Wanted(
        len(loaded.dataset.labels),
        largest,
        wanted.name if wanted else None,
        width,
        options.depth,
        options.resolution,
        wanted.groups if wanted else None,
        fitted.detector,
        task.resolution(0),
    )
    if options.teacher is not None and fitted.detector is not None:
        return _as_taught(wish, options.teacher)
    if options.resolution is not None:
        return wish, ()
    return wish, (f"The images' median short side is {side} pixels: nets take at most {largest} here.",)


def _as_taught(wish: Wanted, teachers: str) -> tuple[Wanted, tuple[str, ...]]:
    """Take the anchors and the resolution of a teacher, which speaks of its own anchors only."""
    spec = teachers_of(teachers)[0].trained.spec
    if wish.resolution not in (None, spec.resolution):
        raise UsageError(
            f"the teacher's anchors are for {spec.resolution} pixels: give --resolution {spec.resolution}, or leave it "
            "away"
        )
    taught = replace(wish, largest=spec.resolution, resolution=spec.resolution, detector=spec.detector)
    return taught, (f"The student has its teacher's anchors, at {spec.resolution} pixels.",)


def counted(given: Sequence[Given], wish: Wanted, options: FitOptions, loaded: Loaded, progress: Progress) -> Space:
    """Count every setting that the wish allows; raises UsageError where there is none."""
    spec = spec_for(loaded.dataset)
    boxes = wish.detector is not None
    known = _broadest(given) if boxes else [one for one in given if one.spec.detector is None]
    trunks = trunks_for(
        [Pretrained(one.origin, one.spec, slices=family_of(one.spec.name).narrows) for one in known],
        wish,
        scratch=not given or (options.weights is None and not boxes),  # a few boxes teach a fresh net nothing
    )
    if not trunks:
        _explain_nothing(given, wish)
    listed = list(track(trunks, progress, "counting nets", len(trunks)))
    space = space_of(listed, traced, spec.labels, formats=formats_asked(options.format))
    if not len(space):
        _explain_nothing(given, wish)
    # Before candidates are written and timed, which takes memory too.
    require_memory(loaded, space.spec(int(space.macs.argmin())), options.device)
    return space


def _broadest(given: Sequence[Given]) -> list[Given]:
    """Return of weights of the same net those for ImageNet's classes, the broadest, where nothing else tells which."""
    usual = sorted(given, key=lambda one: abs(one.spec.num_classes - 1000) > 1)
    first: dict[str, Given] = {}
    for one in usual:
        first.setdefault(one.spec.dials, one)
    return [one for one in given if first[one.spec.dials] is one]


def _explain_nothing(given: Sequence[Given], wish: Wanted) -> NoReturn:
    for one in given:
        dials = ModelSpec(wish.name or one.spec.name, wish.width or one.spec.width, depth=wish.depth)
        fits(dials, one.weights)
    name = wish.name or (given[0].spec.name if given else "")
    smallest = family_of(name).smallest if name else min(family.smallest for family in families().values())
    raise UsageError(
        f"{name or 'every net'} takes images of at least {smallest} pixels, and {wish.largest} are allowed here; allow "
        f"more with --resolution {family_of(name).resolution if name else smallest}, or name a smaller net"
    )
