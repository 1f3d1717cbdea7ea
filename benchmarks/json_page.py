"""Writes docs/guide/json.md: what every verb prints with `--json`, field by field.

    python benchmarks/json_page.py          says whether the page is as the records are
    python benchmarks/json_page.py --write  writes it

A verb is a function that returns a record: the page is read off the function's return type, the record's fields and
the texts below them in the source.
"""

import ast
import dataclasses
import importlib
import inspect
import re
import sys
import textwrap
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pocketvision
from pocketvision.cli.app import GROUPS, VERBS
from pocketvision.cli.command import HOMES

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "guide" / "json.md"
HEAD = "| field | type | meaning |\n|---|---|---|"
PLAIN = {str: "text", Path: "text", int: "integer", float: "number", bool: "true or false", types.NoneType: "null"}

INTRODUCTION = """\
# JSON output

Every verb takes `--json`. It then prints exactly one JSON value on stdout, while messages and progress go to stderr.
After an error there is a message on stderr and nothing on stdout, with four exceptions, in which the result is printed
anyway: `fit` and `verify` when they end with code 3 or 4, `check` when it ends with code 1, and `predict` when it
ends with code 1 because not one image got an answer. [Exit codes](exit-codes.md) lists all codes.

The Python functions return the same values as records with the same fields: `pocketvision.check("photos/").labels`.

- A name ends in its unit where it has one, such as `size_bytes`. Proportions and probabilities are between 0 and 1.
- Paths have forward slashes. A value that is not known is null. Lists keep their order.

`python benchmarks/json_page.py --write` writes this page from the records, and a test compares the two.
"""

NOTES = {
    "fit": "The same is in the run's `summary.json`.",
    "check": "[Checking](check.md) says what each kind of problem means. Where `faults` is not empty, `check` prints "
    "its result, then the first fault as an error, and ends with code 1.",
    "verify": "The same is in the run's `verify.json`. With several files, and with one file but no images, it is this "
    "object instead:",
    "report": "An object with one field, `report`: the path of the page.",
    "demo": "It is printed when the serving ends.",
}
"""What no field says, after a verb's table; after the first of two."""


def page() -> str:
    """Return the whole page."""
    sections = dict(_sections())
    top = {record: verb for verb, (_, found) in reversed(sections.items()) for record in found}
    parts = [INTRODUCTION, "## Verbs\n"]
    for verb, (intro, found) in sections.items():
        parts += [f"### {verb}\n", *_verb(verb, intro, found, top)]
    parts.append("## Records that the verbs share\n")
    for record in sorted(_inner(top), key=lambda record: record.__name__):
        parts += [f"### {record.__name__}\n", f"{_sentence(record)}\n", *_table(record, top), ""]
    return "\n".join(parts).rstrip() + "\n"


def results() -> dict[str, Any]:
    """Return what each verb's function returns, as types; `report` returns a path, for which it prints an object."""
    behind = [f"{word} {verb}" for word in GROUPS for verb in importlib.import_module(f"pocketvision.cli.{word}").VERBS]
    return {verb: _returned(verb) for verb in (*VERBS, *behind)}


def texts(record: type) -> dict[str, str]:
    """Return the text below each field in a record's source."""
    body = ast.parse(textwrap.dedent(inspect.getsource(record))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[ast.unparse(field.target)] = _line(str(text.value.value))
    return found


def records(kind: Any) -> Iterator[type]:
    """Yield a record and all records inside it, at any depth."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        yield kind
        for hint in typing.get_type_hints(kind).values():
            yield from records(hint)
    else:
        for argument in typing.get_args(kind):
            yield from records(argument)


def _returned(verb: str) -> Any:
    word, _, last = verb.rpartition(" ")
    home = importlib.import_module(f"pocketvision.{HOMES.get(word, word)}") if word else pocketvision
    return inspect.signature(getattr(home, last), eval_str=True).return_annotation


def _sections() -> Iterator[tuple[str, tuple[str, list[type]]]]:
    """Yield each verb with a sentence on the value as a whole and the records that it consists of."""
    for verb, kind in results().items():
        listed = typing.get_origin(kind) in (list, tuple)
        found = typing.get_args(kind)[:1] if listed else typing.get_args(kind) or (kind,)
        records = [one for one in found if isinstance(one, type) and dataclasses.is_dataclass(one)]
        yield verb, ("A list of records. " if listed else "", records)


def _verb(verb: str, intro: str, found: list[type], top: dict[type, str]) -> Iterator[str]:
    note = NOTES.get(verb, "")
    same = [top[record] for record in found if top[record] != verb]
    if same:
        yield f"The same as of [{same[0]}](#{same[0].replace(' ', '-')}).\n"
        return
    for record in found:
        yield from (f"{intro}{_sentence(record)}\n", *_table(record, top), "")
        if note:
            yield f"{_wrapped(note)}\n"
            note = ""
    if note:
        yield f"{_wrapped(note)}\n"


def _inner(top: dict[type, str]) -> set[type]:
    return {inner for record in top for inner in records(record)} - set(top)


def _table(record: type, top: dict[type, str]) -> Iterator[str]:
    meanings, hints = texts(record), typing.get_type_hints(record)
    yield HEAD
    for field in dataclasses.fields(record):
        cells = (f"`{field.name}`", _type(hints[field.name], top), meanings.get(field.name, ""))
        yield "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _type(kind: Any, top: dict[type, str]) -> str:
    """Say a type in words of JSON, with links to records."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        anchor = top.get(kind, kind.__name__.lower()).replace(" ", "-")
        return f"[{kind.__name__}](#{anchor})"
    if origin is typing.Literal:
        return _either([f"`{value}`" for value in inner])
    if origin in (typing.Union, types.UnionType):
        return _either([_type(one, top) for one in inner if not (one is int and float in inner)])
    if origin is dict:
        return f"object of {_type(inner[1], top)}"
    if origin in (list, tuple):
        kinds = list(dict.fromkeys(_type(one, top) for one in inner if one is not ...))
        if origin is tuple and ... not in inner and len(kinds) == 1:
            return f"list of {len(inner)} {kinds[0]}s"
        return f"list of {' and '.join(kinds)}"
    return PLAIN[kind]


def _either(words: list[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _sentence(record: type) -> str:
    return _wrapped(_line((record.__doc__ or "").split("\n\n")[0]))


def _line(text: str) -> str:
    """Return a text on one line, with the words of JSON for Python's constants."""
    words = {"None": "null", "True": "true", "False": "false"}
    return re.sub(r"\b(None|True|False)\b", lambda match: words[match[0]], " ".join(text.split()))


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def main() -> int:
    """Write the page, or say whether it is as it should be."""
    wanted = page()
    if "--write" in sys.argv[1:]:
        PAGE.write_text(wanted, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted:
        print(f"{PAGE.relative_to(ROOT)} is not as the records are: python benchmarks/json_page.py --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
