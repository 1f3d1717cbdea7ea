"""Run folders: where a verb's results lie, the settings beside them, and how an interrupted one goes on.

A run's own files are those of its record, which `files` keeps. Nothing else in its folder is touched.
"""

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
from pocketvision.files import (
    first_process,
    has_record,
    is_unicode,
    make_own,
    mark_own,
    move_own,
    own_files,
    printable,
    read_json,
    remove_drafts,
    remove_own,
    write_text,
)
from pocketvision.settings.groups import RunConfig
from pocketvision.values import Epoch, Summary, to_json

_FORBIDDEN = r'[\x00-\x1f/\\:*?"<>|]'
_DEVICES = "con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]"
_FILE_SYSTEMS = 200
_LONGEST = 120
"""Bytes of a name that is given, and of one made from the data's; file systems take 255, and more may follow."""
_SETTINGS, _BEFORE = "args.yaml", ".before"
"""`.before` holds the files of a run that is started anew, until the new one has really begun."""
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

    Of several processes that open the same new run at once, one gets the folder. Without `named`, a taken name gets
    the next free number, or on `resume` means the newest unfinished run. Raises RunExists where a run would be
    overwritten, or a folder is no run; UsageError where there is nothing to resume or the settings differ from those
    the run was started with.
    """
    _require_plain(name)
    folder = Path(output, verb)
    if not is_unicode(str(folder.absolute())):  # it is written into every record of a run
        raise UsageError(f"the name of '{printable(str(folder.absolute()))}' is not valid Unicode; take another")
    if resume:
        return _begun(_reopened(folder, name, settings, named))
    target, number = folder / name, 1
    while not make_own(target):
        if named:
            _make_way(target, exist_ok)
            break
        number += 1
        target = folder / f"{name}-{number}"
    write_text(target / _SETTINGS, yaml.safe_dump(to_json(dict(settings)), sort_keys=False, allow_unicode=True))
    return _begun(target)


def run_for(verb: str, options: RunConfig, usual: str, **said: str) -> Path:
    """Open the run that a verb's options ask for; `said` is written beside them."""
    return open_run(
        options.output,
        verb,
        options.name or usual,
        settings=options.stored() | said,
        resume=options.resume,
        exist_ok=options.exist_ok,
        named=options.name is not None,
    )


def begun() -> Path | None:
    """Return the run that this process opened last, if any: what an interrupted command can go on with."""
    return _BEGUN[-1] if _BEGUN else None


def name_for(data: str | Path) -> str:
    """Name a run after its data, whatever that is: the last part of a path or of `hf://owner/name:config`.

    What no file system, or not every one, takes in a name becomes a hyphen; signs that cannot be seen are left out.
    """
    text = unicodedata.normalize("NFC", Path(data).name)
    seen = "".join(sign for sign in text if not unicodedata.category(sign).startswith("C"))
    short = re.sub(f"{_FORBIDDEN}+", "-", seen).encode()[:_LONGEST].decode(errors="ignore")
    plain = short.strip(" .-") or "run"
    return f"run-{plain}" if _reserved(plain) else plain


def finished(run: Path) -> bool:
    """Tell whether a run ended: its checksums are written last."""
    return (run / "SHA256SUMS").exists()


def read_settings(run: Path) -> dict[str, Any]:
    """Return what args.yaml holds."""
    loaded = yaml.safe_load((run / _SETTINGS).read_text(encoding="utf-8"))
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
    """Undo the opening of a run where the body fails with one of `errors`: there is nothing to resume yet.

    A new run's folder goes away again, with the folders above that were made for it; one that was started anew gets
    back what it held.
    """
    new = first_process() and [path.name for path in own_files(run)] == [_SETTINGS]
    try:
        yield
    except errors:
        if new:
            _undo(run)
        raise
    if first_process():
        remove_own(run / _BEFORE)


def write_checksums(run: Path) -> None:
    """Write SHA256SUMS over every file that the run wrote, in the form that `sha256sum --check` reads."""
    files = [path for path in own_files(run) if path.is_file() and path.name != "SHA256SUMS"]
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(run).as_posix()}\n" for path in files]
    write_text(run / "SHA256SUMS", "".join(lines))


def _rounded(values: Iterable[Any]) -> list[Any]:
    return [f"{value:.6g}" if isinstance(value, float) else value for value in values]


def _require_plain(name: str) -> None:
    if not name or name[-1] in ". " or re.search(_FORBIDDEN, name) or _reserved(name) or not is_unicode(name):
        raise UsageError(f"--name '{printable(name)}' cannot be a folder's name; use letters, digits, '-' and '_'")
    if len(name.encode()) > _FILE_SYSTEMS:
        raise UsageError(f"--name '{name[:40]}...' is longer than a folder's name can be; shorten it")


def _reserved(name: str) -> bool:
    """Tell whether Windows takes a name for a device, whatever its suffix and case; runs travel between machines."""
    return re.fullmatch(_DEVICES, name.partition(".")[0].rstrip(" "), re.IGNORECASE) is not None


def _reopened(folder: Path, name: str, settings: Mapping[str, Any], named: bool) -> Path:
    if named:
        found = [folder / name]
    else:
        pattern = re.compile(re.escape(name) + r"(-\d+)?")
        runs = [path for path in folder.glob("*") if pattern.fullmatch(path.name) and (path / _SETTINGS).exists()]
        runs.sort(key=lambda path: (path / _SETTINGS).stat().st_mtime)
        found = [path for path in runs if not finished(path)][-1:] or runs[-1:]
    if not found or not (found[0] / _SETTINGS).exists():
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
    if not has_record(found[0]):
        mark_own(found[0])  # a copy of a run, without hidden files
    remove_drafts(found[0])
    return found[0]


_BEGUN: list[Path] = []


def _begun(run: Path) -> Path:
    _BEGUN.append(run)
    return run


def _make_way(run: Path, exist_ok: bool) -> None:
    """Put a run's own files aside, so that one can be started anew in its place; RunExists where that is not meant."""
    aside = run / _BEFORE
    if not has_record(run) and not has_record(aside):
        raise RunExists(
            f"{run} exists and is no run: it holds no record of what pocketvision wrote. Choose another --name or "
            "--output, or move the folder"
        )
    if not exist_ok:
        raise RunExists(
            f"{run} exists. Choose another --name, continue it with --resume, or start it anew with --exist-ok"
        )
    if has_record(aside):  # a start was cut off: what it wrote goes, what was there before it is kept
        remove_own(run)
    else:
        move_own(run, aside)
    mark_own(run)


def _undo(run: Path) -> None:
    remove_own(run)
    if has_record(run / _BEFORE):
        move_own(run / _BEFORE, run)
    elif run in _BEGUN:
        _BEGUN.remove(run)
