"""What `pocketvision cost` prints, to the letter; `WRITE_GOLDEN=1 pytest tests/cost` accepts what has changed."""

import os
from pathlib import Path

import pytest

from pocketvision.cli.app import run

GOLDEN = Path(__file__).parent / "golden"
COMMANDS = {
    "mobilenet_v1_0.25_128": "cost mobilenet_v1_0.25_128 --layers",
    "shufflenet_v1_g8": "cost shufflenet_v1 --groups 8 --num-classes 10",
    "effnet": "cost effnet --num-classes 10",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(COMMANDS[name].split()) == 0
    printed, file = capsys.readouterr().out, GOLDEN / f"{name}.txt"
    if os.environ.get("WRITE_GOLDEN"):
        file.write_text(printed, encoding="utf-8")
    assert printed == file.read_text(encoding="utf-8")
