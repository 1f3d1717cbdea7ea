"""An option stands in one place: functions, commands, `args.yaml`, `--config` and the documentation follow from it."""

import ast
import dataclasses
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
import yaml
from PIL import Image
from typer.main import get_command

import pocketvision
from pocketvision.cli.app import GROUPS, VERBS, application, run
from pocketvision.cli.command import HOMES, settings_of
from pocketvision.errors import UnknownName, UsageError
from pocketvision.settings import groups, verbs
from pocketvision.settings.option import Settings, options
from pocketvision.settings.page import page

SOURCE = Path(pocketvision.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "guide" / "options.md"
SHOWN = {"csv", "form", "layers"}
"""Options that say how a command shows its result."""
PAIRS = [("", verb) for verb in VERBS]
PAIRS += [(word, verb) for word in GROUPS for verb in importlib.import_module(f"pocketvision.cli.{word}").VERBS]
NO_VERBS = {"build"}
"""Public functions that give what no terminal can show: `build` returns a torch module."""


def function_of(group: str, verb: str) -> Any:
    home = f"pocketvision.{HOMES.get(group, group)}" if group else "pocketvision"
    return getattr(importlib.import_module(home), verb)


def command_of(group: str, verb: str) -> Any:
    found: Any = get_command(application())
    for word in [group, verb] if group else [verb]:
        found = found.commands[word]
    return found


@pytest.mark.parametrize(("group", "verb"), PAIRS)
def test_a_function_takes_the_fields_of_its_record(group: str, verb: str) -> None:
    settings = settings_of(verb, group)
    taken = inspect.signature(function_of(group, verb)).parameters
    own = {"file"} if verb == "verify" else set()
    assert set(taken) - own == {item.name for item in dataclasses.fields(settings)}
    defaults = {item.name: item.default for item in dataclasses.fields(settings)}
    for name in set(taken) - own:
        stated = taken[name].default
        assert (dataclasses.MISSING if stated is inspect.Parameter.empty else stated) == defaults[name]
    assert type(taken["progress"].default).__name__ == "Silent"


@pytest.mark.parametrize(("group", "verb"), PAIRS)
def test_a_command_takes_the_options_of_its_record_with_their_help(group: str, verb: str) -> None:
    found = {parameter.name: parameter for parameter in command_of(group, verb).params}
    said = dict(options(settings_of(verb, group)))
    own = {"file"} if verb == "verify" else set()
    assert set(found) - SHOWN - own == {*said, "json", "config"}
    for name, option in said.items():
        assert found[name].help == option.help
        if not option.argument:
            assert set(option.flags or ()) <= set(found[name].opts)


@pytest.mark.parametrize(("group", "verb"), PAIRS)
def test_every_option_says_what_it_is_in_a_sentence(group: str, verb: str) -> None:
    for name, option in options(settings_of(verb, group)):
        assert option.help.endswith((".", "?")), name


def test_an_option_is_declared_once() -> None:
    """The same name in two records is another option, unless a group holds it."""
    declared: dict[str, list[str]] = {}
    for module in (groups, verbs):
        for kind in vars(module).values():
            if inspect.isclass(kind) and issubclass(kind, Settings) and kind.__module__ == module.__name__:
                for name in vars(kind).get("__annotations__", {}):
                    said = {item.name: item.metadata.get("option") for item in dataclasses.fields(kind)}.get(name)
                    if said is not None and not said.argument:
                        declared.setdefault(f"{name}: {said.help}", []).append(kind.__name__)
    assert {text: kinds for text, kinds in declared.items() if len(kinds) > 1} == {
        text: kinds for text, kinds in declared.items() if len(kinds) > 1 and set(kinds) <= SHARED[text.split(":")[0]]
    }


SHARED = {
    "abstain": {"FitOptions", "ExportOptions"},
    "format": {"FitOptions", "ExportOptions"},
    "labels": {"CompressOptions", "ExportOptions"},
    "output": {"CompressOptions", "ExportOptions"},
    "source": {"WeightsGetOptions", "WeightsWhereOptions"},
    "width": {"SizeConfig", "DistillOptions"},
}
"""Options of two verbs whose words are one constant; in `distill`, `--alpha` is not the width."""


def test_public_functions_and_verbs_are_the_same() -> None:
    assert set(pocketvision.__all__) - NO_VERBS == set(VERBS)
    assert list(pocketvision.__all__) == sorted(pocketvision.__all__)
    assert {path.stem for path in (SOURCE / "verbs").glob("*.py")} - {"__init__"} == set(VERBS) | set(HOMES)


def test_no_verb_stands_outside_verbs_and_no_function_gathers_its_own_arguments() -> None:
    made, gathered = [], []
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and any("verb(" in ast.unparse(one) for one in node.decorator_list):
                made.append(f"{path.parent.name}/{path.stem}:{node.name}")
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "locals":
                gathered.append(str(path))
    group = {f"verbs/{word}:{verb}" if word in HOMES else f"{word}/verbs:{verb}" for word, verb in PAIRS if word}
    assert set(made) == {f"verbs/{verb}:{verb}" for verb in VERBS} | group
    assert gathered == []


def test_no_function_has_more_than_seven_parameters() -> None:
    many = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                count = (
                    len(node.args.args)
                    + len(node.args.kwonlyargs)
                    - (node.args.args[:1] != [] and node.args.args[0].arg in ("self", "cls"))
                )
                if count > 7 and node.name not in NO_VERBS:
                    many.append(f"{path.relative_to(SOURCE)}:{node.lineno} {node.name} {count}")
    assert many == []


def test_packages_do_not_hide_the_verbs_of_their_name() -> None:
    packages = sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))
    for name in packages:
        importlib.import_module(f"pocketvision.{name}")
    for name in pocketvision.__all__:
        function = getattr(pocketvision, name)
        assert isinstance(function, FunctionType)
        assert function.__name__ == name


@pytest.mark.parametrize(
    "first", ["import pocketvision.cost.count", "pocketvision.cost", "from pocketvision import cost"]
)
def test_a_package_is_reached_by_its_path_and_the_verb_by_its_name(first: str) -> None:
    code = (
        f"import pocketvision\n{first}\n"
        "from pocketvision.cost import count\n"
        "from pocketvision import cost\n"
        "assert count.__module__ == 'pocketvision.cost.count', count\n"
        "assert cost is pocketvision.cost and cost.__module__ == 'pocketvision.verbs.cost', cost\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        pocketvision.fitt  # noqa: B018
    assert set(dir(pocketvision)) >= set(pocketvision.__all__)


def test_results_are_records() -> None:
    """What a verb returns can be printed as JSON: records, lists of records, or a path."""
    for group, verb in PAIRS:
        result = inspect.signature(function_of(group, verb), eval_str=True).return_annotation
        for one in getattr(result, "__args__", (result,)):
            assert dataclasses.is_dataclass(one) or one in (Path, Ellipsis), f"{verb} returns {result}"


def test_an_argument_that_does_not_exist_and_one_out_of_range_are_refused() -> None:
    with pytest.raises(TypeError, match="max_sise"):
        pocketvision.fit("photos", max_sise="2MB")  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="--epochs takes"):
        pocketvision.train("photos", epochs=0)
    with pytest.raises(UnknownName, match="Known: crop, squash"):
        pocketvision.train("photos", crop_mode="middle")  # type: ignore[arg-type]


def test_a_training_is_one_value_that_json_holds() -> None:
    config = groups.TrainConfig(model="mobilenet_v2", width=0.5, epochs=3, weights=Path("a.tflite"))
    stored = json.loads(json.dumps(config.stored()))
    assert groups.TrainConfig(**stored) == dataclasses.replace(config, weights="a.tflite")
    assert "progress" not in stored


# ---------------------------------------------------------------- --config


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label, shade in (("dark", 40), ("light", 200)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8), (shade + number, shade, shade)).save(tmp_path / f"photos/{label}/{number}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize(("group", "verb"), PAIRS)
def test_no_two_options_of_a_command_share_a_spelling(group: str, verb: str) -> None:
    spellings = [flag for given in command_of(group, verb).params for flag in (*given.opts, *given.secondary_opts)]
    assert len(spellings) == len(set(spellings))


def test_a_file_of_options_is_the_default_and_the_command_line_wins(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "options.yaml"
    config.write_text(yaml.safe_dump({"data": str(photos), "val": 0.2, "seed": 7}), encoding="utf-8")
    assert run(["check", "--config", str(config), "--seed", "8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    again = pocketvision.check(photos, val=0.2, seed=8)
    assert found["counts"] == again.counts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeed: 3", "unknown option 'seeed'. Did you mean 'seed'?"),
        ("- 3", "holds no options"),
        ("seed: [", "cannot be read as YAML"),
        ("seed: -1", "--seed takes a whole number from 0"),
    ],
)
def test_a_file_that_holds_no_options_is_refused(
    text: str, message: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "options.yaml").write_text(text, encoding="utf-8")
    assert run(["check", str(photos), "--config", str(tmp_path / "options.yaml")]) == 2
    assert message in capsys.readouterr().err


def test_the_page_of_options_is_as_the_records_say(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--rewrite"):
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page(), "run this test with --rewrite and read the diff"
