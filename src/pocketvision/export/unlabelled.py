"""Pictures given beside a file: class folders as everywhere, or one folder of pictures without labels."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pocketvision.data.check import load_dataset
from pocketvision.data.digits import resolve
from pocketvision.data.layout import PICTURE_SUFFIXES, natural_key
from pocketvision.data.splits import Rule, split_of
from pocketvision.progress import Progress, track
from pocketvision.values import NO_LABEL, Dataset, Example


def load_pictures(data: str | Path, splits: Mapping[str, float | int], progress: Progress) -> Dataset:
    """Return the pictures with their splits, by the rule of the file's manifest or the usual one.

    Pictures that lie in one folder, without classes, become examples without labels. Raises DataError where there is
    no picture.
    """
    root, usual = resolve(data), Rule()
    seed = int(splits.get("seed", usual.seed))
    val, test = float(splits.get("val", usual.val)), float(splits.get("test", usual.test))
    loose = _loose(root) if root.is_dir() else []
    if not loose:
        return load_dataset(root, val=val, test=test, seed=seed, progress=progress)[0]
    examples = []
    for path in track(loose, progress, "reading", len(loose)):
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        examples.append(Example(path.name, NO_LABEL, split_of(sha256, seed=seed, val=val, test=test), sha256))
    return Dataset(str(root), (), tuple(examples))


def _loose(root: Path) -> list[Path]:
    found = (path for path in root.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    shown = [path for path in found if not path.name.startswith(".")]
    return sorted(shown, key=lambda path: natural_key(path.name))
