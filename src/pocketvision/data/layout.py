"""What DATA is: a folder of one of the layouts, a manifest, or an annotation file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pocketvision.data.layouts.box_table import box_tables, is_box_table, read_boxes
from pocketvision.data.layouts.celeba import NAME as CELEBA
from pocketvision.data.layouts.celeba import read_celeba
from pocketvision.data.layouts.coco import coco_files, coco_root, read_coco, read_coco_folder
from pocketvision.data.layouts.create_ml import create_ml_files, is_create_ml, read_create_ml, read_create_ml_files
from pocketvision.data.layouts.folders import how_to, read_folders
from pocketvision.data.layouts.labels import alike_warnings, on_one_line, without_unused
from pocketvision.data.layouts.listing import Found, Listing, natural_key, split_named
from pocketvision.data.layouts.manifest import read_manifest, read_manifests, says_nothing
from pocketvision.data.layouts.table import TABLE_SUFFIXES
from pocketvision.data.layouts.tree import files, folders, is_image, walk
from pocketvision.data.layouts.voc import is_voc, read_voc
from pocketvision.data.layouts.voc_beside import is_voc_beside, read_voc_beside
from pocketvision.data.layouts.yolo import SUFFIXES as YAML_SUFFIXES
from pocketvision.data.layouts.yolo import is_yolo, read_yolo, read_yolo_folder, yolo_file
from pocketvision.errors import DataError
from pocketvision.files import printable
from pocketvision.values import Split

__all__ = ["Found", "Listing", "images_below", "images_in", "natural_key", "printable", "root_of", "scan"]

METADATA = ("metadata.csv", "metadata.jsonl")
"""Manifests that are found by themselves in a folder, and in its split folders."""


def scan(data: Path, *, judging: bool = False) -> Listing:
    """List the images of a folder or a manifest, with what is known of each; none is decoded.

    Raises a `DataError` where there is nothing to learn from, or where two sources contradict each other. With
    `judging`, where a net is there already, a single class or a single split is enough: the listing's `lack` says so.
    """
    if not data.exists():
        raise DataError(f"the folder '{data}' does not exist. {how_to(data)}")
    listing = on_one_line(without_unused(_folder(data) if data.is_dir() else _reader(data)(data)))
    if listing.lack and not judging:
        raise DataError(listing.lack)
    return replace(listing, warnings=(*listing.warnings, *alike_warnings(listing.labels or listing.attributes)))


def root_of(data: Path) -> Path:
    """Return the folder that file names are relative to: the folder itself, or that of a manifest."""
    if data.is_dir() or not data.exists():
        return data
    return coco_root(data) if data.suffix.lower() == ".json" and not is_create_ml(data) else data.parent


def images_below(folder: Path) -> list[Path]:
    """Return what claims to be an image below a folder, at any depth, in natural order; labels do not matter."""
    found = (path for path in walk(folder) if is_image(path))
    return sorted(found, key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def images_in(folder: Path) -> list[Path]:
    """Return what claims to be an image and lies directly in a folder, in natural order."""
    return [folder / name for name in files(folder) if is_image(folder / name)]


def _reader(path: Path) -> Callable[[Path], Listing]:
    suffix = path.suffix.lower()
    if suffix in TABLE_SUFFIXES:
        return _read_boxes if is_box_table(path) else read_manifest
    if suffix == ".json":
        return read_create_ml if is_create_ml(path) else read_coco
    if suffix in YAML_SUFFIXES:
        return read_yolo
    if path.name == CELEBA:
        return read_celeba
    raise DataError(f"'{path}' is a file, not a folder; unpack it if it is an archive. {how_to(path.parent)}")


def _read_boxes(path: Path) -> Listing:
    return read_boxes(path.parent, {None: path})


def _boxes(root: Path) -> Listing | None:
    """List a folder of boxes; None where it is of none of their layouts."""
    if is_voc(root):
        return read_voc(root)
    if is_voc_beside(root):
        return read_voc_beside(root)
    if coco_files(root):
        return read_coco_folder(root)
    if create_ml := create_ml_files(root):
        return read_create_ml_files(root, create_ml)
    if yolo := yolo_file(root):
        return read_yolo(yolo)
    if tables := box_tables(root):
        return read_boxes(root, tables)
    return read_yolo_folder(root) if is_yolo(root) else None


def _folder(root: Path) -> Listing:
    if listing := _boxes(root):
        return listing
    warnings: list[str] = []
    for manifests in (_metadata({None: root}), _metadata(_split_folders(root))):
        useful = {split: path for split, path in manifests.items() if not says_nothing(path)}
        if useful:
            return read_manifests(root, useful)
        warnings += [f"'{path.name}' has no column for a label and is not used." for path in manifests.values()]
    if (root / CELEBA).is_file():
        return read_celeba(root / CELEBA)
    listing = _class_folders(root)
    return replace(listing, warnings=(*listing.warnings, *warnings))


def _class_folders(root: Path) -> Listing:
    tables = [name for name in files(root) if Path(name).suffix.lower() in TABLE_SUFFIXES]
    hint = f" If '{tables[0]}' is the manifest, give it instead: {root / tables[0]}" if tables else ""
    try:
        listing = read_folders(root)
    except DataError as error:
        raise DataError(f"{error}{hint}") from None
    return replace(listing, lack=listing.lack and f"{listing.lack}{hint}")


def _split_folders(root: Path) -> dict[Split | None, Path]:
    return {split: root / name for name in folders(root) if (split := split_named(name))}


def _metadata(places: dict[Split | None, Path]) -> dict[Split | None, Path]:
    found: dict[Split | None, Path] = {}
    for split, folder in places.items():
        paths = [folder / name for name in METADATA if (folder / name).is_file()]
        if len(paths) > 1:
            raise DataError(f"'{folder}' has both {' and '.join(METADATA)}; keep one.")
        if paths:
            found[split] = paths[0]
    return found
