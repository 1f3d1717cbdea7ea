"""No file that lies where a command is given is ever run: a downloaded folder of images may hold a `random.py`."""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision import process
from pocketvision.verify.loading import loading

WORDS = "--model mobilenet_v1 --width 0.125 --resolution 32 --epochs 1 --weights none --device cpu"
TINY = WORDS.split()
SOURCE = Path(process.__file__).parents[1]
MODULE = (sys.executable, "-m", "pocketvision")
SCRIPT = (sys.executable, str(Path(sys.executable).with_name("pocketvision")))
"""As a shell starts the installed command, whose first line names this Python."""
PYTHONS_OWN = subprocess.check_output([sys.executable, "-c", "import runpy, sys; print(*sys.modules)"], text=True)
"""What `python -m` itself looks for before any of our code can say where not to look."""


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with images and a file for every module there is, each of which leaves a trace when it is run."""
    folder = tmp_path / "downloaded"
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / label / f"{number}.png")
    trap = (
        f"open({str(tmp_path / 'run.txt')!r}, 'a').write(__file__ + '\\n')\nraise SystemExit('a foreign file is run')\n"
    )
    known = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions(), "sitecustomize", "usercustomize"}
    for name in filter(str.isidentifier, known - {"pocketvision"} - set(PYTHONS_OWN.split())):
        for place in (folder, folder / "photos"):
            (place / f"{name}.py").write_text(trap, encoding="utf-8")
    return folder


def command(start: tuple[str, ...], *words: str, folder: Path) -> str:
    done = subprocess.run([*start, *words], cwd=folder, capture_output=True, encoding="utf-8", check=False)
    traps = (folder.parent if folder.name == "photos" else folder).with_name("run.txt")
    assert not traps.exists(), traps.read_text(encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_no_verb_runs_a_file_of_the_current_folder(hostile: Path) -> None:
    found = json.loads(command(MODULE, "fit", "photos", *TINY, "--format", "onnx,c", "--json", folder=hostile))
    assert Path(hostile, found["artefact"]).is_file()
    file = "runs/fit/photos/export/model.onnx"
    command(MODULE, "verify", file, file, "photos", folder=hostile)
    command(MODULE, "bench", file, folder=hostile)
    assert "cat" in command(MODULE, "predict", file, "photos/cat", folder=hostile)


@pytest.mark.slow
@pytest.mark.skipif(not Path(SCRIPT[1]).is_file(), reason="the command itself is not installed beside this Python")
def test_the_installed_command_passes_over_a_package_of_our_own_name(hostile: Path) -> None:
    (hostile / "pocketvision").mkdir()
    (hostile / "pocketvision" / "__init__.py").write_text((hostile / "json.py").read_text(encoding="utf-8"))
    found = json.loads(command(SCRIPT, "fit", "photos", *TINY, "--json", folder=hostile))
    command(SCRIPT, "verify", found["artefact"], "photos", "--json", folder=hostile)


@pytest.mark.parametrize(
    ("searched", "pythonpath", "left"),
    [
        (["{here}", "/a", "{library}", "/site"], "/a", ["/a", "{library}", "/site"]),
        (["", "{library}"], "", ["{library}"]),
        (["/bin/of/it", "{here}", "{library}"], os.pathsep, ["{library}"]),
        (["{here}", "{here}", "{library}"], "{here}", ["{here}", "{here}", "{library}"]),
        (["/else", "{library}", "{here}"], "", ["/else", "{library}", "{here}"]),
        (["{here}", "/zip"], "", ["/zip"]),
    ],
)
def test_only_what_python_itself_put_before_its_library_is_left_out(
    searched: list[str], pythonpath: str, left: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"here": str(tmp_path), "library": os.path.dirname(os.__file__)}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", pythonpath.format(**words))
    monkeypatch.setattr(sys, "argv", ["/bin/of/it/pocketvision"])
    monkeypatch.setattr(sys, "path", [place.format(**words) for place in searched])
    process.leave_folder()
    assert sys.path == [place.format(**words) for place in left]


def test_a_child_finds_what_pythonpath_names_and_this_very_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "asked.py").write_text("import pocketvision\nprint(pocketvision.__file__, 'grün 猫')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}{tmp_path}{os.pathsep}")
    done = process.run_own("asked")
    assert done.stdout.split() == [str(SOURCE / "pocketvision" / "__init__.py"), "grün", "猫"]
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    assert "asked" in process.run_own("asked").stderr


def test_check_runs_no_file_of_the_data_that_it_stands_in(hostile: Path) -> None:
    assert "cat" in command(MODULE, "check", ".", folder=hostile / "photos")


def test_a_function_starts_its_children_elsewhere(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Python finds in a program of the user's own is theirs to say; the processes that we start are ours."""
    monkeypatch.chdir(hostile)
    with pytest.raises(Exception, match="could not be opened in a process of its own"):
        loading(Path("photos/cat/0.png"))
    assert not hostile.with_name("run.txt").exists()


def test_a_program_of_the_system_is_not_taken_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "openssl"
    program.write_text(f"#!/bin/sh\n: > '{tmp_path}/run.txt'\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{os.pathsep}.{os.pathsep}")
    assert process.run_program("openssl") is None
    assert not (tmp_path / "run.txt").exists()
    monkeypatch.setenv("PATH", str(tmp_path))
    done = process.run_program("openssl")
    assert done is not None
    assert (tmp_path / "run.txt").exists()
