"""The command line as people meet it: words, codes, streams."""

import json
from pathlib import Path

import pytest

from pocketvision.cli.app import run
from pocketvision.cli.terminal import Terminal
from pocketvision.progress import track


def test_cost_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cost", "mobilenet_v2", "--width", "0.35", "--resolution", "96", "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    wanted = {"name": "mobilenet_v2", "width": 0.35, "resolution": 96, "num_classes": 1000}
    assert {key: found[key] for key in wanted} == wanted
    assert (found["params"], found["macs"]) == (1_677_128, 11_934_128)
    assert found["weight_bytes"] > 4 * found["weight_bytes_int8"] * 0.9
    assert found["peak_activation_bytes"] == 4 * found["peak_activation_bytes_int8"]


def test_cost_as_a_table_names_multiply_adds(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cost", "squeezenet1_1"]) == 0
    printed = capsys.readouterr().out
    assert "349,151,936" in printed
    assert "multiply-adds (MACs)" in printed


def test_models_lists_published_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "mobilenet_v1", "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert {line["name"] for line in lines} == {"mobilenet_v1"}
    assert any(line["source"] for line in lines)
    assert run(["models"]) == 0
    assert "squeezenet1_1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["cost", "mobilnet_v2"], 2, "Did you mean 'mobilenet_v2'?"),
        (["fit", "/nowhere/at/all"], 1, "does not exist"),
        (["fit", "digits", "--max-size", "2XB"], 2, "write 500KB"),
        (["fit", "digits", "--weights", "/nowhere.tflite"], 1, "no weights file"),
        (["predict", "/nowhere.onnx", "/nowhere.jpg"], 1, "nowhere"),
        (["verify", "/nowhere.onnx", "digits"], 1, "no file"),
        (["export", "/nowhere"], 2, "no finished training"),
        (["report", "/nowhere"], 2, "nowhere"),
        (["bench", "/nowhere.onnx"], 1, "no file"),
        (["nonsense"], 2, "No such command"),
        (["cost", "--widt", "1"], 2, "No such option"),
    ],
)
def test_errors_say_what_to_do(
    words: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(words) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert told in printed.err
    assert "Traceback" not in printed.err
    assert not (tmp_path / "runs").exists()


def test_check_lists_classes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "digits", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["labels"] == [str(digit) for digit in range(10)]
    assert sum(sum(row.values()) for row in found["counts"].values()) == 1797


def test_bars_leave_their_last_word_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    with terminal.bar("training", 3) as bar:
        for step in range(3):
            bar.advance(note=f"loss {step}")
    list(track(range(3), terminal, "short", 3))
    printed = capsys.readouterr()
    assert "loss 2" in printed.err
    assert "short" not in printed.err
    assert printed.out == ""
