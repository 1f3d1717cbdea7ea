"""What lies in a folder of pictures: class folders, or train, val and test folders of class folders.

Class names and files are in natural order (1, 2, 10), as people count, whatever the operating system lists first.
"""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pocketvision.errors import DataError
from pocketvision.images.decode import looks_like_picture
from pocketvision.values import Problem, Split

SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Folder names, in any case, that mean a split."""

PICTURE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif")
)
"""Names that promise a picture. HEIC and AVIF cannot be decoded, but their owner is told so."""

LITTER = frozenset(
    ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin", "lost+found")
)
"""What operating systems leave behind; these and hidden files are passed over in silence."""

HOW_TO = "Put each picture into a folder named after its class, such as {root}/cat/1.jpg and {root}/dog/1.jpg."


@dataclass(frozen=True)
class Found:
    """One file that claims to be a picture."""

    file: str
    """Path below the root, with forward slashes."""
    label: str
    split: Split | None
    """None where the folder has no split folders."""


@dataclass(frozen=True)
class Listing:
    """What lies below a root; `found` by label, then by file, both in natural order."""

    root: Path
    labels: tuple[str, ...]
    found: tuple[Found, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Tree:
    """The content of one folder, everything below it included."""

    pictures: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Return what to sort by so that numbers inside names count as numbers and capitals do not matter."""
    parts = re.split(r"([0-9]+)", text.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], text


def scan(root: Path) -> Listing:
    """List the class folders of `root`, or of its train, val and test folders.

    Files are told apart by name, and by their first bytes where the name is no picture's; none is decoded. Folders
    inside a class belong to it. A `DataError` says what to add where there is nothing to learn from.
    """
    _must_be_folder(root)
    trees = {name: _tree(root, name) for name in _folders(root)}
    loose = [name for name in _files(root) if _is_picture(root / name)]
    if not trees and loose:
        raise DataError(f"{len(loose)} pictures lie directly in '{root}', in no class folder. {_how_to(root)}")
    filled = [name for name, tree in trees.items() if tree.pictures]
    if not filled:
        raise DataError(f"there is no picture in the class folders of '{root}'. {_how_to(root)}")
    split_layout = all(name.lower() in SPLIT_FOLDERS for name in filled)
    listing = _split_layout(root, trees, filled) if split_layout else _class_layout(root, trees)
    notes = listing.notes + _loose_note(loose, "the folder itself")
    return Listing(root, listing.labels, listing.found, listing.problems, notes)


# ---------------------------------------------------------------- the two layouts


def _class_layout(root: Path, trees: dict[str, _Tree]) -> Listing:
    empty = [name for name, tree in trees.items() if not tree.pictures]
    if empty:
        raise DataError(f"no picture in {_names(empty)} of '{root}': add some, or remove the folder.")
    found = [Found(file, _label(name), None) for name, tree in trees.items() for file in tree.pictures]
    labels = {item.label for item in found}
    if len(labels) == 1:
        raise DataError(_one_class(root, trees))
    problems = [problem for tree in trees.values() for problem in tree.problems]
    return _listing(root, labels, found, problems=problems, notes=_nested_note(trees))


def _split_layout(root: Path, trees: dict[str, _Tree], filled: list[str]) -> Listing:
    folders: dict[Split, str] = {}
    for name in filled:
        split = SPLIT_FOLDERS[name.lower()]
        if split in folders:
            raise DataError(f"'{root}' has two folders for one split, {folders[split]} and {name}; put them together.")
        folders[split] = name
    if "train" not in folders:
        raise DataError(f"'{root}' has {_names(filled)} but no train; add pictures as {root}/train/<class>/1.jpg.")
    found, loose = [], []
    for split, name in folders.items():
        for file in trees[name].pictures:
            _, first, *rest = file.split("/")
            if rest:
                found.append(Found(file, _label(first), split))
            else:
                loose.append(file)
    labels = _labels_of_train(root, folders, found)
    notes = _loose_note(loose, "a split folder") + _other_note(trees, filled)
    problems = [problem for name in filled for problem in trees[name].problems]
    return _listing(root, labels, found, problems=problems, notes=notes)


def _labels_of_train(root: Path, folders: dict[Split, str], found: list[Found]) -> set[str]:
    train = root / folders["train"]
    by_split: dict[Split | None, set[str]] = defaultdict(set)
    for item in found:
        by_split[item.split].add(item.label)
    labels = by_split.pop("train", set())
    if not labels:
        raise DataError(f"'{train}' has pictures but no class folders. {_how_to(train)}")
    for split, others in by_split.items():
        if extra := sorted(others - labels, key=natural_key):
            raise DataError(
                f"{_names(extra)} of '{root / folders[split or 'train']}' has no counterpart in '{train}': "
                "add pictures of the class there, or remove the folder."
            )
    empty = [name for name in _folders(train) if _label(name) not in labels]
    if empty:
        raise DataError(f"no picture in {_names(empty)} of '{train}': add some, or remove the folder.")
    if len(labels) == 1:
        raise DataError(f"'{train}' has only one class folder, {_names(list(labels))}; a second class is needed.")
    return labels


def _listing(
    root: Path, labels: set[str], found: list[Found], *, problems: list[Problem], notes: tuple[str, ...]
) -> Listing:
    order = {label: index for index, label in enumerate(sorted(labels, key=natural_key))}
    found = sorted(found, key=lambda item: (order[item.label], natural_key(item.file)))
    return Listing(root, tuple(order), tuple(found), tuple(problems), notes)


# ---------------------------------------------------------------- what lies in a folder


def _tree(root: Path, name: str) -> _Tree:
    if not _is_unicode(name):
        raise DataError(f"the name of the folder '{_printable(name)}' in '{root}' is not valid Unicode; rename it.")
    tree = _Tree()
    for path in _walk(root / name, frozenset()):
        file = path.relative_to(root).as_posix()
        if not _is_unicode(file):
            detail = "its name is not valid Unicode; rename it"
            tree.problems.append(Problem(_printable(file), "unreadable", detail, left_out=True))
        elif _is_picture(path):
            tree.pictures.append(file)
        else:
            detail = "no picture by its name or its first bytes"
            tree.problems.append(Problem(file, "not an image", detail, left_out=True))
    return tree


def _walk(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above:  # a link back to a folder it lies in
        return
    for name in _files(folder):
        yield folder / name
    for name in _folders(folder):
        yield from _walk(folder / name, above | {real})


def _folders(folder: Path) -> list[str]:
    return [entry.name for entry in _entries(folder) if entry.is_dir()]


def _files(folder: Path) -> list[str]:
    return [entry.name for entry in _entries(folder) if not entry.is_dir()]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            kept = [entry for entry in entries if not _is_litter(entry.name)]
    except OSError as error:
        raise DataError(f"the folder '{_printable(str(folder))}' cannot be read: {error.strerror}.") from None
    return sorted(kept, key=lambda entry: natural_key(entry.name))


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in LITTER


def _is_picture(path: Path) -> bool:
    if path.exists() and not path.is_file():  # opening a pipe or a device would wait for ever
        return False
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return True
    try:
        with path.open("rb") as stream:
            return looks_like_picture(stream.read(12))
    except OSError:
        return False


# ---------------------------------------------------------------- words


def _must_be_folder(root: Path) -> None:
    if not root.exists():
        raise DataError(f"the folder '{root}' does not exist. {_how_to(root)}")
    if not root.is_dir():
        raise DataError(f"'{root}' is a file, not a folder; unpack it if it is an archive. {_how_to(root.parent)}")


def _label(folder: str) -> str:
    # macOS writes accents as separate characters; the same name must be the same class in every split.
    return unicodedata.normalize("NFC", folder)


def _one_class(root: Path, trees: dict[str, _Tree]) -> str:
    name, tree = next(iter(trees.items()))
    inner = {file.split("/")[1] for file in tree.pictures if file.count("/") > 1}
    if len(inner) > 1:
        return f"'{root}' has only one class folder, '{name}', which holds folders itself: did you mean {root / name}?"
    return f"'{root}' has only one class folder, '{name}'; a second class is needed. {_how_to(root)}"


def _nested_note(trees: dict[str, _Tree]) -> tuple[str, ...]:
    inner = [frozenset(file.split("/")[1] for file in tree.pictures if file.count("/") > 1) for tree in trees.values()]
    if len(set(inner)) > 1 or len(inner[0]) < 2:
        return ()
    shared = _names(sorted(inner[0], key=natural_key))
    return (
        f"Every class folder holds {shared}. If those are the classes, name the outer folders train, val and test.",
    )


def _loose_note(files: list[str], where: str) -> tuple[str, ...]:
    if not files:
        return ()
    return (f"{len(files)} pictures lie directly in {where}, in no class folder, and were not used: {_few(files)}.",)


def _other_note(trees: dict[str, _Tree], filled: list[str]) -> tuple[str, ...]:
    others = [name for name in trees if name not in filled]
    return (f"No picture in {_names(others)}: left alone.",) if others else ()


def _names(folders: list[str]) -> str:
    return f"the folder{'s' if len(folders) > 1 else ''} {_few([repr(name) for name in folders])}"


def _few(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _how_to(root: Path) -> str:
    return HOW_TO.format(root=root)


def _is_unicode(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _printable(name: str) -> str:
    return name.encode("utf-8", "replace").decode()
