"""The verbs of `pocketvision weights`: list what is published, get it, add a file of one's own, say where all lies."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from pocketvision.errors import UsageError, WeightsError
from pocketvision.files import make_folder, user_path
from pocketvision.models.catalogue import parse_name
from pocketvision.runs import require_plain
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import WeightsAddOptions, WeightsGetOptions, WeightsListOptions, WeightsWhereOptions
from pocketvision.values import ImageSpec
from pocketvision.weights.fetch import cache_folder, fetch, local_folder, present
from pocketvision.weights.load import Weights, read
from pocketvision.weights.sources import Source, published_file, sources
from pocketvision.weights.words import CONFIG, config_beside, kept_beside

_Width = float | None


@dataclass(frozen=True)
class Listed:
    """One published file."""

    name: str
    """Name of the net."""
    width: float
    """Multiplier of the channels."""
    resolution: int
    """Side in pixels that it was trained at."""
    provider: str
    """Who publishes it."""
    file: str
    """Name of the file."""
    page: str
    """Where to download it by hand."""
    license: str
    """As the provider states it."""
    top1: float | None
    """ImageNet accuracy in percent, as published, or None."""
    top5: float | None
    """The same for the first five answers."""
    published: str
    """Where the accuracy is printed."""
    recipe: str
    """How it was trained: an address, or a few words."""
    num_classes: int
    """Outputs; of 1001 the first is none of ImageNet's thousand."""
    size_bytes: int | None
    """Of the file, or None where it is not known."""
    image: ImageSpec
    """The preparation of images that belongs to it."""
    interpolation: str
    """What its authors evaluate with; ours is bilinear."""
    here: str | None
    """Path on this machine, None where the file is not here yet."""


@dataclass(frozen=True)
class Kept:
    """One weights file on this machine, read and recognized."""

    path: str
    """The file on this machine."""
    name: str
    """Name of the net."""
    width: float
    """Multiplier of the channels."""
    resolution: int
    """Side in pixels that it was trained at."""
    num_classes: int
    """0 of a file without a classifier."""
    provider: str | None
    """None for a file that no list names."""
    license: str | None
    """As the provider states it, or None."""
    size_bytes: int
    """Of the file."""


@dataclass(frozen=True)
class Places:
    """Where weights are looked for, the first place first."""

    local: str | None
    """The folder named by POCKETVISION_WEIGHTS."""
    cache: str
    """The folder for what is fetched or added."""
    file: str | None
    """The file that was asked for, where it lies or would be put; None without a name."""
    here: bool
    """Whether that file is on this machine."""


@verb(WeightsListOptions)
def list(options: WeightsListOptions) -> tuple[Listed, ...]:
    """List the published weights of a net, or of all; with `here` only those on this machine."""
    wanted = parse_name(options.name).name if options.name is not None else None
    lines = (_listed(source) for source in sources() if wanted in (None, source.name))
    return tuple(line for line in lines if line.here is not None or not options.here)


@verb(WeightsGetOptions)
def get(options: WeightsGetOptions) -> Kept:
    """Fetch published weights, check them, and keep them in the cache; nothing is fetched twice.

    `source` is a provider's or a file's name, where the preferred one is not wanted. A download that was cut off goes
    on where it ended. Raises UsageError where nothing of the kind is published, WeightsError where it cannot be had.
    """
    chosen = choose(options.name, width=options.width, resolution=options.resolution, source=options.source)
    path = fetch(chosen, progress=options.progress)
    try:
        return _kept(path, read(path))
    except WeightsError:
        if not (chosen.sha256 or chosen.md5 or chosen.repo):
            # Nothing else vouches for this file, and it is no weights: the next run should ask for it again.
            path.unlink()
        raise


@verb(WeightsAddOptions)
def add(options: WeightsAddOptions) -> Kept:
    """Copy a weights file into the cache after reading it, and the hub's `config.json` beside it; `name` is its name
    there, with the same suffix.

    A file under the name of a published one is then found as that. Raises WeightsError where it holds no net of the
    catalogue, UsageError where another file has the name.
    """
    path = user_path(options.file)
    weights = read(path)
    if options.name is not None:
        require_plain(options.name, "file")
    target = cache_folder() / (options.name or path.name)
    if target.parent != cache_folder() or target.suffix != path.suffix:
        raise UsageError(f"'{options.name}' is no plain file name that ends in {path.suffix}, as '{path.name}' does")
    if target.exists() and not _same(path, target):
        raise UsageError(f"there is another file at {target}; choose another name with --name, or delete it")
    make_folder(target.parent)
    draft = target.with_name(f".{target.name}.adding")
    shutil.copyfile(path, draft)
    draft.replace(target)
    config = path.with_name(CONFIG)
    if published_file(path.name) is None and config_beside(path) and config.is_file():
        shutil.copyfile(config, kept_beside(target))
    return _kept(target, weights)


@verb(WeightsWhereOptions)
def where(options: WeightsWhereOptions) -> Places:
    """Say where weights are looked for, and which file a net's name stands for."""
    folder, file, found = local_folder(), None, None
    if options.name is not None:
        chosen = choose(options.name, width=options.width, resolution=options.resolution, source=options.source)
        found = present(chosen)
        file = (found or cache_folder() / chosen.file).as_posix()
    return Places(folder.as_posix() if folder else None, cache_folder().as_posix(), file, found is not None)


def choose(name: str, *, width: _Width = None, resolution: int | None = None, source: str | None = None) -> Source:
    """Return the preferred of the sources that fit; a width and resolution in the name count as asked for.

    Raises UsageError where nothing of the kind is published.
    """
    spec = parse_name(name)
    named = spec.resolution if str(spec.resolution) in name else None
    width, resolution = (spec.width if width is None else width), resolution or named
    fitting = [
        entry
        for entry in sources()
        if (entry.name, entry.width) == (spec.name, width)
        and resolution in (None, entry.image.resolution)
        and source in (None, entry.provider, entry.file, entry.repo)
    ]
    if fitting:
        return fitting[0]
    known = [f"{entry.width:g} at {entry.image.resolution} from {entry.provider}" for entry in _of(spec.name)]
    asked = (
        f"{spec.name} {width:g}" + (f" at {resolution}" if resolution else "") + (f" from {source}" if source else "")
    )
    raise UsageError(f"no published weights are known for {asked}. Known: {'; '.join(known) or 'none of this net'}")


def _of(name: str) -> tuple[Source, ...]:
    return tuple(entry for entry in sources() if entry.name == name)


def _same(first: Path, second: Path) -> bool:
    return first.stat().st_size == second.stat().st_size and first.read_bytes() == second.read_bytes()


def _listed(source: Source) -> Listed:
    here = present(source)
    return Listed(
        name=source.name,
        width=source.width,
        resolution=source.image.resolution,
        provider=source.provider,
        file=source.file,
        page=source.page,
        license=source.license,
        top1=source.top1,
        top5=source.top5,
        published=source.published,
        recipe=source.recipe,
        num_classes=source.num_classes,
        size_bytes=here.stat().st_size if here else source.size_bytes,
        image=source.image,
        interpolation=source.interpolation,
        here=here.as_posix() if here else None,
    )


def _kept(path: Path, weights: Weights) -> Kept:
    source, spec = published_file(path.name), weights.spec
    return Kept(
        path=path.as_posix(),
        name=spec.name,
        width=spec.width,
        resolution=spec.resolution,
        num_classes=spec.num_classes if weights.has_head else 0,
        provider=source.provider if source else None,
        license=source.license if source else None,
        size_bytes=path.stat().st_size,
    )
