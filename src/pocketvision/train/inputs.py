"""How a training begins, or begins again: the data as split the first time, and the weights to start from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.data.check import load_dataset
from pocketvision.data.decoded import DecodedCache
from pocketvision.data.digits import resolve
from pocketvision.data.layout import scan
from pocketvision.data.splits import read_dataset, write_splits
from pocketvision.data.upright_boxes import said as said_of
from pocketvision.errors import DataError, MissingExtra, UsageError, WeightsError
from pocketvision.progress import Progress, Silent
from pocketvision.runs import RunFolder
from pocketvision.settings.groups import NetConfig
from pocketvision.tasks import of_kind, spec_for
from pocketvision.values import CropMode, Dataset, Health, ImageSpec, ModelSpec, TaskSpec
from pocketvision.weights.available import available, load, start_for
from pocketvision.weights.depth import reaches
from pocketvision.weights.load import Weights

SCRATCH = "from scratch"


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
    names = listing.labels or listing.attributes
    said = {file: write(target, names) for file, target in said_of(listing, Silent())}
    began = {one.file: write(one.target, dataset.labels) for one in dataset.examples}
    changed = [file for file, label in began.items() if said.get(file) != label]
    if changed:
        first = changed[0]
        now = f"is labeled '{said[first]}' now" if first in said else "is no longer named"
        raise DataError(
            f"the labels of {len(changed)} images have changed since the run began: '{first}' was labeled "
            f"'{began[first]}' and {now} in {root}. Start anew."
        )


def given_weights(
    weights: Sequence[str | Path] | str | Path | None, progress: Progress = Silent(), *, offline: bool = False
) -> Weights | None:
    """Read the one weights file or net that the user named, and say what was taken for granted; None where none was
    named, or `none` was asked for. Raises UsageError for several."""
    named = [] if weights is None else available(weights, offline=offline, progress=progress)
    if len(named) > 1:
        raise UsageError(f"one net is trained from one weights file, not from {len(named)}; give --weights once")
    return load(named[0], progress) if named else None


def published_weights(
    spec: ModelSpec, asked: object, progress: Progress, *, offline: bool = False
) -> tuple[Weights | None, str]:
    """Return weights for a net that nobody named any for: its own or a wider one's on this machine, else published ones
    of its own width, fetched if they can be reached; says in one line if not."""
    if asked is not None:
        progress.say("training from scratch: as asked")
        return None, SCRATCH
    found = available(None, offline=offline, progress=progress)
    start = start_for(spec, [one for one in found if one.path is not None or one.spec.width == spec.width])
    if start.weights is None:
        progress.say(f"training from scratch: no weights are here for {spec.dials}, and none can be fetched")
        return None, SCRATCH
    try:
        return load(start.weights, progress), start.weights.name
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
