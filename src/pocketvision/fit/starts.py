"""Published nets to start from: which files there are, at which resolutions they can be used, and what each costs."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.budget.candidates import candidates
from pocketvision.cost.count import count
from pocketvision.cost.graphs import graph_at
from pocketvision.errors import UsageError
from pocketvision.models.catalogue import family_of
from pocketvision.probe.features import Backbone
from pocketvision.progress import Progress
from pocketvision.train.inputs import image_spec
from pocketvision.values import Candidate, CropMode, ModelSpec
from pocketvision.weights.available import available, load, path_of
from pocketvision.weights.fetch import cache_folder, local_folder
from pocketvision.weights.load import Weights


@dataclass(frozen=True, eq=False)
class StartCandidate:
    """One weights file at one resolution."""

    file: Path
    backbone: Backbone
    spec: ModelSpec
    """As it would be trained: at this resolution, with the user's classes."""
    candidate: Candidate
    """What it costs as an int8 file."""
    plain: Candidate
    """What it costs as a float file."""


@dataclass(frozen=True)
class Wish:
    """What was asked of every start."""

    resolutions: tuple[int, ...]
    """Pixels a side; empty for those that the weights were published at."""
    crop_mode: CropMode
    num_classes: int


def find_starts(
    weights: Sequence[str | Path] | None, wish: Wish, progress: Progress, *, offline: bool = False
) -> list[StartCandidate]:
    """Read every weights file that was named, or all on this machine, at every resolution it can take.

    What cannot be used is told of and left out where nobody named it. UsageError where nothing is left.
    """
    named = weights is not None
    found = available(weights, offline=offline, progress=progress)
    starts: list[StartCandidate] = []
    seen: set[str] = set()
    for one in (one for one in found if one.origin != "published"):
        file = path_of(one, progress)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if digest not in seen:
            seen.add(digest)
            starts += _at_each(file, load(one, progress), digest, wish, progress)
    if not starts:
        raise UsageError(_nothing(named))
    return starts


def _nothing(named: bool) -> str:
    if named:
        return "none of the weights can take these resolutions; leave --resolution away"
    places = " and ".join(str(folder) for folder in (local_folder(), cache_folder()) if folder is not None)
    return (
        f"there is no usable weights file in {places}; name some with --weights FILE, or fetch some with "
        "`pocketvision weights get mobilenet_v2`"
    )


def _at_each(file: Path, weights: Weights, digest: str, wish: Wish, progress: Progress) -> Iterator[StartCandidate]:
    own = weights.spec
    for resolution in dict.fromkeys(wish.resolutions or (own.resolution,)):
        if not _takes(own, resolution):
            progress.say(f"left out: {file.name} cannot take images of {resolution} pixels")
            continue
        spec = replace(own, resolution=resolution, num_classes=wish.num_classes)
        files = {item.precision: item for item in candidates([spec], graph_at)}
        backbone = Backbone(weights, digest, image_spec(resolution, wish.crop_mode, weights))
        yield StartCandidate(file, backbone, spec, files["int8"], files["float"])


def _takes(own: ModelSpec, resolution: int) -> bool:
    """Tell whether weights fit a net at a resolution: large enough, and no layer looks at flattened maps."""
    if resolution == own.resolution:
        return True
    if resolution < family_of(own.name).smallest:
        return False
    return count(graph_at(replace(own, resolution=resolution))).params == count(graph_at(own)).params
