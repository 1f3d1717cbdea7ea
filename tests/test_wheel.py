"""The wheel, as people get it: all its files, and every verb of it, far from the sources."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.cli.app import GROUPS, VERBS

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "pocketvision"
PAGE = SOURCE / "serve" / "page" / "index.html"
TINY = ["--model", "mobilenet_v1", "--width", "0.125", "--resolution", "32", "--epochs", "1"]
FILE, WEIGHTS = "runs/fit/photos/export/model.onnx", "runs/fit/photos/weights/best.safetensors"
COMMANDS = (
    ["fit", "photos", *TINY, "--weights", "none", "--name", "photos"],
    ["plan", "photos", "--model", "mobilenet_v1", "--width", "0.125", "--resolution", "32", "--weights", "none"],
    ["check", "photos", "--output", "looked"],
    ["probe", "photos", "--weights", WEIGHTS],
    ["models", "mobilenet_v2"],
    ["cost", "mobilenet_v2"],
    ["reproduce", "mobilenet_v2"],
    ["train", "photos", *TINY, "--weights", "none"],
    ["distill", "runs/train/photos", "photos", *TINY],
    ["compress", "runs/train/photos"],
    ["export", "runs/train/photos", "--format", "onnx,c", "--precision", "int8"],
    ["verify", FILE, "runs/train/photos/export/model.onnx", "photos"],
    ["bench", FILE],
    ["predict", FILE, "photos/cat/0.png"],
    ["report", "runs/fit/photos"],
    ["weights", "list"],
    ["latency", "predict", "mobilenet_v1_0.25_128"],
    ["demo", "runs/fit/photos", "--no-serve"],
)


def shipped() -> set[str]:
    """Return the files of the package that are kept by git, or without git those that lie there."""
    order = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "."]
    try:
        listed = subprocess.run(order, cwd=SOURCE, capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        found = (path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        listed = [path.relative_to(SOURCE).as_posix() for path in found]
    return {name for name in listed if (SOURCE / name).is_file()}


def test_every_file_that_is_no_python_is_named_as_part_of_the_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["pocketvision"]
    named = {path.relative_to(SOURCE).as_posix() for pattern in patterns for path in SOURCE.glob(pattern)}
    data = {name for name in shipped() if not name.endswith(".py")}
    assert "models/anatomy.jsonl" in data
    assert sorted(data - named) == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, since building leaves folders behind."""
    room = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, room / name)
    shutil.copytree(ROOT / "src", room / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", room / "built", room)
    return next((room / "built").glob("pocketvision-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with the wheel, and the packages that it needs, but not the sources."""
    room = tmp_path_factory.mktemp("environment")
    venv.create(room, symlinks=os.name != "nt")
    scripts = "Scripts" if os.name == "nt" else "bin"
    python = room / scripts / Path(sys.executable).name
    pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    site = next(path.parent for path in room.rglob("pocketvision") if path.parent.name == "site-packages")
    # Files *.pth of a folder that is named this way are not read, and so neither is that of the sources.
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "needed.pth").write_text("\n".join(sorted(paths)), encoding="utf-8")
    return python


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with images and with files that must never be run."""
    room = tmp_path_factory.mktemp("place")
    dice = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (room / "photos" / label).mkdir(parents=True)
        for number in range(15):
            pixels = dice.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(room / "photos" / label / f"{number}.png")
    (room / "pocketvision").mkdir()
    for trap in ("random.py", "onnx.py", "numpy.py", "types.py", "sitecustomize.py", "pocketvision/__init__.py"):
        (room / trap).write_text(f"open({str(room / 'trap')!r}, 'a').write(__file__)", encoding="utf-8")
    yield room
    assert not (room / "trap").exists(), (room / "trap").read_text(encoding="utf-8")


def pip(*words: str | Path) -> None:
    order = [sys.executable, "-P", "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, words)]
    subprocess.run(order, check=True, env=clean())


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def by_wheel(order: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(order, cwd=place, env=clean(), capture_output=True, encoding="utf-8", check=False)


ONLY_IN_FULL = pytest.mark.skipif(
    not os.environ.get("POCKETVISION_ALL_EXTRAS"), reason="builds and installs a wheel; `make test-all` does"
)


@pytest.mark.slow
@ONLY_IN_FULL
def test_the_wheel_holds_what_the_sources_hold(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name.removeprefix("pocketvision/") for name in archive.namelist() if name.startswith("pocketvision/")}
    assert sorted(shipped() - held) == []
    assert [name for name in held - shipped() if not name.startswith("serve/page/")] == []
    assert ("serve/page/index.html" in held) == PAGE.is_file()


@pytest.mark.slow
@ONLY_IN_FULL
def test_every_verb_of_the_wheel_works_far_from_the_sources(installed: Path, place: Path) -> None:
    assert {words[0] for words in COMMANDS} == {*VERBS, *GROUPS}
    where = "import json, pocketvision, sys; print(json.dumps([pocketvision.__file__, sys.path]))"
    found, searched = json.loads(by_wheel([str(installed), "-P", "-c", where], place).stdout)
    assert Path(found).is_relative_to(installed.parents[1])
    assert not any(Path(folder) == SOURCE.parent for folder in searched)
    for words in COMMANDS:
        done = by_wheel([str(installed.with_name("pocketvision")), *words], place)
        assert "Traceback" not in done.stderr
        if words[0] == "demo" and not PAGE.is_file():
            assert (done.returncode, "the page is not built" in done.stderr) == (1, True)
        else:
            assert done.returncode == 0, f"{words}: {done.stderr}"
