"""Run folders: where a verb's results lie, the settings beside them, and how an interrupted one goes on."""

import csv
import dataclasses
import hashlib
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pocketvision.errors import RunExists, UsageError
from pocketvision.files import read_json, write_text
from pocketvision.values import Epoch, Summary, to_json

_FORBIDDEN = r'[\x00-\x1f/\\:*?"<>|]'
_LONGEST = 120
"""Bytes of a name made from the data's; file systems take 255, and a number may follow."""
_IGNORED_ON_RESUME = {"resume", "exist_ok", "command", "log"}


def open_run(
    output: str | Path,
    verb: str,
    name: str,
    *,
    settings: Mapping[str, Any],
    resume: bool = False,
    exist_ok: bool = False,
    named: bool = True,
) -> Path:
    """Create or re-open `<output>/<verb>/<name>` and write `args.yaml` into it.

    Without `named`, a taken name gets the next free number, or on `resume` means the newest unfinished run.
    Raises RunExists where a run would be overwritten, UsageError where there is nothing to resume or the
    settings differ from those the run was started with.
    """
    _require_plain(name)
    folder = Path(output, verb)
    if resume:
        return _reopened(folder, name, settings, named)
    target = folder / name
    if not named:
        number = 2
        while target.exists():
            target = folder / f"{name}-{number}"
            number += 1
    if (target / "args.yaml").exists() and not exist_ok:
        raise RunExists(
            f"{target} exists. Choose another --name, continue it with --resume, or start it anew with --exist-ok"
        )
    if target.exists():
        _clear(target)
    target.mkdir(parents=True, exist_ok=True)
    write_text(target / "args.yaml", yaml.safe_dump(to_json(dict(settings)), sort_keys=False, allow_unicode=True))
    return target


def name_for(data: str | Path) -> str:
    """Name a run after its data, whatever that is: the last part of a path or of `hf://owner/name:config`.

    What no file system, or not every one, takes in a name becomes a hyphen; signs that cannot be seen are left out.
    """
    text = unicodedata.normalize("NFC", Path(data).name)
    seen = "".join(sign for sign in text if not unicodedata.category(sign).startswith("C"))
    short = re.sub(f"{_FORBIDDEN}+", "-", seen).encode()[:_LONGEST].decode(errors="ignore")
    return short.strip(" .-") or "run"


def finished(run: Path) -> bool:
    """Tell whether a run ended: its checksums are written last."""
    return (run / "SHA256SUMS").exists()


def read_settings(run: Path) -> dict[str, Any]:
    """Return what args.yaml holds."""
    loaded = yaml.safe_load((run / "args.yaml").read_text(encoding="utf-8"))
    return dict(loaded) if isinstance(loaded, dict) else {}


def summary_of(run: Path) -> Summary:
    """Return the summary of a finished run."""
    return read_json(Summary, run / "summary.json")


def write_epochs(run: Path, epochs: Iterable[Epoch]) -> None:
    """Write results.csv, one line an epoch."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(item.name for item in dataclasses.fields(Epoch))
    writer.writerows(_rounded(dataclasses.astuple(epoch)) for epoch in epochs)
    write_text(run / "results.csv", text.getvalue())


@contextmanager
def nothing_left_on(*errors: type[Exception], run: Path) -> Iterator[None]:
    """Remove a new run's folder again where the body fails with one of `errors`: there is nothing to resume yet."""
    new = [path.name for path in run.iterdir()] == ["args.yaml"]
    try:
        yield
    except errors:
        if not new:
            raise
        _clear(run)
        for folder in (run, run.parent, run.parent.parent):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise


def write_checksums(run: Path) -> None:
    """Write SHA256SUMS over every file of the run, in the form that `sha256sum --check` reads."""
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(run).as_posix()}\n" for path in files]
    write_text(run / "SHA256SUMS", "".join(lines))


def _rounded(values: Iterable[Any]) -> list[Any]:
    return [f"{value:.6g}" if isinstance(value, float) else value for value in values]


def _require_plain(name: str) -> None:
    if not name or name in (".", "..") or re.search(_FORBIDDEN, name):
        raise UsageError(f"--name '{name}' cannot be a folder's name; use letters, digits, '-' and '_'")


def _reopened(folder: Path, name: str, settings: Mapping[str, Any], named: bool) -> Path:
    if named:
        found = [folder / name]
    else:
        pattern = re.compile(re.escape(name) + r"(-\d+)?")
        runs = [path for path in folder.glob("*") if pattern.fullmatch(path.name) and (path / "args.yaml").exists()]
        runs.sort(key=lambda path: (path / "args.yaml").stat().st_mtime)
        found = [path for path in runs if not finished(path)][-1:] or runs[-1:]
    if not found or not (found[0] / "args.yaml").exists():
        raise UsageError(f"there is no run '{name}' in {folder} to resume; start it without --resume")
    stored = read_settings(found[0])
    given = to_json(dict(settings))
    changed = [
        f"{key}: {stored.get(key)} then, {value} now"
        for key, value in given.items()
        if key not in _IGNORED_ON_RESUME and stored.get(key) != value
    ]
    if changed:
        raise UsageError(
            f"{found[0]} was started with other settings ({'; '.join(changed)}); "
            "resume with the same ones, or start a new run under another --name"
        )
    for draft in found[0].rglob(".*.part"):
        draft.unlink()  # a file that a kill left half-written, never yet under its name
    return found[0]


def _clear(run: Path) -> None:
    """Remove what an earlier run of the same name left; only files that a run writes, and folders left empty."""
    for path in sorted(run.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.suffix in _WRITTEN or path.name in ("SHA256SUMS",):
            path.unlink()


_WRITTEN = {".json", ".yaml", ".csv", ".txt", ".onnx", ".tflite", ".npz", ".safetensors", ".html", ".md", ".part"}
_WRITTEN |= {".bin", ".c", ".h", ".mlmodel", ".pte", ".xml"}  # of `export`
_WRITTEN |= {".js", ".mjs", ".wasm", ".css", ".svg", ".webmanifest"}  # of `demo`
