"""What is named is what is meant: the user's files in the way, names that lead elsewhere, words for data."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pocketvision
from pocketvision import weights
from pocketvision.cli.app import run
from pocketvision.data.digits import digits_folder
from pocketvision.errors import UsageError
from pocketvision.verbs.bench import bench

TINY = ["--model", "mobilenet_v1", "--width", "0.125", "--resolution", "32", "--epochs", "1", "--weights", "none"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a folder of images named `digits`, a run on it, and an exported file."""
    root = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    for number in range(24):
        path = root / "digits" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
    assert run(["train", str(root / "digits"), *TINY, "--output", str(root), "--name", "one"]) == 0
    assert run(["export", str(root / "train/one"), "--output", str(root / "out/export")]) == 0
    return root


@pytest.mark.parametrize("images", [True, False])
def test_verify_leaves_a_file_of_the_users_alone(
    images: bool, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "verify.json").write_text('{"file": "mine"}')
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    words = ["verify", str(place / "out/export/model.onnx"), *([str(place / "digits")] if images else [])]
    assert run([*words, "--output", str(tmp_path)]) == 2
    assert "verify.json exists and was not written by pocketvision" in capsys.readouterr().err
    assert (tmp_path / "verify.json").read_text() == '{"file": "mine"}'
    for _ in range(2):  # its own is known
        assert run([*words, "--output", str(tmp_path / "other")]) == 0


@pytest.mark.parametrize("name", ["../mine", "a/b", "a\\b", "CON", "nul.v2", "a.", "", "x" * 201])
def test_a_name_leads_nowhere_else(name: str, place: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_text("mine")
    with pytest.raises(UsageError, match=r"--name .* file's name"):
        pocketvision.export(place / "train/one", output=tmp_path / "out", name=name)
    with pytest.raises(UsageError, match=r"--name .* file's name"):
        weights.add(place / "train/one/weights/best.safetensors", name=name)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.onnx"]


def test_what_a_format_writes_beside_its_file_is_not_written_over(place: Path, tmp_path: Path) -> None:
    (tmp_path / "model.h").write_text("mine")
    words = ["export", str(place / "train/one"), "--format", "c", "--precision", "int8", "--output"]
    assert run([*words, str(tmp_path)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["model.h"]
    assert [run([*words, str(tmp_path / "new")]) for _ in range(2)] == [0, 0]


@pytest.mark.parametrize("words", [["export", "--precision", "int8"], ["compress"]])
def test_the_word_digits_is_understood_behind_a_file(
    words: list[str],
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    verb, *more = words
    assert run([verb, str(place / "train/one"), "digits", *more]) == 2
    assert f"is in {digits_folder()}" in capsys.readouterr().err
    monkeypatch.chdir(place)
    assert run([verb, str(place / "train/one"), "digits", *more]) == 0


def test_a_folder_in_a_files_place_is_called_so(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("bench", "predict"):
        more = [str(place / "digits")] if verb == "predict" else []
        assert run([verb, str(place / "out"), *more]) == 2
        assert f"name the file in it: {place / 'out/export/model.onnx'}" in capsys.readouterr().err
        assert run([verb, str(tmp_path), *more]) == 2
        assert "is a folder; name a model file" in capsys.readouterr().err
    assert run(["report", str(tmp_path)]) == 2
    assert "is no run" in capsys.readouterr().err
    assert run(["report", str(place / "train/one")]) == 2
    assert "name a run of `fit`" in capsys.readouterr().err


def test_one_file_needs_no_list(place: Path) -> None:
    file = place / "out/export/model.onnx"
    assert [found.file for found in (*bench(file), *bench(str(file)))] == [file.as_posix()] * 2


@pytest.mark.parametrize(
    "words",
    [
        ["train", "", *TINY],
        ["check", "base", "--output", ""],
        ["export", "one", "--output="],
        ["verify", "one.onnx", "base", "--trained="],
    ],
)
def test_a_variable_without_a_value_is_not_the_current_folder(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    assert "an empty word was given" in capsys.readouterr().err
    with pytest.raises(UsageError, match="empty word"):
        pocketvision.train("", output=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_of_outputs_is_said_without_another_programs_advice(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, images = place / "out/export/model.onnx", place / "digits"
    for trained, said in (
        (file, "is no file of trained outputs (it is no archive of plain arrays); give"),
        (images, "there is no file"),
    ):
        assert run(["verify", str(file), str(images), "--trained", str(trained)]) == 1
        told = capsys.readouterr().err
        assert said in told
        assert "pickle" not in told
