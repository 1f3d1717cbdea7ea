"""Which weights there are to start from, in the order in which they are looked for, and which of them a net takes.

Given ones, the folder POCKETVISION_WEIGHTS, the cache, installed packages, and last what can be fetched.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pocketvision import cache
from pocketvision.errors import MissingExtra, WeightsError
from pocketvision.files import user_path
from pocketvision.models.catalogue import family_of
from pocketvision.progress import Progress
from pocketvision.values import ModelSpec, from_json, to_json
from pocketvision.weights.depth import reaches
from pocketvision.weights.fetch import cache_folder, fetch, is_offline, local_folder, packaged, present
from pocketvision.weights.load import SUFFIXES, Weights, read
from pocketvision.weights.sources import Source, published_file, sources
from pocketvision.weights.verbs import choose
from pocketvision.words import bytes_text

Origin = Literal["given", "folder", "cache", "package", "published"]
NO_WEIGHTS = "none"
_VERSION = 1
"""Of what is remembered of a file; a change of it lets every file be read anew."""
_REMEMBERED_BYTES = 4_000_000


@dataclass(frozen=True)
class Available:
    """One weights file that a training can start from."""

    spec: ModelSpec
    """Its net, at the resolution that it was trained at."""
    origin: Origin
    path: Path | None
    """Where it lies; None of one that has to be fetched."""
    source: Source | None
    """What is published of it; None of a file that no list names."""
    bytes: int | None
    """Of the file, None where that is not known before it is fetched."""
    top1: float | None
    """ImageNet accuracy in percent as published, None where nothing is."""
    levels: bool
    """Whether it holds the whole numbers of a quantized net."""

    @property
    def name(self) -> str:
        """Return the file's name."""
        return self.path.name if self.path is not None else self.source.file if self.source is not None else ""


@dataclass(frozen=True)
class Start:
    """What a net's training begins with, and what has to be done to it first."""

    kind: Literal["own", "cut", "sliced", "scratch"]
    """`own` weights as they are, those of a deeper net `cut` short, of a wider one `sliced`, or from scratch."""
    weights: Available | None


def available(
    asked: Sequence[str | Path] | str | Path | None, *, offline: bool, progress: Progress
) -> tuple[Available, ...]:
    """List the weights that were asked for, files or names of nets, or else all there are, the nearest at hand first.

    Nothing is fetched; what can be is listed last, unless `offline` or POCKETVISION_OFFLINE forbids it. `none` asks for
    no weights. A file that cannot be read is an error where it was asked for, else it is named and left out.
    """
    if asked is not None:
        named = [asked] if isinstance(asked, str | Path) else list(asked)
        return () if NO_WEIGHTS in map(str, named) else tuple(_given(item, offline) for item in named)
    found: dict[tuple[str, int], Available] = {}
    for path, origin in _here():
        with suppress(OSError):
            key = path.name, path.stat().st_size
            if key not in found and (one := _readable(path, origin, progress)) is not None:
                found[key] = one
    return (*found.values(), *(() if offline or is_offline() else _published()))


def load(one: Available, progress: Progress) -> Weights:
    """Read weights, fetched first where they are not here, and say what was taken for granted in reading them."""
    weights = read(path_of(one, progress))
    weights.tell(progress)
    return weights


def path_of(one: Available, progress: Progress) -> Path:
    """Return where weights lie; those that are not here are fetched, which is said before."""
    if one.path is not None:
        return one.path
    assert one.source is not None
    size = f", {bytes_text(one.bytes)}" if one.bytes is not None else ""
    progress.say(f"fetching {one.name} from {one.source.provider}{size}")
    return fetch(one.source, progress=progress)


def start_for(spec: ModelSpec, found: Sequence[Available]) -> Start:
    """Choose what a net starts from: the weights whose width is nearest above its own; of equal ones those at hand,
    then those of the nearest resolution."""
    fitting = [one for one in found if _serves(one.spec, spec)]
    if not fitting:
        return Start("scratch", None)
    best = min(fitting, key=lambda one: _distance(one, spec))
    if best.spec.width != spec.width:
        return Start("sliced", best)
    return Start("own" if best.spec.depth == spec.depth else "cut", best)


def _serves(own: ModelSpec, wanted: ModelSpec) -> bool:
    family = family_of(wanted.name)
    usual = family.groups[0] if family.groups else None
    alike = reaches(own, wanted) and (own.groups or usual) == (wanted.groups or usual)
    return alike and (own.width == wanted.width or (own.width > wanted.width and family.narrows))


def _distance(one: Available, spec: ModelSpec) -> tuple[float, bool, float]:
    return one.spec.width, one.path is None, abs(math.log(one.spec.resolution / spec.resolution))


# ---------------------------------------------------------------- where they lie


def _given(item: str | Path, offline: bool) -> Available:
    """Return the file that is meant: by its path, or by a net's name, of which the published one is taken."""
    path = user_path(item)
    if path.suffix in SUFFIXES or path.exists():
        return _file(path, "given")
    source = choose(str(item))
    if (found := present(source)) is not None:
        return _file(found, "given")
    if offline or is_offline():
        raise WeightsError(f"{source.file} is not on this machine, and nothing may be fetched")
    return replace(_of(source), origin="given")


def _here() -> Iterator[tuple[Path, Origin]]:
    places: tuple[tuple[Path | None, Origin], ...] = ((local_folder(), "folder"), (cache_folder(), "cache"))
    for folder, origin in places:
        if folder is not None and folder.is_dir():
            for path in sorted(folder.iterdir()):
                if path.suffix in SUFFIXES and path.is_file():
                    yield path, origin
    for source in sources():
        if (file := packaged(source)) is not None:
            yield file, "package"


def _published() -> Iterator[Available]:
    """List what can be fetched and is not here: what comes in a package, pip alone installs."""
    return (_of(source) for source in sources() if not source.package and present(source) is None)


def _of(source: Source) -> Available:
    spec = ModelSpec(source.name, source.width, source.image.resolution, source.num_classes, source.padding)
    levels = source.layout == "tflite" and "quant" in source.file
    return Available(spec, "published", None, source, source.size_bytes, source.top1, levels)


def _readable(path: Path, origin: Origin, progress: Progress) -> Available | None:
    try:
        return _file(path, origin)
    except (WeightsError, MissingExtra) as error:
        progress.say(f"left out: {path.name}: {error}")
        return None


# ---------------------------------------------------------------- what is in them


def _file(path: Path, origin: Origin) -> Available:
    """Read a file, once: what it holds is remembered as long as it keeps its size and time."""
    kept = _kept(path)
    known = _remembered(kept)
    if known is None:
        weights = read(path)
        known = weights.spec, weights.levels is not None
        _remember(kept, known)
    source = published_file(path.name)
    spec, levels = known
    return Available(spec, origin, path, source, path.stat().st_size, source.top1 if source else None, levels)


def _kept(path: Path) -> Path:
    # A file that is not there is told of by its reader.
    state = path.stat() if path.is_file() else None
    said = [_VERSION, str(path.absolute()), *((state.st_size, state.st_mtime_ns) if state else ())]
    digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:24]
    return cache.root() / "weights-known" / f"{digest}.json"


def _remembered(kept: Path) -> tuple[ModelSpec, bool] | None:
    try:
        said = json.loads(kept.read_text(encoding="utf-8"))
        return from_json(ModelSpec, said["spec"]), bool(said["levels"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _remember(kept: Path, known: tuple[ModelSpec, bool]) -> None:
    spec, levels = known
    with suppress(OSError), cache.whole_file(kept) as stream:
        stream.write(json.dumps({"spec": to_json(spec), "levels": levels}).encode())
    cache.make_room("weights-known/*.json", _REMEMBERED_BYTES, keep=kept)
