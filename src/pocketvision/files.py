"""Files that are whole or absent: every file the project writes goes through here."""

import csv
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pocketvision.values import from_json, to_json

R = TypeVar("R")


def write_json(path: Path, value: Any) -> None:
    """Write a record as indented JSON, atomically."""
    write_text(path, json.dumps(to_json(value), indent=1, ensure_ascii=False) + "\n")


def read_json(kind: type[R], path: Path) -> R:
    """Read a record written by `write_json`."""
    return from_json(kind, json.loads(path.read_text(encoding="utf-8")))


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text so that the file is either whole or absent."""
    write_bytes(path, text.encode())


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
    """Tell whether `torchrun` started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def first_process() -> bool:
    """Tell whether this process writes and speaks: it is alone, or the first of several."""
    return not several_processes() or os.environ.get("RANK", "0") == "0"


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes so that the file is either whole or absent; flushed to disk before it gets its name.

    Of several processes that train together only the first writes.
    """
    if not first_process():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a place to write a folder to, of the same name; it takes the place of `path` when all is written."""
    room = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        room.mkdir(parents=True)
        yield room / path.name
        if path.exists():
            path.rename(room / "old")
        (room / path.name).rename(path)
    finally:
        shutil.rmtree(room, ignore_errors=True)
