"""Files that are whole or absent: every file the project writes goes through here.

A folder that the program made holds a record of what it wrote there. Only files in a record are ever deleted.
"""

import csv
import glob
import io
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from pocketvision.errors import DataError, RunExists
from pocketvision.values import from_json, to_json

R = TypeVar("R")
RECORD = ".pocketvision"
"""In a folder that the program made: the names of its own files below it, one JSON text a line."""
_ABOVE = ("..", "../..", "../../..", "../../../..")
"""Lines of a record for the folders above that were made with its own."""


class WriteError(OSError):
    """What could not be written: `filename` is the file or folder that was meant, `errno` and `strerror` say why."""


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Name `path` in what the operating system refuses: it may speak of a draft, or of nothing."""
    try:
        yield
    except OSError as error:
        raise WriteError(error.errno, error.strerror or str(error), str(path)) from error


def user_path(text: str | Path) -> Path:
    """Return the path that a user means: `~` is the home folder, where there is one."""
    return Path(os.path.expanduser(text))


def is_unicode(name: str) -> bool:
    """Tell whether a file's name is valid Unicode, which Linux does not ask of it."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def printable(name: str) -> str:
    """Return a name that can be printed, whatever it holds."""
    return name.encode("utf-8", "replace").decode()


def stand_in(head: bytes) -> str:
    """Say what a file is that lies in another's place after a download, given its first bytes; empty for any other."""
    if head.startswith(b"version https://git-lfs."):
        return "a pointer of Git LFS, not the file itself; run git lfs pull where it was cloned, or download it"
    # A byte alone says too little: an ExecuTorch program begins with 60, its own length of head, as often as not.
    if re.match(rb"\s*<[!?a-zA-Z]", head.removeprefix(b"\xef\xbb\xbf")):
        return "a web page (HTML or XML), not the file itself; download it again"
    return ""


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are absent; WriteError where that cannot be."""
    with _writing(path):
        path.mkdir(parents=True, exist_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a record as indented JSON, atomically."""
    write_text(path, json.dumps(to_json(value), indent=1, ensure_ascii=False) + "\n")


def read_json(kind: type[R], path: Path) -> R:
    """Read a record written by `write_json`."""
    return from_json(kind, json.loads(path.read_text(encoding="utf-8")))


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text so that the file is either whole or absent."""
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        odd = printable(text[max(error.start - 40, 0) : error.end + 20]).strip()
        raise DataError(f"{path.name} cannot hold a name that is no valid Unicode: '{odd}'; rename that file") from None
    write_bytes(path, content)


def lines_of(text: str) -> list[str]:
    """Return a text's lines, which end at line feeds only: names may hold the other marks that `splitlines` cuts at."""
    lines = text.split("\n")
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return CSV with lines that end in a line feed; `csv` reads every value back as it was, carriage returns too."""
    stream = io.StringIO()
    lines = csv.writer(stream, lineterminator="\r\n")  # whatever is in the terminator gets quoted
    written = []
    for row in (header, *rows):
        lines.writerow(row)
        written.append(stream.getvalue()[:-2] + "\n")
        stream.seek(0)
        stream.truncate()
    return "".join(written)


def several_processes() -> bool:
    """Tell whether `torchrun` started this process as one of several.

    It says its place too; clusters, and lines left in a shell's profile, name a number of processes alone.
    """
    count = os.environ.get("WORLD_SIZE", "")
    return count.isdecimal() and int(count) > 1 and {"RANK", "MASTER_ADDR"} <= os.environ.keys()


def first_process() -> bool:
    """Tell whether this process writes and speaks: it is alone, or the first of several."""
    return not several_processes() or os.environ.get("RANK", "0") == "0"


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes so that the file is either whole or absent; flushed to disk before it gets its name.

    Of several processes that train together only the first writes.
    """
    if not first_process():
        return
    make_folder(path.parent)
    note(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    with _writing(path), _removed(draft):
        with draft.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        _take_name(draft, path)


def _take_name(draft: Path, path: Path) -> None:
    """Give a draft its name; Windows refuses that while a virus scanner or another program has the file open."""
    for wait_s in (0.05, 0.1, 0.2, 0.4, 0.8):
        try:
            draft.replace(path)
            return
        except PermissionError:
            time.sleep(wait_s)
    draft.replace(path)


@contextmanager
def _removed(draft: Path) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(OSError):  # what kept it from being written is said, not this
            draft.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a place to write a folder to, of the same name; it takes the place of `path` when all is written."""
    room = path.with_name(f".{path.name}.{os.getpid()}.part")
    make_folder(path.parent)
    note(path)
    try:
        with _writing(path):
            room.mkdir()
        yield room / path.name
        with _writing(path):
            if path.exists():
                _take_name(path, room / "old")
            _take_name(room / path.name, path)
        note_below(path)
    finally:
        shutil.rmtree(room, ignore_errors=True)


# ---------------------------------------------------------------- what is the program's own


def make_own(folder: Path) -> bool:
    """Make a folder with a record in it; False where something of that name exists, also where another is faster."""
    with _writing(folder):
        made = [line for line, parent in zip(_ABOVE, folder.parents, strict=False) if not parent.exists()]
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not folder.is_dir():
                raise
            return False
        _append(folder, made)
    return True


def mark_own(folder: Path) -> None:
    """Begin a record for a folder that the program made."""
    _append(folder, [])


def claim(folder: Path, *names: str, option: str = "--output") -> None:
    """Make ready to write `names` into a folder of the user's choice; one that is new gets a record.

    Raises RunExists where one of them is there and not of this program: neither in a record, nor in a folder whose
    file of the first name says that the program wrote it. `option` is what names the folder.
    """
    with _writing(folder):
        if _owner(_whole(folder)) is None:
            if make_own(folder):
                return
            if not any(folder.iterdir()):
                mark_own(folder)
    signs = [folder / name for name in names[:1] if (folder / name).is_file()]
    if any(b"pocketvision" in sign.read_bytes() for sign in signs):
        return
    own = own_files(folder)
    for path in (folder / name for name in names):
        if path.exists() and path not in own:
            raise RunExists(f"{path} exists and was not written by pocketvision; choose another folder with {option}")


def note(path: Path) -> None:
    """Add a file to the record of the folder that it lies in, or of the nearest one above that has a record."""
    whole = _whole(path)
    owner = _owner(whole.parent)
    if owner is not None and (name := whole.relative_to(owner).as_posix()) not in _names(owner):
        _append(owner, [name])


def note_below(folder: Path, pattern: str = "**/*") -> None:
    """Add files in a folder to the record: those that another package wrote."""
    for path in sorted(folder.glob(pattern)):
        if path.is_file():
            note(path)


def own_files(folder: Path) -> list[Path]:
    """Return the files at or below a folder that the program wrote and that are still there, by its record."""
    owner = _owner(_whole(folder))
    if owner is None:
        return []
    inner = _whole(folder).relative_to(owner)
    below = (Path(name).relative_to(inner) for name in _names(owner) if Path(name).is_relative_to(inner))
    paths = (folder / name for name in below)
    return sorted(path for path in paths if path.is_symlink() or path.is_file())


def remove_own(folder: Path) -> None:
    """Remove the program's own files, their unfinished drafts, and those of its folders that are empty then."""
    remove_drafts(folder)
    for path in own_files(folder):
        path.unlink(missing_ok=True)
    names, lines = _names(folder), _lines(folder)
    above = [parent for line, parent in zip(_ABOVE, folder.parents, strict=False) if line in lines]
    (folder / RECORD).unlink(missing_ok=True)
    inner = {parent for name in names for parent in (folder / name).parents if parent.is_relative_to(folder)}
    for place in (*sorted(inner | {folder}, reverse=True), *above):
        with suppress(OSError):  # not empty: there is something of the user's in it
            place.rmdir()


def move_own(folder: Path, target: Path) -> None:
    """Move the program's own files with their record, which goes last: cut off by a kill, it can be done again."""
    for path in own_files(folder):
        place = target / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
    target.mkdir(exist_ok=True)
    shutil.copyfile(folder / RECORD, target / RECORD)
    remove_own(folder)


def remove_drafts(folder: Path) -> None:
    """Remove files and folders that a kill left half-written, never yet under their names."""
    for name in _names(folder):
        path = folder / name
        for draft in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
            if draft.is_file():
                draft.unlink(missing_ok=True)
            elif draft.is_dir() and {inside.name for inside in draft.iterdir()} <= {path.name, "old"}:
                shutil.rmtree(draft, ignore_errors=True)


def has_record(folder: Path) -> bool:
    """Tell whether the program made this folder."""
    return (folder / RECORD).is_file()


def _whole(path: Path) -> Path:
    return Path(os.path.abspath(path))  # without '..', so that each parent is a folder that it really lies in


def _owner(folder: Path) -> Path | None:
    return next((place for place in (folder, *folder.parents) if has_record(place)), None)


def _names(folder: Path) -> list[str]:
    """Return the files of a record; what leads out of the folder is not believed."""
    return [name for name in _lines(folder) if Path(name).name and not {"..", "/"} & {*Path(name).parts}]


def _lines(folder: Path) -> list[str]:
    """Read a record; a line that a kill cut short names a file that was not yet begun."""
    found = []
    with suppress(FileNotFoundError):
        for line in (folder / RECORD).read_text(encoding="utf-8", errors="replace").split("\n"):
            with suppress(ValueError):
                found.append(str(json.loads(line)))
    return found


def _append(folder: Path, names: list[str]) -> None:
    with (folder / RECORD).open("a", encoding="utf-8") as stream:
        stream.write("".join(f"\n{json.dumps(name)}" for name in names))
