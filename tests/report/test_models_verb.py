"""The catalogue as people see it: filters, order, files, drawings, and all of it without torch and within a second."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import pocketvision
from pocketvision.errors import UnknownName, UsageError
from pocketvision.models.catalogue import families, names
from pocketvision.models.figures import Anatomy, Step, anatomy, figures
from pocketvision.report.block import draw_block


def run(*arguments: str) -> str:
    command = [sys.executable, "-m", "pocketvision", "models", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_plain_list_has_a_line_a_net_in_order_of_cost() -> None:
    lines = pocketvision.models()
    assert sorted(line.name for line in lines) == list(names())
    assert [line.macs for line in lines] == sorted(line.macs for line in lines)
    assert all(line.idea and 3 <= len(line.idea.split()) <= 8 and line.year >= 2012 for line in lines)


def test_every_shipped_figure_is_listed() -> None:
    assert len(pocketvision.models(every=True)) == len(figures())


def test_limits_hold_and_are_not_empty() -> None:
    lines = pocketvision.models(
        max_macs="50M", max_params="1M", max_size="900KB", max_memory="400KB", min_accuracy="0.5"
    )
    assert lines
    for line in lines:
        assert line.macs <= 50e6
        assert line.params <= 1e6
        assert line.int8_bytes <= 900e3
        assert line.peak_bytes_int8 <= 400e3
        assert line.top1 is not None
        assert line.top1 >= 50
    fewer = pocketvision.models(max_macs="20M", max_params="1M", min_accuracy="0.4")
    assert {line.name for line in fewer} < {line.name for line in pocketvision.models(max_macs="20M")}


def test_one_net_is_listed_with_all_its_settings() -> None:
    lines = pocketvision.models("mobilenetv2_050")
    assert {line.name for line in lines} == {"mobilenet_v2"}
    grid = {(line.width, line.resolution) for line in lines}
    assert {(1.0, 224), (0.35, 96), (1.4, 224)} <= grid


@pytest.mark.parametrize("sort", ["top1", "params", "macs", "size", "memory", "year", "name"])
def test_orders(sort: str) -> None:
    values = {
        "top1": lambda line: -(line.top1 or 0) if line.data == "ImageNet" else 0,
        "params": lambda line: line.params,
        "macs": lambda line: line.macs,
        "size": lambda line: line.int8_bytes,
        "memory": lambda line: line.peak_bytes_int8,
        "year": lambda line: line.year,
        "name": lambda line: line.name,
    }
    lines = pocketvision.models(every=True, sort=sort)  # type: ignore[arg-type]
    keys = [values[sort](line) for line in lines]
    assert keys == sorted(keys)


def test_what_is_unknown_or_impossible_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="mobilenet_v2"):
        pocketvision.models("mobilenet_v9")
    with pytest.raises(UsageError, match="loosen"):
        pocketvision.models(max_params="10")
    with pytest.raises(UsageError, match="Known: macs"):
        pocketvision.models(sort="beauty")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"\.svg"):
        pocketvision.models(plot=tmp_path / "plot.gif")
    assert not list(tmp_path.iterdir())


def test_json_and_csv_say_the_same() -> None:
    whole = json.loads(run("--json", "--max-macs", "30M"))
    rows = list(csv.DictReader(io.StringIO(run("--csv", "--max-macs", "30M"))))
    assert [row["name"] for row in rows] == [line["name"] for line in whole]
    assert [int(row["macs"]) for row in rows] == [line["macs"] for line in whole]


def test_neither_torch_nor_numpy_is_needed_to_list() -> None:
    code = (
        "import sys, pocketvision; pocketvision.models(every=True); pocketvision.models('resnet50');"
        "assert 'torch' not in sys.modules, 'torch was loaded'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_net_shows_its_layers_and_block() -> None:
    text = run("mobilenet_v2")
    assert "inverted residuals" in text
    assert "conv dw 3x3, 960, relu6" in text
    assert "add" in text
    assert text.count("conv dw 3x3") >= 17
    assert "1801.04381" in text or "slim" in text


def test_plots(tmp_path: Path) -> None:
    page, vector, pixels = (tmp_path / name for name in ("p.html", "p.svg", "p.png"))
    for path in (page, vector, pixels):
        pocketvision.models(every=True, plot=path)
    text = page.read_text(encoding="utf-8")
    assert "Plotly.newPlot" in text
    assert 'src="http' not in text
    assert vector.read_text(encoding="utf-8").count("<title>") > 100
    assert "mobilenet_v1 0.25 @ 128px" in vector.read_text(encoding="utf-8")
    with Image.open(pixels) as image:
        assert image.size == (2400, 1520)
        assert len(image.getcolors(1 << 20) or []) > 20


def test_a_block_with_nested_branches_is_drawn() -> None:
    steps = (Step("a", (-1,)), Step("pool", (0,)), Step("gate", (1,)), Step("mul", (0, 2)), Step("add", (-1, 3)))
    drawn = draw_block(Anatomy("x", (), "Block", (8, 4, 4), steps))
    assert [line.strip(" │┌┐└┘─┬┴┼") for line in drawn.splitlines() if line.strip(" │┌┐└┘─┬┴┼")] == [
        "input 8 x 4 x 4",
        "a",
        "pool",
        "gate",
        "mul",
        "add",
    ]
    assert drawn.count("┌") == drawn.count("└") == 2


@pytest.mark.parametrize("name", sorted({family.names[0] for family in families().values()}))
def test_every_family_has_a_drawing(name: str) -> None:
    shape = anatomy(name)
    drawn = draw_block(shape)
    assert all(step.label in drawn for step in shape.block)
    assert max(map(len, drawn.splitlines())) <= 150
