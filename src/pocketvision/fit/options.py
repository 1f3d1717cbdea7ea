"""What a user asked of `fit`, in one record, and the command line that asks for it again."""

import inspect
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pocketvision.errors import UsageError
from pocketvision.export.confidence import Abstain
from pocketvision.export.write import formats_of, require_packages
from pocketvision.train.job import TrainOptions
from pocketvision.values import Budget


@dataclass(frozen=True)
class Options:
    """The options that the stages need; the budget parsed, the others as given."""

    budget: Budget
    model: str | None
    width: float | None
    resolution: int | None
    max_drop: float
    training: TrainOptions
    teacher: str | None = None
    """Run folders of trained nets to learn from, with commas between."""
    abstain: Abstain = "auto"
    """When the file refuses to answer."""
    formats: tuple[str, ...] = ("onnx",)
    """Of the files that are written and proven; the first is the delivered one."""


def formats_asked(text: str) -> tuple[str, ...]:
    """Read `onnx` or `onnx,litert`; raises UsageError without onnx, on whose file the net is chosen and judged,
    and MissingExtra where a format's package is not installed."""
    formats = formats_of(text)
    if "onnx" not in formats:
        raise UsageError(f"--format is {text}; a run needs its ONNX file, so give onnx,{text}")
    require_packages(formats, proven=True)
    return ("onnx", *(name for name in formats if name != "onnx"))


def command(verb: Callable[..., Any], settings: Mapping[str, Any]) -> str:
    """Write the command line of a verb with these settings, leaving out what is at its default."""
    words = ["pocketvision", verb.__name__]
    for name, parameter in inspect.signature(verb).parameters.items():
        value = settings.get(name, parameter.default)
        option = f"--{name.replace('_', '-')}"
        if parameter.default is inspect.Parameter.empty:
            words.append(str(value))
        elif value == parameter.default or name in ("progress", "resume", "exist_ok"):
            continue
        elif isinstance(value, bool):
            words.append(option if value else f"--no-{name.replace('_', '-')}")
        else:
            words += [option, str(value)]
    return shlex.join(words)
