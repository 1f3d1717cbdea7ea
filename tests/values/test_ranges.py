"""Every numeric option has its range, the same for functions and commands, told in the same sentence."""

import inspect
import math
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketvision
from pocketvision import weights
from pocketvision.budget.limits import budget_of
from pocketvision.cli.app import run
from pocketvision.clock import seconds
from pocketvision.errors import UsageError
from pocketvision.export.confidence import abstain_of
from pocketvision.settings.groups import BudgetConfig
from pocketvision.values.ranges import RANGES, check_ranges

VERBS: dict[str, Callable[..., Any]] = {
    **{name: getattr(pocketvision, name) for name in pocketvision.__all__},
    "weights get": weights.get,
    "weights where": weights.where,
}


def numeric(function: Callable[..., Any]) -> list[str]:
    """Return the parameters that take numbers."""
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        kinds, todo = set(), [parameter.annotation]
        while todo:
            kind = todo.pop()
            kinds.add(kind)
            todo += [] if typing.get_origin(kind) is typing.Literal else typing.get_args(kind)
        if kinds & {int, float}:
            found.append(name)
    return found


CASES = [(verb, name) for verb, function in VERBS.items() for name in numeric(function)]


def test_every_numeric_parameter_of_every_verb_has_a_range() -> None:
    assert len(CASES) > 60
    assert [case for case in CASES if case[1] not in RANGES] == []
    assert {"time_limit", "abstain"} <= set(RANGES)


def call(verb: str, **given: Any) -> None:
    """Call a verb with nothing that exists but the options: they are judged first."""
    function = VERBS[verb]
    needed = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is inspect.Parameter.empty
    ]
    known = {"name": "mobilenet_v1"}
    function(**{name: known.get(name, "not-there") for name in needed} | given)


@pytest.mark.parametrize(("verb", "name"), CASES)
def test_nothing_out_of_its_range_is_begun(verb: str, name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    most = RANGES[name].most
    for wrong in (-1, math.nan, math.inf, True, "x", most * 2, int(most) + 10**40):
        with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} takes .*, not '{wrong}'".replace("+", ".")):
            call(verb, **{name: wrong})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "option", "wrong"),
    [
        ("train", "--seed", "-1"),
        ("train", "--resolution", "0"),
        ("train", "--resolution", "100000"),
        ("fit", "--max-drop", "nan"),
        ("fit", "--lr", "inf"),
        ("check", "--seed", str(2**63)),
        ("check", "--val", "1"),
        ("distill run", "--temperature", "nan"),
        ("probe", "--resolution", "0"),
        ("predict x.onnx", "--top", "0"),
        ("bench", "--threads", "0"),
        ("demo", "--port", "65536"),
        ("cost", "--num-classes", "0"),
        ("weights get", "--width", "nan"),
    ],
)
def test_a_command_says_what_the_option_takes(
    command: str, option: str, wrong: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*command.split(), "not-there", option, wrong]) == 2
    assert capsys.readouterr().err.startswith(f"error: {option} takes {RANGES[option[2:].replace('-', '_')]}, not '")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", ["max_size", "max_memory", "max_macs", "max_params", "max_latency"])
@pytest.mark.parametrize("wrong", ["nan", "inf", "1e999MB", "-1", "-0", "0", "KB", "1,5MB", "9" * 400, "", math.nan, 0])
def test_no_amount_is_no_number_or_nothing(limit: str, wrong: Any) -> None:
    with pytest.raises(UsageError, match=f"--{limit.replace('_', '-')} takes .*; write "):
        budget_of(BudgetConfig(**{limit: wrong}))


def test_less_than_a_byte_is_no_size() -> None:
    with pytest.raises(UsageError, match="--max-size takes a number of bytes from 1 to"):
        budget_of(BudgetConfig(max_size="0.5B"))


def test_numbers_are_amounts_however_python_writes_them() -> None:
    assert budget_of(BudgetConfig(max_macs=1e16 / 100)).limits["max_macs"] == 10**14
    assert budget_of(BudgetConfig(max_latency=np.float32(0.00001))).limits["max_latency"] == pytest.approx(0.00001)
    assert budget_of(BudgetConfig(min_accuracy="90%")).limits["min_accuracy"] == 0.9
    assert seconds(0.00001) == 0.00001
    assert seconds("1.5h") == 5400
    assert seconds(None) == math.inf


@pytest.mark.parametrize("wrong", ["nan", "inf", math.inf, "9" * 400, "0s", "-1m", "m", True])
def test_no_time_is_no_number(wrong: Any) -> None:
    with pytest.raises(UsageError, match="--time-limit takes a number of seconds"):
        seconds(wrong)


@pytest.mark.parametrize("wrong", ["nan", "1.5", "-0.1", "150%", "inf", True, None])
def test_no_threshold_is_no_number(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"--abstain takes a number from 0 to 1, .* write off, auto"):
        abstain_of(wrong)


def test_whole_numbers_are_whole() -> None:
    check_ranges({"epochs": np.int64(3), "batch_size": "auto", "seed": 2**63 - 1, "resolution": [32, 64], "lr": 1})
    for wrong in ({"epochs": 3.0}, {"batch_size": "1"}, {"seed": "5"}, {"resolution": [64, 0]}):
        with pytest.raises(UsageError, match=r"takes a whole number|takes auto or a whole number"):
            check_ranges(wrong)
