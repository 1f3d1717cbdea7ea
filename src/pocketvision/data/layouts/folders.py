"""Class folders, or train, val and test folders of class folders.

Class names and files are in natural order (1, 2, 10), as people count, whatever the operating system lists first.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

from pocketvision.data.layouts.labels import ordered, unknown
from pocketvision.data.layouts.listing import Found, Listing, in_order, natural_key, normal, split_named
from pocketvision.data.layouts.tree import files, folders, is_image, walk
from pocketvision.errors import DataError
from pocketvision.files import is_unicode, printable
from pocketvision.values import Problem, Split
from pocketvision.words import some

_UNLABELED = re.compile(r"un-?label+ed.*|no[ _-]?labels?|annotations?", re.IGNORECASE)
"""Folders beside splits that nobody means as a class."""

_SPLITS_INSIDE = "The splits are those of the folders inside the class folders."

HOW_TO = "Put each image into a folder named after its class, such as {root}/cat/1.jpg and {root}/dog/1.jpg."


@dataclass
class _Tree:
    """The content of one folder, everything below it included."""

    images: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_folders(root: Path) -> Listing:
    """List the class folders of `root`, or of its train, val and test folders.

    Files are told apart by name, and by their first bytes where the name is no image's; none is decoded. Folders
    inside a class belong to it. A `DataError` says what to add where there is nothing to learn from.
    """
    trees = {name: _tree(root, name) for name in folders(root)}
    loose = [name for name in files(root) if is_image(root / name)]
    if not trees and loose:
        raise DataError(f"{len(loose)} images lie directly in '{root}', in no class folder. {how_to(root)}")
    filled = [name for name, tree in trees.items() if tree.images]
    if not filled:
        raise DataError(f"there is no image in the class folders of '{root}'. {how_to(root)}")
    splits = _split_folders(root, trees, filled)
    listing = _split_layout(root, trees, splits) if splits else _class_layout(root, trees)
    return replace(listing, warnings=listing.warnings + _loose_warnings(loose, "the folder itself"))


def how_to(root: Path) -> str:
    """Say where images belong."""
    return HOW_TO.format(root=root)


# ---------------------------------------------------------------- which of the two layouts


def _split_folders(root: Path, trees: dict[str, _Tree], filled: list[str]) -> list[str]:
    """Return the folders that hold one split each, none where every folder is a class.

    A folder may be named after a split and be a class all the same, such as a train among vehicles: its images then
    lie directly in it, and it is the only such name. A `DataError` says what to do where both can be meant.
    """
    named = [name for name in filled if split_named(name)]
    others = [name for name in filled if name not in named and not _UNLABELED.fullmatch(name)]
    if not named or not others:
        return named
    if len({split_named(name) for name in named}) > 1:
        if any(_inner(trees[name]) for name in named):
            return named
        raise DataError(
            f"{_names(named)} of '{root}' have names of splits, but hold no class folders, and {_names(others)} "
            f"lie beside them. {how_to(root)} If they are classes, give a table of filename,label instead."
        )
    own = _inner(trees[named[0]])
    shared = any(len(own & _inner(trees[name])) > 1 for name in others)
    if len(own) > 1 and (split_named(named[0]) == "train" or shared):
        raise DataError(
            f"'{named[0]}' of '{root}' has the name of a split and holds {_names(sorted(own, key=natural_key))}. "
            f"Beside it: {_names(others)}. If the first are the classes, move what is beside it elsewhere, or give "
            f"{root / named[0]}; if '{named[0]}' is a class, put its images directly into it."
        )
    return []


def _inner(tree: _Tree) -> frozenset[str]:
    """Return the folders inside a folder that hold images, none where more lie directly in it."""
    below = [file.split("/")[1] for file in tree.images if file.count("/") > 1]
    return frozenset(below) if 2 * len(below) >= len(tree.images) else frozenset()


# ---------------------------------------------------------------- the two layouts


def _class_layout(root: Path, every: dict[str, _Tree]) -> Listing:
    trees = {name: tree for name, tree in every.items() if tree.images or not _UNLABELED.fullmatch(name)}
    empty = [name for name, tree in trees.items() if not tree.images]
    lack = f"no image in {_names(empty)} of '{root}': add some, or remove the folder." if empty else ""
    trees = {name: tree for name, tree in trees.items() if tree.images}
    _no_splits_outside(root, trees)
    given = _splits_inside(root, trees)
    found = [
        Found(file, normal(name), split_named(file.split("/")[1]) if given else None)
        for name, tree in trees.items()
        for file in tree.images
    ]
    labels = {item.label for item in found}
    if len(labels) == 1:
        lack = lack or _one_class(root, trees)
    problems = [replace(problem, label=normal(name)) for name, tree in trees.items() for problem in tree.problems]
    warnings = ((_SPLITS_INSIDE,) if given else _nested_warnings(trees)) + _other_warnings(every, list(trees))
    warnings += tuple(
        f"'{name}' is taken for a class as any other folder." for name in trees if _UNLABELED.fullmatch(name)
    )
    return _listing(root, found, problems=problems, warnings=warnings, lack=lack)


def _no_splits_outside(root: Path, trees: dict[str, _Tree]) -> None:
    """Raise a `DataError` where folders such as `seg_train` and `seg_test`, with folders in them, would be classes."""
    splits = {name: split for name in trees for part in re.split(r"[\W_]+", name) if (split := split_named(part))}
    if len(set(splits.values())) > 1 and all(_inner(trees[name]) for name in splits):
        raise DataError(
            f"{_names(list(splits))} of '{root}' look like splits: name them train, val and test, with the class "
            "folders directly in them. If they are classes, put their images directly into them."
        )


def _splits_inside(root: Path, trees: dict[str, _Tree]) -> bool:
    """Tell whether the classes hold split folders; a `DataError` where some of the images lie in none."""
    splits: dict[str, set[Split | None]] = {
        name: {split_named(file.split("/")[1]) if file.count("/") > 1 else None for file in tree.images}
        for name, tree in trees.items()
    }
    holding = [name for name, found in splits.items() if "train" in found and found & {"val", "test"}]
    if holding and any(None in found for found in splits.values()):
        raise DataError(
            f"'{holding[0]}' of '{root}' holds split folders such as train, but other images lie in none. Give "
            f"{root / holding[0]} if it holds the classes, else put every image into a split folder, or none."
        )
    return bool(holding)


def _split_layout(root: Path, trees: dict[str, _Tree], filled: list[str]) -> Listing:
    by_split: dict[Split, str] = {}
    for name in filled:
        split = split_named(name)
        assert split is not None
        if split in by_split:
            raise DataError(f"'{root}' has two folders for one split, {by_split[split]} and {name}; put them together.")
        by_split[split] = name
    found, loose = [], []
    for split, name in by_split.items():
        for file in trees[name].images:
            if label := _class_of(file):
                found.append(Found(file, label, split))
            else:
                loose.append(file)
    lack = _lack_of_splits(root, by_split, found)
    if not found:
        raise DataError(lack)
    warnings = _loose_warnings(loose, "a split folder") + _other_warnings(trees, filled)
    problems = [replace(problem, label=_class_of(problem.file)) for name in filled for problem in trees[name].problems]
    return _listing(root, found, problems=problems, warnings=warnings, lack=lack)


def _class_of(file: str) -> str:
    """Return the class of a file in a split folder; empty for one directly in it."""
    _, first, *rest = file.split("/")
    return normal(first) if rest else ""


def _lack_of_splits(root: Path, splits: dict[Split, str], found: list[Found]) -> str:
    """Say why no net can be trained on split folders; empty where one can."""
    if not found:
        where = root / next(iter(splits.values()))
        return f"'{where}' has images but no class folders. {how_to(where)}"
    if "train" not in splits:
        return f"'{root}' has {_names(list(splits.values()))} but no train; add images as {root}/train/<class>/1.jpg."
    train = root / splits["train"]
    by_split: dict[Split | None, set[str]] = defaultdict(set)
    for item in found:
        by_split[item.split].add(item.label)
    labels = by_split.pop("train", set())
    if not labels:
        return f"'{train}' has images but no class folders. {how_to(train)}"
    for split, others in by_split.items():
        if text := unknown(f"'{train}'", labels, f"'{root / splits[split or 'train']}'", others):
            return text
    empty = [name for name in folders(train) if normal(name) not in labels]
    if empty:
        return f"no image in {_names(empty)} of '{train}': add some, or remove the folder."
    if len(labels) == 1:
        return f"'{train}' has only one class folder, {_names(list(labels))}; a second class is needed."
    return ""


def _listing(
    root: Path, found: list[Found], *, problems: list[Problem], warnings: tuple[str, ...], lack: str
) -> Listing:
    names, wrong = ordered(root, {item.label for item in found}, f"the folders of '{root}'")
    return Listing(root, names, in_order(found, names), tuple(problems), warnings, lack=lack or wrong)


# ---------------------------------------------------------------- what lies in a folder


def _tree(root: Path, name: str) -> _Tree:
    if not is_unicode(name):
        raise DataError(f"the name of the folder '{printable(name)}' in '{root}' is not valid Unicode; rename it.")
    tree = _Tree()
    start = len((root / name).as_posix()) - len(name)
    for path in walk(root / name):
        file = path.as_posix()[start:]
        if not is_unicode(file):
            detail = "its name is not valid Unicode; rename it"
            tree.problems.append(Problem(printable(file), "unreadable", detail, left_out=True))
        elif is_image(path):
            tree.images.append(file)
        else:
            detail = "no image by its name or its first bytes"
            tree.problems.append(Problem(file, "not an image", detail, left_out=True))
    return tree


# ---------------------------------------------------------------- words


def _one_class(root: Path, trees: dict[str, _Tree]) -> str:
    name, tree = next(iter(trees.items()))
    inner = {file.split("/")[1] for file in tree.images if file.count("/") > 1}
    if len(inner) > 1:
        return f"'{root}' has only one class folder, '{name}', which holds folders itself: did you mean {root / name}?"
    return f"'{root}' has only one class folder, '{name}'; a second class is needed. {how_to(root)}"


def _nested_warnings(trees: dict[str, _Tree]) -> tuple[str, ...]:
    inner = [frozenset(file.split("/")[1] for file in tree.images if file.count("/") > 1) for tree in trees.values()]
    if len(set(inner)) > 1 or len(inner[0]) < 2:
        return ()
    shared = _names(sorted(inner[0], key=natural_key))
    return (
        f"Every class folder holds {shared}. If those are the classes, name the outer folders train, val and test.",
    )


def _loose_warnings(files: list[str], where: str) -> tuple[str, ...]:
    if not files:
        return ()
    return (f"{len(files)} images lie directly in {where}, in no class folder, and were not used: {some(files)}.",)


def _other_warnings(trees: dict[str, _Tree], filled: list[str]) -> tuple[str, ...]:
    others = [name for name in trees if name not in filled]
    bare = [name for name in others if not trees[name].images]
    full = [name for name in others if trees[name].images]
    warnings = (f"No image in {_names(bare)}: left alone.",) if bare else ()
    return (*warnings, f"Beside the split folders, and left alone: {_names(full)}.") if full else warnings


def _names(folders: list[str]) -> str:
    return f"the folder{'s' if len(folders) > 1 else ''} {some([repr(name) for name in folders])}"
