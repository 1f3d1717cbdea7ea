"""Images given beside a file: class folders as everywhere, or one folder of images without labels."""

from collections.abc import Mapping
from pathlib import Path

from pocketvision.data.check import load_dataset
from pocketvision.data.decoded import DecodedCache
from pocketvision.data.digits import resolve
from pocketvision.data.inspect import inspect
from pocketvision.data.layout import Found, Listing, images_in, scan
from pocketvision.data.splits import Rule, split_of
from pocketvision.errors import DataError
from pocketvision.progress import Progress
from pocketvision.values import NO_LABEL, Dataset, Example


def load_images(data: str | Path, splits: Mapping[str, float | int], progress: Progress) -> Dataset:
    """Return the images with their splits, by the rule of the file's manifest or the usual one.

    Images that lie in one folder, without classes, become examples without labels; those that cannot be decoded are
    told and left out. Raises DataError where there is no image.
    """
    root, usual = resolve(data, progress), Rule()
    rule = Rule(
        int(splits.get("seed", usual.seed)), float(splits.get("val", usual.val)), float(splits.get("test", usual.test))
    )
    loose = images_in(root) if root.is_dir() else []
    if not loose or _labeled(root, len(loose)):
        return load_dataset(root, val=rule.val, test=rule.test, seed=rule.seed, progress=progress)[0]
    listing = Listing(root, (), tuple(Found(path.name, "", None) for path in loose))
    kept = {}
    for image in inspect(listing, DecodedCache(0), progress):
        if image.usable:
            kept[image.sha256] = image.file
        else:
            progress.say(f"left out: {image.file}: {image.problems[0].detail}")
    if not kept:
        raise DataError(f"none of the {len(loose)} images in '{root}' can be used; give others")
    where = {sha256: split_of(sha256, seed=rule.seed, val=rule.val, test=rule.test) for sha256 in kept}
    return Dataset(str(root), (), tuple(Example(kept[each], NO_LABEL, where[each], each) for each in kept))


def _labeled(root: Path, loose: int) -> bool:
    """Tell whether a table labels the loose images, or as many at least lie in class folders."""
    try:
        listing = scan(root)
    except DataError:
        return False
    by_table = any("/" not in found.file for found in listing.found)
    return listing.kind == "classes" and (by_table or len(listing.found) >= loose)
