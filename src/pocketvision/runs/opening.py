"""How a run begins, ends, and goes on where it was interrupted.

A run's own files are those of its record, which `files` keeps. Nothing else in its folder is touched.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pocketvision.errors import RunExists, UsageError
from pocketvision.files import (
    first_process,
    has_record,
    is_unicode,
    make_own,
    mark_own,
    move_own,
    note,
    own_files,
    printable,
    remove_drafts,
    remove_own,
    write_text,
)
from pocketvision.runs.folder import RunFolder
from pocketvision.settings.groups import RunConfig
from pocketvision.values import to_json

_FORBIDDEN = r'[\x00-\x1f/\\:*?"<>|]'
_DEVICES = "con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]"
_FILE_SYSTEMS = 200
_LONGEST = 120
"""Bytes of a name that is given, and of one made from the data's; file systems take 255, and more may follow."""
_BEFORE = ".before"
"""Holds the files of a run that is started anew, until the new one has really begun."""
_OF_RUNS = re.compile(
    r"(args\.yaml|labels\.txt|(results|splits)\.csv|(check|choice|compress|summary|train|verify)\.json|report\.html"
    r"|model_card\.md|weights/(best|last)\.safetensors|export/(model\.\w+|(cost|manifest)\.json|USE\.md"
    r"|trained_outputs\.npz)|proofs/\w+/verify\.json)"
)
"""Names by which the files of a run without a record are known, if its checksums hold too: those may count others."""
_IGNORED_ON_RESUME = {"resume", "exist_ok", "command", "log", "output"}
"""`output` is where the run was found, however it is written."""


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
    require_plain(name)
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
    RunFolder(target).settings.write(dict(settings))
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


def require_plain(name: str, kind: str = "folder") -> None:
    """Raise UsageError for a --name that some system does not take for a file or folder, or that leads elsewhere."""
    if not name or name[-1] in ". " or re.search(_FORBIDDEN, name) or _reserved(name) or not is_unicode(name):
        raise UsageError(f"--name '{printable(name)}' cannot be a {kind}'s name; use letters, digits, '-' and '_'")
    if len(name.encode()) > _FILE_SYSTEMS:
        raise UsageError(f"--name '{name[:40]}...' is longer than a {kind}'s name can be; shorten it")


def finished(run: Path) -> bool:
    """Tell whether a run ended: its checksums are written last."""
    return RunFolder(run).checksums.exists()


@contextmanager
def nothing_left_on(*errors: type[Exception], run: Path) -> Iterator[None]:
    """Undo the opening of a run where the body fails with one of `errors`: there is nothing to resume yet.

    A new run's folder goes away again, with the folders above that were made for it; one that was started anew gets
    back what it held.
    """
    new = first_process() and own_files(run) == [RunFolder(run).settings.path]
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
    sums = RunFolder(run).checksums
    files = [path for path in own_files(run) if path.is_file() and path != sums]
    lines = [f"{_sha256(path)}  {path.relative_to(run).as_posix()}\n" for path in files]
    write_text(sums, "".join(lines))


def _reserved(name: str) -> bool:
    """Tell whether Windows takes a name for a device, whatever its suffix and case; runs travel between machines."""
    return re.fullmatch(_DEVICES, name.partition(".")[0].rstrip(" "), re.IGNORECASE) is not None


def _reopened(folder: Path, name: str, settings: Mapping[str, Any], named: bool) -> Path:
    if named:
        found = [RunFolder(folder / name)]
    else:
        pattern = re.compile(re.escape(name) + r"(-\d+)?")
        runs = [RunFolder(path) for path in folder.glob("*") if pattern.fullmatch(path.name)]
        runs = [run for run in runs if run.settings.exists()]
        runs.sort(key=lambda run: run.settings.path.stat().st_mtime)
        found = [run for run in runs if not finished(run.path)][-1:] or runs[-1:]
    if not found or not found[0].settings.exists():
        raise UsageError(f"there is no run '{name}' in {folder} to resume; start it without --resume")
    run = found[0].path
    stored = _stored(found[0])
    given = to_json(dict(settings))
    changed = [
        f"{key}: {stored.get(key)} then, {value} now"
        for key, value in given.items()
        if key not in _IGNORED_ON_RESUME and not _same(stored.get(key), value)
    ]
    if changed:
        raise UsageError(
            f"{run} was started with other settings ({'; '.join(changed)}); "
            "resume with the same ones, or start a new run under another --name"
        )
    if not has_record(run):
        mark_own(run)  # a copy of a run, without hidden files
    remove_drafts(run)
    return run


def _stored(run: RunFolder) -> dict[str, Any]:
    try:
        return run.settings.read()
    except ValueError as error:
        raise UsageError(
            f"{run.settings.path} cannot be read ({error}); start a new run under another --name"
        ) from error


def _same(one: object, other: object) -> bool:
    """Tell whether two settings are equal; `photos/` is `photos`."""
    if isinstance(one, str) and isinstance(other, str):
        return os.path.normpath(one) == os.path.normpath(other)
    return one == other


_BEGUN: list[Path] = []


def _begun(run: Path) -> Path:
    _BEGUN.append(run)
    return run


def _make_way(run: Path, exist_ok: bool) -> None:
    """Put a run's own files aside, so that one can be started anew in its place; RunExists where that is not meant."""
    aside = run / _BEFORE
    known = [] if has_record(run) or has_record(aside) else _known_files(run)
    if not known and not has_record(run) and not has_record(aside):
        what = "may be a run of an older version" if (run / "splits.csv").exists() else "is no run"
        raise RunExists(
            f"{run} exists and {what}: it holds no record of what pocketvision wrote. Choose another --name or "
            "--output, or move or delete the folder"
        )
    if not exist_ok:
        raise RunExists(
            f"{run} exists. Choose another --name, continue it with --resume, or start it anew with --exist-ok"
        )
    if known:
        mark_own(run)
        for path in known:
            note(path)
    if has_record(aside):  # a start was cut off: what it wrote goes, what was there before it is kept
        remove_own(run)
    else:
        move_own(run, aside)
    mark_own(run)


def _known_files(run: Path) -> list[Path]:
    """Return the files of a finished run without a record, made by an older version or copied without hidden files.

    None where one was changed since: what a user wrote into it would be lost.
    """
    sums = RunFolder(run).checksums
    if not sums.is_file():
        return []
    lines = (line.split("  ", 1) for line in sums.read_text(encoding="utf-8", errors="replace").split("\n"))
    told = {words[1]: words[0] for words in lines if len(words) > 1 and _OF_RUNS.fullmatch(words[1])}
    found = {name: run / name for name in told if (run / name).is_file()}
    if RunFolder(run).settings.path.name not in found or any(
        _sha256(path) != told[name] for name, path in found.items()
    ):
        return []
    return [*found.values(), sums]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _undo(run: Path) -> None:
    remove_own(run)
    if has_record(run / _BEFORE):
        move_own(run / _BEFORE, run)
    elif run in _BEGUN:
        _BEGUN.remove(run)
