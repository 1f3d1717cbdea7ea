"""The documentation page of all options, written from their records."""

import dataclasses
import typing
from typing import Any

from pocketvision.settings import verbs
from pocketvision.settings.option import Option, Settings, options
from pocketvision.values.ranges import RANGES

_WORDS = "Weights", "Latency"
"""Those that stand before verbs of their own."""


def page() -> str:
    """Return the page in Markdown: a heading for each verb, a row for each of its options."""
    parts = [
        "# Options",
        "Every verb is a command, `pocketvision fit photos/ --max-size 2MB`, and a Python function with the same "
        'options, `pocketvision.fit("photos/", max_size="2MB")`. `--config FILE.yaml` reads options by name from a '
        "file, such as a run's `args.yaml`, and the command line wins. `--json` prints one JSON value. This page is "
        "written from the code.",
    ]
    for kind in vars(verbs).values():
        if isinstance(kind, type) and issubclass(kind, Settings) and kind.__name__.endswith("Options"):
            parts += [f"## {_name(kind)}", str(kind.__doc__), _table(kind)]
    return "\n\n".join(parts) + "\n"


def _name(kind: type[Any]) -> str:
    plain = kind.__name__.removesuffix("Options")
    word = next((word for word in _WORDS if plain.startswith(word)), "")
    return f"{word} {plain.removeprefix(word)}".strip().lower()


def _table(kind: type[Any]) -> str:
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    lines = ["| option | default | |", "|---|---|---|"]
    for name, said in options(kind):
        lines.append(f"| {_spelled(name, said)} | {_default(defaults[name])} | {_help(name, said, hints[name])} |")
    return "\n".join(lines)


def _spelled(name: str, said: Option) -> str:
    if said.argument:
        return f"`{said.metavar or name.upper()}`".replace("|", "\\|")
    return ", ".join(f"`{flag}`" for flag in said.flags or (f"--{name.replace('_', '-')}",))


def _default(value: Any) -> str:
    if value is dataclasses.MISSING:
        return "needed"
    return "" if value is None or value is False else "on" if value is True else f"`{value}`"


def _help(name: str, said: Option, hint: Any) -> str:
    words = said.help.replace("|", "\\|")
    number = {int, float} & {hint, *typing.get_args(hint)}
    return f"{words} Takes {RANGES[name]}." if number and name in RANGES and not RANGES[name].written else words
