"""What the operating system refuses, said in words: which path, why, and what to do on this verb."""

import errno
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from pocketvision.cache import root
from pocketvision.files import WriteError, printable
from pocketvision.runs import begun

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REASONS = {
    errno.EACCES: "there is no permission for {path}",
    errno.EPERM: "there is no permission for {path}",
    errno.EROFS: "{path} lies on a disk that cannot be written",
    errno.ENOENT: "{path} does not exist",
    errno.EEXIST: "{path} exists already",
    errno.ENOTDIR: "{path} is no folder",
    errno.EISDIR: "{path} is a folder, not a file",
    errno.ENOTEMPTY: "the folder {path} is not empty",
    errno.ENAMETOOLONG: "a name is too long for this disk: {path}",
    errno.ELOOP: "{path} is a link that leads in a circle",
    errno.EMFILE: "too many files are open; allow more with `ulimit -n 4096`",
    errno.ENFILE: "too many files are open on this machine; close other programs",
    errno.ENOMEM: "there is not enough memory; close other programs",
}


def sentence(error: OSError, arguments: Sequence[str], options: Collection[str]) -> str:
    """Say what went wrong, naming the path, and what to do; only `options` of the verb that was called are offered."""
    path = os.fsdecode(error.filename) if error.filename else ""
    if error.errno in _FULL:
        where = f" ({_short(path)})" if path else ""
        again = " with --resume" if "--resume" in options and begun() else ""
        return f"the disk is full{where}; free some room and run the same command again{again}"
    if not path:
        return _nameless(error)
    path, kind = _in_the_way(path, error.errno)
    written = isinstance(error, WriteError)
    cache = str(root())
    if _touch(path, cache):
        reason = "there is no home folder for the cache" if cache.startswith(os.devnull) else _reason(kind, path, error)
        return f"{reason}; set the environment's POCKETVISION_CACHE to a folder that can be written"
    if kind == errno.ENOENT and written:
        return f"{_short(path)} cannot be made{_elsewhere(arguments, options)}"
    return f"{_reason(kind, path, error)}{_elsewhere(arguments, options) if written else ''}"


def _reason(kind: int, path: str, error: OSError) -> str:
    return _REASONS.get(kind, "{path}: " + (error.strerror or type(error).__name__)).format(path=_short(path))


def _short(path: str) -> str:
    return printable(path if len(path) < 300 else f"{path[:100]} ... {path[-60:]}")


def _nameless(error: OSError) -> str:
    try:
        os.getcwd()
    except OSError:
        return "the folder that you work in is gone; change into one that exists"
    if "temporary directory" in str(error):
        return "there is no folder for temporary files; set the environment's TMPDIR to one that can be written"
    reason = _REASONS.get(error.errno or 0, "{path}")
    return f"the operating system refuses: {error}" if "{path}" in reason else reason


def _in_the_way(path: str, kind: int | None) -> tuple[str, int]:
    """Return the file that stands where a folder is needed, and that this is so; else what is given."""
    if kind in (errno.EEXIST, errno.ENOTDIR):
        for above in (*reversed(Path(path).parents), Path(path)):
            if above.exists() and not above.is_dir():
                return str(above), errno.ENOTDIR
    return path, kind or 0


def _elsewhere(arguments: Sequence[str], options: Collection[str]) -> str:
    """Offer the option that says where to write: the one that was given, or that of the verb."""
    places = [option for option in ("--output", "--fix") if option in options]
    named = [option for option in places if any(word.partition("=")[0] == option for word in arguments)]
    return f"; choose another place with {' or '.join(named or places)}" if places else "; allow writing there"


def _touch(path: str, folder: str) -> bool:
    """Tell whether one of the two lies in the other."""
    one, other = os.path.abspath(path), os.path.abspath(folder)
    return os.path.commonpath([one, other]) in (one, other)
