"""The benchmark that writes the tables of docs/measurements/formats.md: it runs, and can put them there."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "formats.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("formats_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_tables_go_between_the_marks_of_the_page(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _, after = script.PAGE.read_text(encoding="utf-8").partition(script.BEGIN)
    page = tmp_path / "formats.md"
    page.write_text(script.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(script, "PAGE", page)
    for text in ("a table", "another"):
        script.put(text)
    written = page.read_text(encoding="utf-8")
    assert written == f"{before}{script.BEGIN}\n\nanother\n{script.END}{after.partition(script.END)[2]}"


@pytest.mark.slow
def test_each_format_gets_a_row_with_what_can_be_known_of_it(
    script: ModuleType,
    shared_weights: Path,
    shared_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("tflite", reason="the published weights are read with the package tflite")
    options = ["--nets", "V1 0.25", "--count", "8", "--formats", "c", "litert", "onnx", "--precisions", "int8"]
    folders = ["--weights", str(shared_weights), "--images", str(shared_data / "imagenet-sample")]
    monkeypatch.setenv("POCKETVISION_CACHE", "")  # set by the script, and set back after the test
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *options, *folders])
    script.main()
    rows = [cells(line) for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    head, array, *others = rows
    assert {len(row) for row in rows} == {len(head)}
    assert [row[:2] for row in rows[1:]] == [["c", "int8"], ["litert", "int8"], ["onnx", "int8"]]
    assert array[3:] == [""] * (len(head) - 3)
    sizes = [int(row[2].replace(",", "")) for row in rows[1:]]
    assert 500_000 < sizes[0] < min(sizes[1:])
    for row in others:
        assert all(row), "nothing of it is unknown here"
        assert float(row[3].rstrip("%")) >= 75
        assert not [cell for cell in row if "**" in cell], "it answers as the float net"
