"""Processes: this one's search for modules, and children, which import no file that lies where work is done."""

import os
import sys

# More is imported inside the functions, since the first of them must run before anything else can be found.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of malloc.h."""


def leave_folder() -> None:
    """Take the current folder, and the started script's, off the places where Python looks for modules.

    `python -m` puts the first one there, a script the second, an empty part of PYTHONPATH the first again. A folder
    that PYTHONPATH names stays, and so does all that Python's own installation added.
    """
    own = os.path.dirname(os.__file__)
    end = sys.path.index(own) if own in sys.path else len(sys.path)
    unasked = {_whole(""), _whole(os.path.dirname(sys.argv[0]))} - {_whole(place) for place in _named()}
    sys.path[:end] = [place for place in sys.path[:end] if _whole(place) not in unasked]


def keep_memory() -> None:
    """Let glibc keep freed memory for the next layer's output instead of giving it back: each page that comes anew
    costs a fault, which more than doubles a training step of large maps (docs/measurements/training.md)."""
    import contextlib
    import ctypes

    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        # The second is the most that older versions take.
        _ = mallopt(_M_MMAP_THRESHOLD, 1 << 30) or mallopt(_M_MMAP_THRESHOLD, 1 << 25)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def run_own(module: str, *words: str, timeout_s: float | None = None) -> "CompletedProcess[str]":
    """Run a module of ours in a new process and return what it wrote, as text.

    It finds this very package and what PYTHONPATH names, but nothing of the current folder, and it writes UTF-8,
    whatever the terminal takes. Raises subprocess.TimeoutExpired.
    """
    # The file system's encoding stays what it is here, so that names of files read the same.
    own = {"PYTHONPATH": os.pathsep.join(_found_by_child()), "PYTHONUTF8": str(sys.flags.utf8_mode)}
    environment = {**os.environ, **own, "PYTHONIOENCODING": "utf-8:backslashreplace"}
    return _run([sys.executable, "-P", "-m", module, *words], environment, timeout_s)


def run_program(name: str, *words: str) -> "CompletedProcess[str] | None":
    """Run a program of the system; None where it is not installed. One in the current folder is never taken."""
    import shutil

    places = [place for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(place)]
    program = shutil.which(name, path=os.pathsep.join(places))
    # Windows looks in the current folder whatever it is told, and then answers with no whole path.
    return _run([program, *words], None, None) if program is not None and os.path.isabs(program) else None


def _run(command: list[str], environment: dict[str, str] | None, timeout_s: float | None) -> "CompletedProcess[str]":
    import subprocess

    return subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout_s,
        check=False,
    )


def _named() -> list[str]:
    return [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]


def _found_by_child() -> "Iterator[str]":
    """Yield what PYTHONPATH names, and where this package lies, unless every Python process looks there."""
    import site

    yield from (named := _named())
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if home not in (*named, *site.getsitepackages(), site.getusersitepackages()):
        yield home


def _whole(place: str) -> str:
    try:
        return os.path.realpath(place)
    except OSError:  # the current folder is gone
        return place
