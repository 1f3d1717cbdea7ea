"""Every verb of the command line is a public function with the same arguments, and stays one."""

import dataclasses
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import pocketvision
from pocketvision.cli.app import GROUPS, VERBS

ROOMS = sorted(path.parent.name for path in Path(pocketvision.__file__).parent.glob("*/__init__.py"))
SHOWN = {"csv", "layers"}
"""Options beside `json` that say how a command shows its result."""
PAIRS = [(word, verb) for word in GROUPS for verb in importlib.import_module(f"pocketvision.cli.{word}").VERBS]
"""Verbs behind a word, such as `weights get`."""
NO_VERBS = {"build"}
"""Public functions that give what no terminal can show: `build` returns a torch module."""


def arguments(function: Any) -> dict[str, Any]:
    """Return names and defaults; a path as text, since the command line knows only paths and the library both."""
    found = inspect.signature(function).parameters
    return {
        name: parameter.default.as_posix() if isinstance(parameter.default, Path) else parameter.default
        for name, parameter in found.items()
    }


def command_of(verb: str) -> Any:
    return getattr(importlib.import_module(f"pocketvision.cli.{verb}"), verb)


@pytest.mark.parametrize("verb", VERBS)
def test_a_command_takes_what_its_function_takes(verb: str) -> None:
    typed, public = arguments(command_of(verb)), arguments(getattr(pocketvision, verb))
    assert typed.pop("json") is False
    public.pop("progress", None)
    assert {name: default for name, default in typed.items() if name not in SHOWN} == public


@pytest.mark.parametrize(("word", "verb"), PAIRS)
def test_a_command_behind_a_word_takes_what_the_rooms_function_takes(word: str, verb: str) -> None:
    public = getattr(importlib.import_module(f"pocketvision.{word}"), verb)
    typed, named = arguments(getattr(importlib.import_module(f"pocketvision.cli.{word}"), verb)), arguments(public)
    assert typed.pop("json") is False
    named.pop("progress", None)
    assert typed == named
    result = inspect.signature(public, eval_str=True).return_annotation
    inner = getattr(result, "__args__", (result,))[0]
    assert dataclasses.is_dataclass(inner), f"{word} {verb} returns {result}"


def test_public_functions_and_verbs_are_the_same() -> None:
    assert set(pocketvision.__all__) - NO_VERBS == set(VERBS)
    assert list(pocketvision.__all__) == sorted(pocketvision.__all__)
    assert {path.stem for path in Path(command_of("fit").__code__.co_filename).parent.glob("*.py")} >= set(VERBS)


def test_long_work_can_be_watched_and_is_silent_by_default() -> None:
    for name in set(pocketvision.__all__) - {"build", "models", "cost"}:
        default = inspect.signature(getattr(pocketvision, name)).parameters["progress"].default
        assert type(default).__name__ == "Silent", name


def test_rooms_do_not_hide_the_verbs_of_their_name() -> None:
    for room in ROOMS:
        importlib.import_module(f"pocketvision.{room}")
    for name in pocketvision.__all__:
        function = getattr(pocketvision, name)
        assert isinstance(function, FunctionType)
        assert function.__name__ == name
    assert {"cost", "export", "fit", "models", "report", "train", "verify"} <= set(ROOMS) & set(VERBS)


@pytest.mark.parametrize(
    "first", ["import pocketvision.cost.count", "pocketvision.cost", "from pocketvision import cost"]
)
def test_a_room_is_reached_by_its_path_and_the_verb_by_its_name(first: str) -> None:
    code = (
        f"import pocketvision\n{first}\n"
        "from pocketvision.cost import count\n"
        "from pocketvision import cost\n"
        "assert count.__module__ == 'pocketvision.cost.count', count\n"
        "assert cost is pocketvision.cost and cost.__module__ == 'pocketvision.cost.verb', cost\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        pocketvision.fitt  # noqa: B018
    assert set(dir(pocketvision)) >= set(pocketvision.__all__)


def test_results_are_records() -> None:
    """What a verb returns can be printed as JSON: records, lists of records, or a path."""
    for verb in VERBS:
        result = inspect.signature(getattr(pocketvision, verb), eval_str=True).return_annotation
        inner = getattr(result, "__args__", (result,))[0]
        assert dataclasses.is_dataclass(inner) or inner is Path, f"{verb} returns {result}"
