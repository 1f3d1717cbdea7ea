"""Stub until the real one lands."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pocketvision.errors import WeightsError
from pocketvision.progress import Progress
from pocketvision.values import ModelSpec
from pocketvision.weights.fetch import cache_folder, local_folder
from pocketvision.weights.load import SUFFIXES, Weights, read


@dataclass(frozen=True)
class Available:
    spec: ModelSpec
    origin: Literal["given", "folder", "cache", "package", "published"]
    path: Path | None
    source: object | None = None
    bytes: int | None = None
    top1: float | None = None


def available(asked: Sequence[str | Path] | None, *, offline: bool, progress: Progress) -> tuple[Available, ...]:
    files = [Path(item) for item in asked] if asked is not None else []
    if asked is None:
        for folder in (local_folder(), cache_folder()):
            if folder is not None and folder.is_dir():
                files += sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    found = []
    for file in files:
        try:
            found.append(Available(read(file).spec, "given" if asked else "folder", file))
        except WeightsError:
            if asked:
                raise
    return tuple(found)


def load(one: Available, progress: Progress) -> Weights:
    assert one.path is not None
    return read(one.path)
