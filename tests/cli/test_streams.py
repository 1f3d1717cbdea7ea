"""Any terminal: letters that it lacks, streams that are closed, readers that go away, disks that are full."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

LABELS = ("猫 🐱", "grün")
TINY = ["--model", "mobilenet_v1", "--width", "0.125", "--resolution", "32", "--epochs", "1", "--weights", "none"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "тест 写真"
    dice = np.random.default_rng(0)
    for label in LABELS:
        (root / label).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(dice.integers(0, 256, (32, 32, 3), np.uint8)).save(root / label / f"{number}.png")
    return root


def told(*words: str | Path, folder: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    order = [sys.executable, "-P", "-m", "pocketvision", *map(str, words)]
    return subprocess.run(order, cwd=folder, env={**os.environ, **variables}, capture_output=True, check=False)


def shell(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    order = text.replace("pocketvision", f"'{sys.executable}' -P -m pocketvision")
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {order}"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("variables", "encoding", "shown"),
    [
        ({"PYTHONIOENCODING": "cp1252"}, "cp1252", ("\\u732b \\U0001f431", "grün")),
        ({"PYTHONIOENCODING": "ascii:strict"}, "ascii", ("\\u732b \\U0001f431", "gr\\xfcn")),
        ({"PYTHONIOENCODING": "", "LC_ALL": "C"}, "utf-8", LABELS),
    ],
)
def test_every_terminal_is_told_of_every_name(
    variables: dict[str, str], encoding: str, shown: tuple[str, ...], photos: Path
) -> None:
    done = told("check", photos, folder=photos, **variables)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
    text = done.stdout.decode(encoding)
    assert [label for label in shown if label not in text] == []
    found = json.loads(told("check", photos, "--json", folder=photos, **variables).stdout.decode(encoding))
    assert sorted(found["labels"]) == sorted(LABELS)


@pytest.mark.slow
def test_fit_is_whole_on_a_terminal_without_the_letters(photos: Path, tmp_path: Path) -> None:
    done = told("fit", photos, *TINY, "--device", "cpu", "--json", folder=tmp_path, PYTHONIOENCODING="cp1252")
    assert done.returncode == 0, done.stderr.decode("cp1252")
    found = json.loads(done.stdout.decode("cp1252"))
    run = tmp_path / found["run"]
    assert sorted(run.joinpath("labels.txt").read_text(encoding="utf-8").splitlines()) == sorted(LABELS)
    assert "猫 🐱" in run.joinpath("report.html").read_text(encoding="utf-8")
    file = tmp_path / found["artefact"]
    answers = told("predict", file, photos / LABELS[0], folder=tmp_path, PYTHONIOENCODING="cp1252")
    assert answers.returncode == 0, answers.stderr
    gone = shell(f"pocketvision verify '{file}' '{photos}' --min-accuracy 100% 2>&1 | head -n 1", tmp_path)
    assert gone.returncode in (0, 3)
    assert "Traceback" not in gone.stdout + gone.stderr


@pytest.mark.parametrize(
    ("text", "code", "out", "error"),
    [
        ("pocketvision models | head -n 1", 0, "net ", ""),
        ("pocketvision cost mobilenet_v2 --layers 2>&1 | true", 0, "", ""),
        ("pocketvision models >&-", 0, "", ""),
        ("pocketvision models nonsense >&- 2>&- <&-", 2, "", ""),
        ("pocketvision models nonsense 2>/dev/full", 2, "", ""),
        ("pocketvision models nonsense 2>&1 | true", 2, "", ""),
    ],
)
def test_a_reader_that_goes_away_changes_no_exit_code(
    text: str, code: int, out: str, error: str, tmp_path: Path
) -> None:
    done = shell(text, tmp_path)
    assert (done.returncode, done.stdout[: len(out)], done.stderr) == (code, out, error)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_results_that_a_full_disk_does_not_take_are_an_error(tmp_path: Path) -> None:
    done = shell("pocketvision models >/dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: the disk is full (stdout); free some room and run the same command again\n"


def test_a_closed_stderr_gives_its_number_to_no_file(tmp_path: Path) -> None:
    code = "from pocketvision.cli.streams import prepare; prepare(); print(open('a', 'w').fileno())"
    order = f"'{sys.executable}' -P -c \"{code}\" 2>&- <&-"
    done = subprocess.run(["bash", "-c", order], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert int(done.stdout) > 2
