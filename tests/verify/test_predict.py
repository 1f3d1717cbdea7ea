"""`predict`: images and folders to labels; one broken image stops nothing."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketvision.cli.app import run
from pocketvision.data.layout import scan
from pocketvision.errors import DataError, UsageError
from pocketvision.export.unlabeled import load_images
from pocketvision.progress import Silent
from pocketvision.runtime import open as open_model
from pocketvision.verbs.predict import predict
from pocketvision.verify.inference import ask
from pocketvision.verify.predict import expand


def test_labels_and_their_order(toy: Any) -> None:
    answered = predict(toy.file, [toy.data / "red" / "3.png", str(toy.data / "green" / "5.png")])
    assert [answer.label for answer in answered] == ["red", "green"]
    for answer in answered:
        assert answer.error is None
        assert answer.top[0] == (answer.label, answer.probability)
        assert len(answer.top) == 3
        assert sum(share for _, share in answer.top) == pytest.approx(1, abs=1e-5)
        assert sorted((share for _, share in answer.top), reverse=True) == [share for _, share in answer.top]
    assert len(predict(toy.file, [toy.data / "red" / "3.png"], top=2)[0].top) == 2


def test_a_folder_is_expanded_in_natural_order(toy: Any) -> None:
    files = [Path(answer.file).name for answer in predict(toy.file, toy.data / "blue")]
    assert files == [f"{number}.png" for number in range(24)]


def test_a_broken_image_gets_its_error(toy: Any, tmp_path: Path) -> None:
    good = (toy.data / "red" / "1.png").read_bytes()
    for name, content in (("1.png", good), ("2.png", good[:60]), ("3.jpg", b"no image"), ("4.png", good)):
        (tmp_path / name).write_bytes(content)
    answered = predict(toy.file, [tmp_path])
    assert [answer.label for answer in answered] == ["red", "", "", "red"]
    assert [answer.error is None for answer in answered] == [True, False, False, True]
    assert answered[1].top == ()


def test_wrong_requests(toy: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file or folder"):
        predict(toy.file, [toy.data / "red" / "1.png", tmp_path / "absent.png"])
    with pytest.raises(DataError, match="holds no image"):
        predict(toy.file, [tmp_path])
    with pytest.raises(UsageError, match="--top takes a whole number of labels from 1"):
        predict(toy.file, [toy.data], top=0)


def test_other_files_in_a_folder_are_passed_over(tmp_path: Path) -> None:
    for name in ("a10.PNG", "a2.jpg", "notes.txt", ".a1.png"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in expand([tmp_path])] == ["a2.jpg", "a10.PNG"]


def test_every_verb_finds_the_same_images(toy: Any, tmp_path: Path) -> None:
    content = (toy.data / "red" / "1.png").read_bytes()
    for label in ("red", "blue"):
        for name in ("1.png", "2", "x/3.PNG", "__MACOSX/4.png", "x/.5.png", "@eaDir/6.png", "notes.txt", ".x/7.png"):
            path = tmp_path / "data" / label / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"a text" if name == "notes.txt" else content)
    (tmp_path / "data/red/circle").symlink_to(tmp_path / "data")
    (tmp_path / "data/red/gone.jpg").symlink_to(tmp_path / "nowhere")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "data/red/pipe.png")
    checked = {found.file for found in scan(tmp_path / "data").found}
    assert {file for file in checked if "circle" not in file} == {
        "blue/1.png",
        "blue/2",
        "blue/x/3.PNG",
        "red/1.png",
        "red/2",
        "red/gone.jpg",
        "red/x/3.PNG",
    }
    predicted = {path.relative_to(tmp_path / "data").as_posix() for path in expand([tmp_path / "data"])}
    assert {file for file in predicted if "circle" not in file} == {file for file in checked if "circle" not in file}
    loose = load_images(tmp_path / "data/blue", {}, Silent())
    assert {example.file for example in loose.examples} <= {"1.png", "2"}
    answered = {Path(answer.file).name: answer for answer in predict(toy.file, tmp_path / "data/blue")}
    assert {name: answer.label for name, answer in answered.items()} == dict.fromkeys(("1.png", "2", "3.PNG"), "red")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names that are no Unicode")
def test_a_name_that_is_no_unicode_can_be_printed(toy: Any, tmp_path: Path) -> None:
    for name in (b"\xff.png", b"\xfe.jpg"):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        path.write_bytes((toy.data / "red" / "1.png").read_bytes() if name == b"\xff.png" else b"")
    assert [(Path(a.file).name, a.label) for a in predict(toy.file, tmp_path)] == [("?.jpg", ""), ("?.png", "red")]


def test_a_image_gets_the_same_answer_alone_as_in_a_batch(toy: Any) -> None:
    runner = open_model(toy.file)
    examples = toy.dataset.of("test")
    alone = ask(runner, toy.data, examples, batch=1)
    together = ask(runner, toy.data, examples)
    assert len(examples) > 1
    assert alone.told() == together.told()
    assert abs(alone.probabilities - together.probabilities).max() < 1e-5


def test_no_answer_at_all_is_an_error_with_its_reason(toy: Any, tmp_path: Path, capsys: Any) -> None:
    broken, empty = tmp_path / "broken.png", tmp_path / "empty.jpg"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    empty.write_bytes(b"")
    for words in ([str(tmp_path)], [str(broken), str(empty)], [str(broken), str(empty), "--json"]):
        assert run(["predict", str(toy.file), *words]) == 1
        shown = capsys.readouterr()
        assert "none of 2 images could be answered" in shown.err
        assert "broken.png" in shown.out
    answers = json.loads(shown.out)
    assert [(answer["sure"], answer["label"]) for answer in answers] == [(False, ""), (False, "")]
    assert not any(answer.sure for answer in predict(toy.file, [broken, empty]))


def test_some_answers_are_a_success(toy: Any, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    assert run(["predict", str(toy.file), str(tmp_path), str(toy.data / "red" / "1.png"), "--json"]) == 0
    assert [answer["sure"] for answer in json.loads(capsys.readouterr().out)] == [False, True]


def test_a_file_that_answers_nan_has_no_answer(toy: Any, tmp_path: Path, capsys: Any) -> None:
    broken = toy.deliver(tmp_path, graph=toy.with_linear(np.full((3, 3), np.nan, np.float32)))
    assert run(["predict", str(broken), str(toy.data / "red"), "--json"]) == 1
    shown = capsys.readouterr()
    assert "the model file answers NaN" in shown.err
    assert {answer["sure"] for answer in json.loads(shown.out)} == {False}


def test_a_name_that_would_steer_the_terminal_is_spelled_out(
    toy: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "a\n\x1b[31mb.png"
    odd.write_bytes(next(toy.data.rglob("*.png")).read_bytes())
    assert run(["predict", str(toy.file), str(odd)]) == 0
    _, line = capsys.readouterr().out.splitlines()
    assert r"a\n\x1b[31mb.png " in line
