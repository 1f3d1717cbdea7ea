"""How soon the package and the command line answer, and how they answer wrong requests."""

import subprocess
import sys
import time
from importlib import metadata

import pytest

import pocketvision

TRIES = 5
IMPORT_S, HELP_S = 0.1, 0.3
HEAVY = ("torch", "numpy", "onnxruntime", "PIL", "sklearn", "plotly")


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "pocketvision", *arguments)


def quickest(*arguments: str) -> float:
    """Return the least wall time in seconds of a few new processes: what neighbors add is not ours."""
    times = []
    for _ in range(TRIES):
        started = time.perf_counter()
        done = python(*arguments)
        times.append(time.perf_counter() - started)
        assert done.returncode == 0, done.stderr
    return min(times)


def test_the_package_is_imported_in_no_time() -> None:
    assert quickest("-c", "import pocketvision") < IMPORT_S


def test_help_comes_at_once() -> None:
    assert quickest("-m", "pocketvision", "--help") < HELP_S


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from pocketvision.cli.app import run\n"
        "assert run(['--help']) == 0\n"
        "assert run(['fit', '--help']) == 0\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def test_help_names_every_verb() -> None:
    from pocketvision.cli.app import VERBS

    text = command("--help").stdout
    assert [verb for verb in VERBS if f"  {verb} " not in text] == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["fitt"], "fitt"),
        (["fit", "photos", "--max-sise", "2MB"], "--max-sise"),
        (["cost"], "usage"),
        (["check", "photos", "--seed", "many"], "--seed"),
        (["cost", "mobilenet_v9"], "mobilenet_v9"),
    ],
)
def test_a_wrong_request_ends_with_2_and_says_what_is_wrong(arguments: list[str], named: str) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert named in (done.stdout + done.stderr).lower()
    assert "Traceback" not in done.stderr


def test_version() -> None:
    done = command("--version")
    assert (done.returncode, done.stdout.strip()) == (0, pocketvision.__version__)
    assert pocketvision.__version__ == metadata.version("pocketvision")
