"""What a user asked of `fit`, and the command line that asks for it again."""

import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from pocketvision.export.write import formats_of, require_packages
from pocketvision.settings.option import Settings, options


def formats_asked(text: str) -> tuple[str, ...]:
    """Read names such as `litert,coreml`; the ONNX file, on which the net is chosen, is always written and comes first.

    Raises UnknownName and MissingExtra where a format's package is not installed.
    """
    formats = formats_of(text)
    require_packages(formats, proven=True)
    return ("onnx", *(name for name in formats if name != "onnx"))


def command(verb: str, settings: Settings) -> str:
    """Write the command line of a verb with these options, leaving out what is at its default."""
    defaults = {item.name: item.default for item in fields(settings)}
    words, named = ["pocketvision", verb], []
    for name, said in options(type(settings)):
        value, option = getattr(settings, name), f"--{name.replace('_', '-')}"
        if said.argument:
            words.append(str(value))
        elif value == defaults[name] or name in ("resume", "exist_ok"):
            continue
        elif isinstance(value, bool):
            named.append(option if value else f"--no-{name.replace('_', '-')}")
        else:
            several = [value] if isinstance(value, str | Path) or not isinstance(value, Sequence) else value
            named += [word for one in several for word in (option, str(one))]
    return shlex.join([*words, *named])
