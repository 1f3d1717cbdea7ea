"""What the operating system refuses is said in words: the right path, and an option that the verb has."""

import errno
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pocketvision
from pocketvision import files
from pocketvision.cli.app import _options, run
from pocketvision.cli.trouble import sentence
from pocketvision.data.digits import resolve
from pocketvision.errors import DataError, UsageError
from pocketvision.files import WriteError
from pocketvision.runs import name_for, open_run

TINY = ["--model", "mobilenet_v1", "--width", "0.125", "--resolution", "32", "--epochs", "1", "--weights", "none"]


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    dice = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "base" / label).mkdir(parents=True)
        for number in range(12):
            pixels = dice.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "base" / label / f"{number}.png")
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    (tmp_path / "circle").symlink_to("circle")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "base", "--output", "file", *TINY], "file is no folder; choose another place with --output"),
        (["fit", "base", "--output=file/a/b", *TINY], "file is no folder; choose another place with --output"),
        (["check", "base", "--output", "file"], "file is no folder; choose another place with --output"),
        (
            ["fit", "base", "--output", "circle", *TINY],
            "circle/fit/base is a link that leads in a circle; choose anoth",
        ),
        (["check", "base", "--output", "x" * 300], "a name is too long for this disk: xxx"),
        (["check", "x" * 300], "a name is too long for this disk: xxx"),
        (["bench", "folder.onnx"], "folder.onnx is a folder, not a file"),
        (["predict", "folder.onnx", "base/cat/0.png"], "folder.onnx is a folder, not a file"),
        (["check", "base", "--output", "/proc/none"], "/proc/none cannot be made; choose another place with --output"),
        (["check", "~nobody-has-this-name/x"], "the folder '~nobody-has-this-name/x' does not exist"),
    ],
)
def test_a_sentence_for_what_is_in_the_way(
    words: list[str], message: str, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (base / "folder.onnx").mkdir()
    assert run(words) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"error: {message}")
    assert (base / "file").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("verb", ["fit", "check", "predict", "bench"])
def test_only_options_of_the_verb_are_offered(verb: str) -> None:
    options = _options([verb, "x"])
    silent = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
    for code in errno.errorcode:
        for error in (OSError(code, "why", "a/b"), WriteError(code, "why", "a/b"), OSError(code, "why")):
            text = sentence(error, [verb, "x"], options)
            assert set(re.findall(r"--[a-z-]+", text)) <= options
            assert "None" not in text
            assert "{" not in text
            assert "a/b" in text or not error.filename or code in silent


def test_a_write_that_fails_names_the_file_that_was_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(tmp_path / "runs", "fit", "x", settings={})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"summary\.json") as caught:
        files.write_text(tmp_path / "summary.json", "{}")
    assert (caught.value.errno, list(tmp_path.glob("*.json*"))) == (errno.ENOSPC, [])
    assert run.is_dir()
    assert "with --resume" in sentence(caught.value, ["fit", "x"], {"--output", "--resume"})
    assert "--resume" not in sentence(caught.value, ["check", "x"], {"--output"})


def test_functions_raise_an_error_that_names_the_path(base: Path) -> None:
    with pytest.raises(OSError, match="file/train/base"):
        pocketvision.train("base", output="file", model="mobilenet_v1", resolution=32, epochs=1)
    with pytest.raises(UsageError, match="longer than a folder's name"):
        pocketvision.train("base", name="x" * 300)


# ---------------------------------------------------------------- homes, caches, places that are gone


def test_without_a_home_folder_the_cache_is_done_without_or_asked_for(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("POCKETVISION_CACHE")
    monkeypatch.setattr(os.path, "expanduser", str)  # as where HOME is unset and the user is not in the system's list
    assert run(["check", "base"]) == 0
    assert not (base / "~").exists()
    capsys.readouterr()
    assert run(["check", "digits"]) == 1
    assert "there is no home folder for the cache; set the environment's POCKETVISION_CACHE" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_is_done_without_or_named(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POCKETVISION_CACHE", "file/cache")
    assert run(["check", "base"]) == 0
    capsys.readouterr()
    assert run(["check", "digits"]) == 1
    assert "error: file is no folder; set the environment's POCKETVISION_CACHE" in capsys.readouterr().err


def test_no_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere"])
    with pytest.raises(FileNotFoundError) as caught:
        tempfile.mkdtemp()
    assert "TMPDIR" in sentence(caught.value, ["export"], {"--output"})


@pytest.mark.parametrize("words", [["check", "base"], ["check", "/nowhere"], ["models"]])
def test_a_working_folder_that_is_gone_is_told(words: list[str], tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os, sys; from pocketvision.cli.app import run; os.rmdir(os.getcwd()); sys.exit(run({words!r}))"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=gone, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "error: the folder that you work in is gone; change into one that exists\n",
    )


# ---------------------------------------------------------------- names


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no name that is not Unicode")
def test_names_that_are_no_unicode_are_told(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = os.fsdecode(b"caf\xe9")
    (base / "base").rename(base / odd)
    for words in (
        ["check", odd],
        ["fit", odd, *TINY],
        ["train", odd, *TINY],
        ["fit", "digits", *TINY, "--output", odd],
    ):
        assert run(words) in (1, 2)
        assert "caf?" in capsys.readouterr().err
    with pytest.raises(DataError, match="not valid Unicode"):
        resolve(odd)
    with pytest.raises(DataError, match=r"a\.json cannot hold .*caf\?"):
        files.write_text(base / "a.json", f"one {odd} two")
    assert not (base / "a.json").exists()


@pytest.mark.parametrize(
    "name", ["CON", "nul", "aux.txt", "Com1.a.b", "lpt9 .x", "a.", "a ", "..", "a:b", "a\\b", "\udce9"]
)
def test_names_that_some_system_does_not_take_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be a folder's name"):
        open_run(tmp_path, "fit", name, settings={})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "name"),
    [("aux", "run-aux"), ("NUL.txt", "run-NUL.txt"), ("console", "console"), ("com10", "com10"), ("con.", "run-con")],
)
def test_a_run_of_data_with_such_a_name_gets_another(data: str, name: str, tmp_path: Path) -> None:
    assert name_for(data) == name
    assert open_run(tmp_path, "fit", name_for(data), settings={}).name == name
