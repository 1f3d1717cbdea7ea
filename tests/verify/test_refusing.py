"""Refusing as users meet it: what `predict` answers, what `verify` measures, and how both say it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pocketvision.cli.app import run
from pocketvision.metrics.accuracy import wilson
from pocketvision.values import Refusal
from pocketvision.verbs.predict import predict
from pocketvision.verbs.verify import verify
from pocketvision.verify.outcome import confidence_line, refusal_line


@pytest.fixture
def careful(toy: Any, tmp_path: Path) -> Path:
    """The toy's file, made to refuse what is not clearly one color."""
    return toy.deliver(tmp_path, manifest=replace(toy.manifest, abstain_below=0.6))


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    path = tmp_path / "grey.png"
    Image.new("RGB", (20, 20), (130, 110, 100)).save(path)
    return path


def test_a_stranger_is_not_named(careful: Path, grey: Path, toy: Any) -> None:
    unsure, sure = predict(careful, [grey, toy.data / "red" / "1.png"])
    assert not unsure.sure
    assert unsure.error is None
    assert unsure.probability < 0.6
    assert unsure.label == unsure.top[0][0]
    first, second = unsure.top[:2]
    assert str(unsure) == f"not sure: {first[0]} {first[1]:.0%}, {second[0]} {second[1]:.0%}"
    assert sure.sure
    assert str(sure) == "red"


def test_a_file_without_a_threshold_always_answers(toy: Any, grey: Path) -> None:
    assert all(answer.sure for answer in predict(toy.file, [grey]))


def test_one_guess_is_enough_for_a_refusal(careful: Path, grey: Path) -> None:
    (answer,) = predict(careful, grey, top=1)
    assert str(answer).startswith("not sure: ")
    assert "," not in str(answer)


def test_the_command_says_not_sure(careful: Path, grey: Path, capsys: Any) -> None:
    assert run(["predict", str(careful), str(grey)]) == 0
    assert "not sure: " in capsys.readouterr().out
    assert run(["predict", str(careful), str(grey), "--json"]) == 0
    assert '"sure": false' in capsys.readouterr().out


def test_a_broken_image_says_its_error(careful: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    (answer,) = predict(careful, tmp_path / "bad.png")
    assert str(answer) == answer.error


def test_verify_measures_trust_and_refusal(careful: Path, toy: Any) -> None:
    proof = verify(careful, toy.data)
    assert proof.confidence is not None
    assert proof.confidence.count == proof.accuracy.count
    assert proof.abstain_below == 0.6
    assert proof.refusal is not None
    kept = sum(answer.probability >= 0.6 for answer in proof.answers)
    assert proof.refusal.coverage.value == kept / len(proof.answers)
    assert verify(toy.file, toy.data).refusal is None


def test_the_lines_of_verify() -> None:
    found = Refusal(wilson(95, 100), wilson(94, 95))
    line = refusal_line(0.62, found)
    assert line.startswith('below 62.0% it says "not sure": 95.0% answered, of those 1.1% wrong (95% interval 0.2% to')
    assert refusal_line(0.62, Refusal(wilson(0, 100), None)).endswith("0.0% answered")
    assert refusal_line(None, None) == "never refuses"


def test_the_line_of_calibration(toy: Any) -> None:
    proof = verify(toy.file, toy.data)
    assert proof.confidence is not None
    assert confidence_line(proof.confidence).startswith(f"calibration error {proof.confidence.ece:.1%} (95% interval ")
