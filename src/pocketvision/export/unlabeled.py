"""Images given beside a file: class folders as everywhere, or one folder of images without labels."""

from collections.abc import Mapping
from pathlib import Path

from pocketvision.data.check import load_dataset
from pocketvision.data.decoded import DecodedCache
from pocketvision.data.digits import resolve
from pocketvision.data.inspect import inspect
from pocketvision.data.layout import Found, Listing, images_in, root_of, scan
from pocketvision.data.splits import SplitRule, split_of
from pocketvision.errors import DataError
from pocketvision.progress import Progress
from pocketvision.values import Dataset, Example, Kind


def load_images(
    data: str | Path, splits: Mapping[str, float | int], progress: Progress, *, kind: Kind = "classes"
) -> Dataset:
    """Return the images with their splits, by the rule of the file's manifest or the usual one.

    Labels of another kind than the net's are left aside. Images that lie in one folder, without classes, become
    examples without labels, and so do those of a single class or of test folders alone; those that cannot be decoded
    are told and left out. Raises DataError where there is no image.
    """
    root, usual = resolve(data, progress), SplitRule()
    rule = SplitRule(
        int(splits.get("seed", usual.seed)), float(splits.get("val", usual.val)), float(splits.get("test", usual.test))
    )
    files = _unlabeled(root, progress, kind)
    if not files:
        return load_dataset(root, val=rule.val, test=rule.test, seed=rule.seed, progress=progress)[0]
    base = root_of(root)
    listing = Listing(base, (), tuple(Found(file, "", None) for file in files))
    kept = {}
    for image in inspect(listing, DecodedCache(0), progress):
        if image.usable:
            kept[image.sha256] = image.file
        else:
            progress.say(f"left out: {image.file}: {image.problems[0].detail}")
    if not kept:
        raise DataError(f"none of the {len(files)} images in '{root}' can be used; give others")
    where = {sha256: split_of(sha256, seed=rule.seed, val=rule.val, test=rule.test) for sha256 in kept}
    return Dataset(str(base), (), tuple(Example(kept[each], None, where[each], each) for each in kept))


def _unlabeled(root: Path, progress: Progress, kind: Kind) -> list[str]:
    """Return the images whose labels, if any, are of no use; none where a table labels the loose ones, or as many at
    least lie in class folders."""
    loose = [path.name for path in images_in(root)] if root.is_dir() else []
    try:
        listing = scan(root, judging=True)
    except DataError:
        return loose
    if listing.kind != "classes":
        return [] if listing.kind == kind and not listing.lack else loose
    by_table = any("/" not in found.file for found in listing.found)
    if not by_table and len(listing.found) < len(loose):
        return loose
    if not listing.lack:
        return []
    progress.say(f"labels are not used: {listing.lack}")
    return [found.file for found in listing.found]
