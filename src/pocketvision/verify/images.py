"""Which images a file is judged on: those given, but for what its run trained or chose on.

An image is what its content and its label are; its name says nothing.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pocketvision.data.digits import resolve
from pocketvision.data.kinds import must_be_learnable
from pocketvision.data.layout import Listing, scan
from pocketvision.data.parallel import in_order
from pocketvision.data.upright_boxes import said as said_of
from pocketvision.errors import DataError, ImageError
from pocketvision.images.decode import content_of
from pocketvision.progress import Progress, track
from pocketvision.tasks import load as load_task
from pocketvision.tasks import spec_of
from pocketvision.values import Box, Dataset, Example, Judged, Manifest, Split, Target, TaskSpec
from pocketvision.verify.past import Past, past_of

Origin = Split | Literal["new", "relabeled"]

UNSEEN: tuple[Origin, ...] = ("test", "new", "relabeled")
"""What is judged where no split is asked for: all but what the run trained or chose on."""


@dataclass(frozen=True)
class GivenImages:
    """Examples to judge a file by, their labels numbered as its outputs are, and where they come from."""

    root: Path
    name: str
    """Of the folder or table given."""
    given: int
    """Files, before one of each content was kept."""
    examples: tuple[Example, ...]
    split: Split | None
    """As asked for."""
    origins: Mapping[str, Origin]
    """By file, of every image that counts once."""
    past: Past | None
    label_fault: str | None
    """A sentence where the run's labels stand in another order than the file's."""

    @property
    def known(self) -> bool:
        """Whether it is certain which images the run had."""
        return self.past is not None and self.past.certain

    def of_run(self, examples: Sequence[Example]) -> list[int]:
        """Return the places of those that the run had, with the same label."""
        return [place for place, one in enumerate(examples) if self.origins[one.file] not in ("new", "relabeled")]

    def told(self, examples: Sequence[Example]) -> Judged:
        """Say what was judged, given those that could be read."""
        given, counts = Counter(self.origins.values()), Counter(self.origins[one.file] for one in examples)
        return Judged(
            data=self.name,
            given=self.given,
            judged=len(examples),
            split=self.split,
            known=self.known,
            of_run=len(self.of_run(examples)),
            new=counts["new"],
            relabeled=counts["relabeled"],
            trained_on=given["train"],
            chosen_on=given["val"],
            repeated=self.given - len(self.origins),
            unreadable=len(self.examples) - len(examples),
        )


def find_images(
    file: Path, data: str | Path | Dataset, manifest: Manifest, *, split: Split | None, progress: Progress
) -> GivenImages:
    """Choose among the images given; raises DataError where the net has not their labels, or none is left.

    Without `split` all are judged but those that the run trained or chose on; with it, those that the run had in it.
    Where it cannot be told which images the run had, all count as new, and a split is drawn again by the run's rule.
    """
    spec = spec_of(manifest)
    given = _given(data, spec, progress)
    _must_be_known(given, manifest.labels)
    past = past_of(file, given.source, manifest, progress)
    if split and past is None:
        raise DataError(
            f"which images {file} had in the split '{split}' is not known: keep its run's splits.csv one folder "
            "above it, or leave --split away to judge it on all images given"
        )
    kept = _once(given.images, past.contents() if past else {})
    seen = past.by_content() if past and (past.certain or split) else {}
    contradict = load_task(spec.name).contradict
    origins = {image.file: _origin(image, seen, contradict) for image in kept}
    wanted = UNSEEN if split is None else (split,)
    examples = tuple(
        Example(image.file, load_task(spec.name).read(image.label, spec.labels), split or "test", image.sha256)
        for image in kept
        if origins[image.file] in wanted
    )
    if not examples:
        raise DataError(_nothing(given, split, Counter(origins.values())))
    fault = _other_order(past.dataset.labels, manifest.labels) if past and past.certain else None
    return GivenImages(given.root, given.name, len(given.images), examples, split, origins, past, fault)


# ---------------------------------------------------------------- what is given


@dataclass(frozen=True)
class _Image:
    file: str
    label: str
    """What is said of it, as the file's task writes it."""
    sha256: str
    """Of the bytes as they lie there now; empty where they cannot be read."""


@dataclass(frozen=True)
class _Given:
    source: Listing | Dataset
    root: Path
    name: str
    labels: tuple[str, ...]
    images: tuple[_Image, ...]


def _given(data: str | Path | Dataset, spec: TaskSpec, progress: Progress) -> _Given:
    source: Listing | Dataset
    if isinstance(data, Dataset):
        source, root, place, labels = data, Path(data.root), Path(data.root), data.labels
        targets = [(one.file, one.target) for one in data.examples]
    else:
        place = resolve(data, progress)
        source = scan(place, judging=True)
        must_be_learnable(source)
        root, labels = source.root, source.labels or source.attributes
        targets = list(said_of(source, progress))
    if source.kind != load_task(spec.name).KIND:
        raise DataError(f"the file was made for {load_task(spec.name).KIND}, and {place} has {source.kind}")
    said = [(file, _written(target, labels, spec)) for file, target in targets]
    hashes = track(in_order(lambda one: _sha256(root / one[0]), said), progress, "Comparing with the run", len(said))
    images = tuple(_Image(file, label, sha256) for (file, label), sha256 in zip(said, hashes, strict=True))
    name = " ".join((place.absolute().name or str(place)).split())  # which stands in a line
    return _Given(source, root, name, labels, images)


def _written(target: Target, labels: Sequence[str], spec: TaskSpec) -> str:
    """Return what is said of an image under the file's order of labels; attributes that nobody names are unknown."""
    if isinstance(target, tuple) and load_task(spec.name).KIND == "boxes":
        places = [spec.labels.index(label) if label in spec.labels else -1 for label in labels]
        target = tuple(replace(box, label=places[box.label]) for box in target if isinstance(box, Box))
        target, labels = tuple(box for box in target if box.label >= 0), spec.labels
    elif isinstance(target, tuple):
        cells = dict(zip(labels, target, strict=True))
        target = tuple(cell if isinstance(cell := cells.get(label), int) else None for label in spec.labels)
        labels = spec.labels
    return load_task(spec.name).write(target, labels)


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(content_of(path)).hexdigest()
    except ImageError:
        return ""  # named later, with what else cannot be read


def _once(images: Sequence[_Image], contents: Mapping[str, str]) -> list[_Image]:
    """Keep one file of each content, that of the run's name if there is one; none where the labels differ."""
    groups: dict[str, list[_Image]] = defaultdict(list)
    for image in images:
        groups[image.sha256 or image.file].append(image)
    kept = set(_kept(groups, contents))
    return [image for image in images if image in kept]


def _kept(groups: Mapping[str, Sequence[_Image]], contents: Mapping[str, str]) -> Iterator[_Image]:
    for group in groups.values():
        if len({image.label for image in group}) == 1:
            yield min(group, key=lambda image: contents.get(image.file) != image.sha256)


def _origin(image: _Image, seen: Mapping[str, tuple[str, Split]], contradict: Callable[[str, str], bool]) -> Origin:
    if image.sha256 not in seen:
        return "new"
    label, split = seen[image.sha256]
    return "relabeled" if contradict(label, image.label) else split


# ---------------------------------------------------------------- words


def _nothing(given: _Given, split: Split | None, counts: Mapping[Origin, int]) -> str:
    if split is not None:
        return (
            f"{given.name} has no image in the split '{split}' of the run; choose another one with --split, or leave "
            "it away"
        )
    if counts["train"] or counts["val"]:
        return (
            f"the net was trained or chosen on every image in {given.name}: give images that it has not seen, or "
            "--split train or --split val to judge it on these"
        )
    return f"every image in {given.name} is given under two labels; keep one of each"


def _must_be_known(given: _Given, file: Sequence[str]) -> None:
    """Raise DataError for labels that the net has not; the images given need not show all that it has."""
    data = given.labels
    if set(data) <= set(file):
        return
    lack = given.source.lack if isinstance(given.source, Listing) else ""
    missing, unknown = sorted(set(file) - set(data)), sorted(set(data) - set(file))
    raise DataError(
        "the data's labels are not the file's: "
        + "; ".join(
            f"only in the {where}: {', '.join(labels)}"
            for where, labels in (("file", missing), ("data", unknown))
            if labels
        )
        + f". Give the data the file was trained for, with the same label names.{lack and f' Besides, {lack}'}"
    )


def _other_order(run: Sequence[str], file: Sequence[str]) -> str | None:
    if tuple(run) == tuple(file):
        return None
    if len(run) != len(file):
        return f"the file has {len(file)} labels and its run {len(run)}."
    first = next(number for number, (ours, theirs) in enumerate(zip(run, file, strict=True)) if ours != theirs)
    return (
        f"the labels stand in another order: output {first} is '{file[first]}' in the file "
        f"and '{run[first]}' in the data."
    )
