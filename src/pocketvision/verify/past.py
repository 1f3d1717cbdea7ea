"""What is known of a file's run: which contents it had, under which label, in which split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketvision.data.check import digest, split_again
from pocketvision.data.layout import Listing
from pocketvision.data.splits import SplitRule, dataset_of, read_splits
from pocketvision.progress import Progress
from pocketvision.runs import run_of
from pocketvision.tasks import of_kind
from pocketvision.values import Dataset, Manifest, Split
from pocketvision.verify.tolerances import FIGURES

RULE = {"seed", "val", "test"}


@dataclass(frozen=True)
class Past:
    """The images of a run."""

    dataset: Dataset
    certain: bool
    """Whether they are the run's; else they are those given, split by the rule that the run had."""

    def by_content(self) -> Mapping[str, tuple[str, Split]]:
        """Return label and split of each content."""
        write = of_kind(self.dataset.kind).write
        return {one.sha256: (write(one.target, self.dataset.labels), one.split) for one in self.dataset.examples}

    def contents(self) -> Mapping[str, str]:
        """Return the content hash of each file of the run, by the run's own name; empty where that is not certain."""
        return {one.file: one.sha256 for one in self.dataset.examples} if self.certain else {}


def past_of(file: Path, given: Listing | Dataset, manifest: Manifest, progress: Progress) -> Past | None:
    """Find the run's images; None where nothing is known of them.

    The list above the file is believed where its digest is the manifest's, and so is what is given, where the rule in
    the manifest leaves as many images to test and to validate as the run had.
    """
    if not manifest.data_digest:
        return Past(given, certain=False) if isinstance(given, Dataset) else None
    listed = _listed(file, manifest)
    if listed is not None and digest(listed) == manifest.data_digest:
        return Past(listed, certain=True)
    if listed is not None:
        progress.say(f"{run_of(file).splits.path} lists other images than this file's run had; it is left aside")
    again = _again(given, manifest, progress)
    ours = [found for found in again if digest(found) == manifest.data_digest and _as_many(found, manifest)]
    if len(ours) == 1:
        return Past(ours[0], certain=True)
    return Past(again[0], certain=False) if again else None


def _again(given: Listing | Dataset, manifest: Manifest, progress: Progress) -> Sequence[Dataset]:
    if isinstance(given, Dataset):
        return (given,)
    rule = manifest.splits
    if not rule.keys() >= RULE:
        return ()
    return split_again(
        given, rule=SplitRule(int(rule["seed"]), float(rule["val"]), float(rule["test"])), progress=progress
    )


def _as_many(found: Dataset, manifest: Manifest) -> bool:
    """Tell whether the splits are as large as those that the run's figures were measured on."""
    splits: tuple[Split, ...] = ("val", "test")
    stated = {split: manifest.figures.get(FIGURES[split]) for split in splits}
    return all(figure is None or figure.count == len(found.of(split)) for split, figure in stated.items())


def _listed(file: Path, manifest: Manifest) -> Dataset | None:
    run = run_of(file)
    if not run.splits.exists():
        return None
    labels = run.labels.read() if run.labels.exists() else manifest.labels
    return dataset_of(run.path, labels, read_splits(run.splits.path))
