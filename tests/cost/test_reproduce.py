"""The papers' tables, published and computed side by side, and the page of all of them."""

import importlib.util
import json
import shlex
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from pocketvision.cli.app import run
from pocketvision.cost.reproduce import paper_tables, tables_of
from pocketvision.cost.tables.cells import Cell, ReproducedTable, not_computed, number, words
from pocketvision.cost.tables.mobilenet_v2 import prediction_layers
from pocketvision.errors import UnknownName, UsageError
from pocketvision.models.catalogue import families, names
from pocketvision.verbs.reproduce import reproduce

ROOT = Path(__file__).parents[2]
PAPERS = ("mobilenet_v1", "mobilenet_v2", "shufflenet_v1", "squeezenet1_0", "fd_mobilenet", "effnet")


@cache
def table(name: str, number: str) -> ReproducedTable:
    (found,) = reproduce(name, table=number)
    return found


def differing(name: str, number: str) -> set[tuple[str, str]]:
    return {(cell.row, cell.column) for cell in table(name, number).cells if cell.verdict == "differs"}


# The cells of each table that do not hold; every other one does.
EXPECTED = {
    ("mobilenet_v1", "1"): {("layer 26", "type, filter shape, input size")},
    ("mobilenet_v1", "2"): {("Conv 3x3", "mult-adds, %")},
    ("mobilenet_v1", "3"): set(),
    ("mobilenet_v1", "4"): set(),
    ("mobilenet_v1", "5"): set(),
    ("mobilenet_v1", "6"): set(),
    ("mobilenet_v1", "7"): set(),
    ("mobilenet_v1", "8"): {
        ("googlenet: as quoted", "parameters"),
        ("googlenet: as quoted", "multiply-adds"),
        ("vgg16: as quoted", "multiply-adds"),
    },
    ("mobilenet_v1", "9"): {
        ("squeezenet1_0: 1.0 as quoted, 227 px", "multiply-adds"),
        ("alexnet: as quoted", "multiply-adds"),
    },
    ("mobilenet_v2", "2"): set(),
    ("mobilenet_v2", "3"): {
        ("MobileNetV1", "7x7"),
        ("ShuffleNet (2x, g=2)", "112x112"),
        *(("ShuffleNet (2x, g=3)", column) for column in ("112x112", "28x28", "14x14", "7x7", "1x1")),
        *(("ShuffleNet (2x, g=3)", f"max, {version} version") for version in ("first", "last")),
    },
    ("mobilenet_v2", "4"): {
        ("mobilenet_v1: 1.0", "multiply-adds"),
        ("mobilenet_v2: 1.0", "parameters"),
        ("mobilenet_v2: 1.4", "parameters"),
        ("mobilenet_v2: 1.4", "multiply-adds"),
    },
    ("mobilenet_v2", "5"): {("SSDLite", "multiply-adds")},
    ("mobilenet_v2", "6"): set(),
    ("shufflenet_v1", "1"): set(),
    ("shufflenet_v1", "2"): {(f"1x g={g}", "multiply-adds") for g in (1, 3, 4, 8)} | {("0.5x g=8", "multiply-adds")},
    ("shufflenet_v1", "3"): set(),
    ("shufflenet_v1", "4"): {("1x g=8", "multiply-adds")},
    ("shufflenet_v1", "5"): {
        ("shufflenet_v1: 1x g=8", "multiply-adds"),
        ("shufflenet_v1_shallow: 0.5x shallow g=3", "multiply-adds"),
    },
    ("squeezenet1_0", "1"): {("a README: parameters of SqueezeNet", "parameters"), ("often: 33% sparsity", "zeros, %")},
    ("squeezenet1_0", "3"): {("SqueezeNet + Complex Bypass", "MiB, printed as MB")},
    ("fd_mobilenet", "widths"): set(),
    ("fd_mobilenet", "resolutions"): set(),
    ("effnet", "cifar10"): {
        ("effnet_baseline: Baseline, CIFAR-10", "FLOPs"),
        ("effnet: EffNet, CIFAR-10", "FLOPs"),
        ("effnet_shufflenet: ShuffleNet, CIFAR-10", "FLOPs"),
    },
    ("mobilenet_v2", "slim"): set(),
}


@pytest.mark.parametrize(("name", "number"), EXPECTED)
def test_a_table_holds_but_for_its_known_errors(name: str, number: str) -> None:
    assert differing(name, number) == EXPECTED[name, number]
    assert len(table(name, number).cells) >= 3


def test_the_grid_of_tf_slim_holds_but_for_one_width_and_one_cell() -> None:
    wrong = {row.split(" ")[0].removesuffix("_quant,") for row, _ in differing("mobilenet_v1", "slim")}
    assert wrong == {*(f"mobilenet_v1_0.75_{side}" for side in (224, 192, 160, 128)), "mobilenet_v1_0.25_192"}
    assert len(table("mobilenet_v1", "slim").cells) == 2 * 48


def test_every_cell_that_differs_has_a_reason_and_no_other_has() -> None:
    for name in names():
        if not tables_of(name):
            continue
        for found in reproduce(name):
            assert found.cells, found.title
            for cell in found.cells:
                assert (cell.verdict == "holds") == (not cell.reason), (name, found.table, cell)
                assert cell.computed or cell.verdict == "not computed"
                assert cell.published or cell.verdict == "not printed"


def test_a_table_counts_what_holds() -> None:
    found = table("mobilenet_v1", "2")
    assert (found.holding, found.compared) == (7, 8)
    assert (table("shufflenet_v1", "3").holding, table("shufflenet_v1", "3").compared) == (0, 0)


def test_tables_are_found_by_their_file() -> None:
    assert {families()[name].home for name in PAPERS} == {home for home in homes() if paper_tables(home)}
    assert [found.number for found in tables_of("mobilenet_v2")][:5] == ["2", "3", "4", "5", "6"]
    for name in names():
        numbers = [found.number for found in tables_of(name)]
        assert len(numbers) == len(set(numbers)), name


def homes() -> set[str]:
    return {family.home for family in families().values()}


def test_a_table_that_does_not_exist_lists_those_that_do() -> None:
    with pytest.raises(UnknownName, match=r"unknown table '11'.*Known: .*14.*slim"):
        reproduce("mobilenet_v1", table="11")
    with pytest.raises(UnknownName, match="unknown model"):
        reproduce("mobilenet_v9")
    with pytest.raises(UsageError, match="no figures of vgg19 are published here"):
        reproduce("vgg19")


def test_names_of_other_projects_are_understood() -> None:
    assert reproduce("mobilenetv2_100", table="5")[0].name == "mobilenet_v2"


@pytest.mark.parametrize(
    ("printed", "computed", "verdict", "difference"),
    [
        ("4.2M", 4_231_976, "holds", "+0.03M"),
        ("569M", 568_740_352, "holds", "-0.3M"),
        ("569M", 570_000_001, "differs", "+1.0M"),
        ("1.72G", 1_722_679_872, "holds", "+0.003G"),
        ("14208", 14_208, "holds", "0"),
        ("14208", 14_207, "differs", "-1"),
        ("94.86", 94.8573, "holds", "-0.003"),
        ("3563.5k", 3_563_600, "holds", "+0.10k"),
    ],
)
def test_numbers_are_compared_in_their_own_digits(printed: str, computed: float, verdict: str, difference: str) -> None:
    cell = number("row", "column", printed, computed, reason="because")
    assert (cell.verdict, cell.difference) == (verdict, difference)
    assert cell.reason == ("because" if verdict == "differs" else "")


def test_words_have_to_be_equal() -> None:
    assert words("r", "c", "7x7", "7x7", reason="x") == Cell("r", "c", "7x7", "7x7", "", "holds", "")
    assert words("r", "c", "7x7", "14x14", reason="x").verdict == "differs"
    assert not_computed("r", "c", "7", reason="x").computed == ""


def test_prediction_layers_by_hand() -> None:
    assert prediction_layers(separable=False) == (14_770_368, 1_259_068_672)
    heads = 576 * (9 + 3 * 85) + (1280 + 512 + 256 + 256 + 128) * (9 + 6 * 85)
    narrow = 1280 * 256 + 512 * 128 + 256 * 128 + 256 * 64
    wide = 256 * (9 + 512) + 2 * 128 * (9 + 256) + 64 * (9 + 128)
    assert prediction_layers(separable=True)[0] == heads + narrow + wide


# ---------------------------------------------------------------- the command and the page


def test_the_command_prints_both_sides(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reproduce", "mobilenet_v1", "--table", "2"]) == 0
    out = capsys.readouterr().out
    assert "1.906" in out
    assert "differs: 1.91 was meant" in out
    assert "7 of 8 figures hold" in out


def test_the_command_prints_one_json_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reproduce", "mobilenet_v1", "--table", "3", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["name"], found["table"]) == ("mobilenet_v1", "3")
    assert found["cells"][0] == {
        "row": "Convolution",
        "column": "mult-adds",
        "published": "462M",
        "computed": "462,422,016",
        "difference": "+0.4M",
        "verdict": "holds",
        "reason": "",
    }


@cache
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reproduction_page", ROOT / "benchmarks" / "reproduction_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def test_the_page_is_as_the_nets_and_the_figures_are() -> None:
    """`python benchmarks/reproduction_page.py --write` writes it anew."""
    assert generator().PAGE.read_text(encoding="utf-8") == generator().page()


def test_the_page_holds_the_published_weights_text() -> None:
    assert generator().WEIGHTS.read_text(encoding="utf-8").strip() in generator().PAGE.read_text(encoding="utf-8")


def test_every_error_is_shown_by_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    errata = generator().ERRATA
    assert len(errata) >= 25
    for command in dict.fromkeys(command for erratum in errata for command in erratum.commands):
        assert run(shlex.split(command)) == 0, command
        shown = capsys.readouterr().out
        assert "holds" in shown or command.startswith("cost"), command


@pytest.mark.parametrize(
    ("command", "figure"),
    [
        ("reproduce mobilenet_v1 --table 9", "832,667,936"),
        ("reproduce squeezenet1_0 --table release", "1,722,679,872"),
        ("reproduce mobilenet_v1 --table said", "140"),
        ("reproduce mobilenet_v2 --table 5", "174,245,440"),
        ("cost mobilenet_v1_0.25_128", "13,570,048"),
        ("cost mobilenet_v2 --width 1.4", "6,108,776"),
        ("cost resnet50_paper", "3,857,973,248"),
    ],
)
def test_the_errors_figures_are_in_what_their_commands_print(
    command: str, figure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command in {command for erratum in generator().ERRATA for command in erratum.commands}
    assert run(shlex.split(command)) == 0
    assert figure in capsys.readouterr().out
