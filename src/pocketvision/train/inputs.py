"""How a training begins, or begins again: the data as split the first time, and the weights to start from."""

from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.data.check import load_dataset
from pocketvision.data.decoded import DecodedCache
from pocketvision.data.digits import resolve
from pocketvision.data.kinds import target_of
from pocketvision.data.layout import scan
from pocketvision.data.splits import read_dataset, write_splits
from pocketvision.errors import DataError, MissingExtra, UsageError, WeightsError
from pocketvision.files import user_path
from pocketvision.progress import Progress, Silent
from pocketvision.runs import RunFolder
from pocketvision.settings.groups import NetConfig
from pocketvision.tasks import of_kind, spec_for
from pocketvision.values import CropMode, Dataset, Health, ImageSpec, ModelSpec, TaskSpec
from pocketvision.weights.depth import reaches
from pocketvision.weights.fetch import fetch
from pocketvision.weights.load import Weights, read
from pocketvision.weights.sources import find

SCRATCH = "from scratch"
NO_WEIGHTS = "none"


@dataclass(frozen=True, eq=False)
class Loaded:
    """The data of a run."""

    dataset: Dataset
    health: Health
    decoded: DecodedCache | None
    given: Path
    """What the data was read from: a folder or a table."""

    @property
    def spec(self) -> TaskSpec:
        """Return what is asked of a net that learns from it."""
        return spec_for(self.dataset)


def load_data(data: str | Path, folder: Path, *, val: float, test: float, seed: int, progress: Progress) -> Loaded:
    """Check and split the data once; a run that goes on finds the same labels and splits again."""
    root = resolve(data, progress).absolute()
    run = RunFolder(folder)
    if run.health.exists():  # written last of the three
        health = run.health.read()
        root = _begun_with(Path(health.root), root, progress)
        dataset = read_dataset(root, run.labels.read(), run.splits.path, progress=progress)
        _same_labels(dataset, root)
        return Loaded(dataset, health, None, root)
    dataset, health, decoded = load_dataset(root, val=val, test=test, seed=seed, progress=progress)
    run.labels.write(dataset.labels)
    write_splits(run.splits.path, dataset)
    run.health.write(health)
    return Loaded(dataset, health, decoded, root)


def _begun_with(began: Path, root: Path, progress: Progress) -> Path:
    """Return the folder that a run began with, where the same word means another one now: as `digits` does beside a
    folder of that name, or a relative path elsewhere."""
    if root == began or not (root.is_dir() or not root.exists()) or not began.is_dir():
        return root
    progress.say(f"going on with the images in {began}, which the run began with, not those in {root}")
    return began


def _same_labels(dataset: Dataset, root: Path) -> None:
    """Raise DataError where the data says another label now than when the run began, or names an image no longer."""
    write, listing = of_kind(dataset.kind).write, scan(root)
    numbers = {label: number for number, label in enumerate(listing.labels)}
    names = listing.labels or listing.attributes
    said = {found.file: write(target_of(found, numbers), names) for found in listing.found}
    began = {one.file: write(one.target, dataset.labels) for one in dataset.examples}
    changed = [file for file, label in began.items() if said.get(file) != label]
    if changed:
        first = changed[0]
        now = f"is labeled '{said[first]}' now" if first in said else "is no longer named"
        raise DataError(
            f"the labels of {len(changed)} images have changed since the run began: '{first}' was labeled "
            f"'{began[first]}' and {now} in {root}. Start anew."
        )


def given_weights(weights: str | Path | None, progress: Progress = Silent()) -> Weights | None:
    """Read the weights file the user named, and say what was taken for granted; None where none was named, or `none`
    was asked for."""
    if weights is None or weights == NO_WEIGHTS:
        return None
    found = read(user_path(weights))
    found.tell(progress)
    return found


def published_weights(spec: ModelSpec, asked: str | Path | None, progress: Progress) -> tuple[Weights | None, str]:
    """Fetch published weights for a net if there are any and they can be reached; says in one line if not."""
    source = None if asked == NO_WEIGHTS else find(spec.name, spec.width)
    if source is None:
        reason = "as asked" if asked == NO_WEIGHTS else f"no published weights are known for {spec.name} {spec.width:g}"
        progress.say(f"training from scratch: {reason}")
        return None, SCRATCH
    try:
        return read(fetch(source, progress=progress)), source.file
    except (WeightsError, MissingExtra) as error:
        progress.say(f"training from scratch: {error}")
        return None, SCRATCH


def dialed(spec: ModelSpec, options: NetConfig) -> ModelSpec:
    """Return a spec at the width and depth that were asked for, its own where none was."""
    width = spec.width if options.width is None else options.width
    return replace(spec, width=width, depth=spec.depth if options.depth is None else options.depth)


def fits(spec: ModelSpec, weights: Weights) -> None:
    """Raise UsageError unless the weights are of this net, or of a wider or deeper one of its family, from which it is
    cut."""
    if not reaches(weights.spec, spec) or spec.width > weights.spec.width:
        raise UsageError(
            f"the weights are of {weights.spec.dials}, not of {spec.dials} or a wider one; leave --model, --width and "
            "--depth away, or give the weights of that net"
        )


def image_spec(resolution: int, crop_mode: CropMode, weights: Weights | None) -> ImageSpec:
    """Say how images are prepared: the user's crop rule, and the normalization that the weights were trained with."""
    if weights is None:
        return ImageSpec(resolution, crop_mode, 1.0)
    return ImageSpec(resolution, crop_mode, 1.0, mean=weights.image.mean, std=weights.image.std)
