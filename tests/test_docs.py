"""The documents hold what they promise: links, commands and files exist, records and packages are described."""

import ast
import dataclasses
import importlib.util
import inspect
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

import pocketvision
from pocketvision.cli.app import GROUPS, VERBS, application

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^(```|~~~)[^\n]*\n(.*?)^\1[ ]*$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^(?: {4}|\t)[^\n]*\n)+", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
OUR_FOLDERS = ("src", "tests", "docs", "benchmarks", ".github", ".ci")
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return INDENTED.sub("\n", FENCE.sub("\n", text_of(page)))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.*?) *$", FENCE.sub("\n", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@EACH_PAGE
def test_relative_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_the_readme_is_one_screen_and_shows_its_two_commands_as_code() -> None:
    text = text_of(ROOT / "README.md")
    assert len(text.splitlines()) <= 80
    assert {"make demo", "make test"} <= {block.strip() for block in blocks(text)}


# ---------------------------------------------------------------- commands


def blocks(text: str) -> Iterator[str]:
    """Yield code blocks, fenced and indented."""
    yield from (match[2] for match in FENCE.finditer(text))
    yield from (match[0] for match in INDENTED.finditer(FENCE.sub("\n", text)))


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words after `pocketvision` of every command: in code blocks, and in code within a sentence."""
    lines = [line for block in blocks(text) for line in re.sub(r"\\\n", " ", block).splitlines()]
    spans = CODE.findall(INDENTED.sub("\n", FENCE.sub("\n", text)))
    for line in (*lines, *spans):
        match = re.match(r"\s*(?:\$ )?(?:\S*python3? -m |\S*/)?pocketvision (.*)", line)
        if match:
            words = shlex.split(match[1], comments=True)
            yield words[: next((place for place, word in enumerate(words) if word in ("|", ">", "&&", ";")), None)]


@cache
def group() -> Any:
    return typer.main.get_command(application())


def fault(words: list[str]) -> str | None:
    """Say what is wrong with a command; nothing is run, and paths need not exist."""
    if words and words[0] in ("--help", "-h", "--version"):
        return None
    if not words or words[0] not in (*VERBS, *GROUPS):
        return f"no verb in {words}"
    command = group().commands[words[0]]
    if words[0] in GROUPS and len(words) > 1:
        if words[1] not in command.commands:
            return f"no verb in {words}"
        command, words = command.commands[words[1]], words[1:]
    if len(words) == 1 and words[0] != "models":
        return None  # named, not shown
    try:
        command.make_context(words[0], [word for word in words[1:] if word not in ("--help", "-h")])
    except Exception as error:  # typer does not export the exceptions of its own copy of click
        return str(getattr(error, "message", "") or error or type(error).__name__)
    return None


@EACH_PAGE
def test_commands_exist_with_their_options(page: Path) -> None:
    faults = {shlex.join(words): found for words in commands(text_of(page)) if (found := fault(words))}
    assert faults == {}


def test_commands_are_found_and_wrong_ones_are_told() -> None:
    text = (
        "Run `pocketvision verify` or `pocketvision` alone.\n\n"
        "```sh\n$ pocketvision fit photos/ \\\n    --max-size 2MB  # small\n"
        "pocketvision cost x --widht 1 | less\n```\n\n"
        "    .venv/bin/python -m pocketvision fitt photos/\n"
    )
    found = list(commands(text))
    assert found == [
        ["fit", "photos/", "--max-size", "2MB"],
        ["cost", "x", "--widht", "1"],
        ["fitt", "photos/"],
        ["verify"],
    ]
    assert [fault(words) is None for words in found] == [True, False, False, True]
    assert fault(["fit", "photos", "--crop-mode", "middle"]) is not None
    assert fault(["fit", "--max-size", "2MB"]) is not None


# ---------------------------------------------------------------- Python


def calls(block: str) -> Iterator[tuple[str, ast.Call, str]]:
    """Yield each call of a verb in Python, with the name that its result gets, or an empty one."""
    tree = ast.parse(block)
    named = {node.value: ast.unparse(node.targets[0]) for node in ast.walk(tree) if isinstance(node, ast.Assign)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("pv."):
            yield ast.unparse(node.func)[3:], node, named.get(node, "")


def python_faults(block: str) -> list[str]:
    """Say which arguments and which fields of results do not exist; nothing is run."""
    faults = []
    for verb, call, name in calls(block):
        signature = inspect.signature(getattr(pocketvision, verb))
        try:
            signature.bind(*call.args, **{str(word.arg): word.value for word in call.keywords})
        except TypeError as error:
            faults.append(f"{verb}: {error}")
        if name and verb in VERBS:
            result = inspect.signature(getattr(pocketvision, verb), eval_str=True).return_annotation
            fields = {field.name for field in dataclasses.fields(result)}
            faults += [f"{name}.{used}" for used in re.findall(rf"\b{name}\.(\w+)", block) if used not in fields]
    return faults


@EACH_PAGE
def test_python_calls_verbs_by_arguments_that_exist_and_reads_fields_that_exist(page: Path) -> None:
    found = re.findall(r"^```python\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL)
    assert [fault for block in found for fault in python_faults(block)] == []


def test_wrong_python_is_told() -> None:
    block = 'import pocketvision as pv\nrun = pv.fit("photos/", max_sise="2MB")\nprint(run.artefact, run.file)\n'
    assert python_faults(block) == ["fit: got an unexpected keyword argument 'max_sise'", "run.file"]


# ---------------------------------------------------------------- files


def named_files(text: str) -> set[str]:
    """Return what looks like a file or folder of this project; outputs of a run are not."""
    code = {word for span in CODE.findall(text) for word in span.split()}
    code |= set(re.findall(rf"(?:{'|'.join(map(re.escape, OUR_FOLDERS))})/[\w./-]+", text))
    return {
        word
        for word in (word.rstrip(".,:;") for word in code)
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", word)
        and (word.endswith(".py") or word.startswith(tuple(f"{folder}/" for folder in OUR_FOLDERS)))
    }


def exists(name: str) -> bool:
    """Tell whether a file is there, named from the project's root or from the package on."""
    return any((folder / name).exists() for folder in (ROOT, ROOT / "src" / "pocketvision"))


@EACH_PAGE
def test_files_that_are_named_exist(page: Path) -> None:
    assert [name for name in sorted(named_files(text_of(page))) if not exists(name)] == []


def test_pages_that_the_sources_name_exist() -> None:
    named = {
        (name, path.relative_to(ROOT).as_posix())
        for folder in ("src", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"\bdocs/[\w/-]+\.md\b", text_of(path))
    }
    assert [f"{path} names {name}" for name, path in sorted(named) if not (ROOT / name).exists()] == []


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    spans = [span for page in PAGES for span in (*CODE.findall(text_of(page)), *blocks(text_of(page)))]
    named = {word for span in spans for word in re.findall(r"^\s*(?:\$ )?make ([a-z]+)\b", span, re.MULTILINE)}
    assert named
    assert named <= targets


# ---------------------------------------------------------------- records


def sections(text: str) -> dict[str, str]:
    """Return the text below each heading."""
    parts = re.split(r"^#+ +(.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@cache
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("json_page", ROOT / "benchmarks" / "json_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_on_json_is_as_the_records_are(golden: Callable[[Path, str], None]) -> None:
    """`python benchmarks/json_page.py --write` writes it anew, and so does `--rewrite`."""
    golden(generator().PAGE, generator().page())


@pytest.mark.parametrize("verb", generator().results())
def test_every_field_that_a_verb_returns_is_described(verb: str) -> None:
    found = list(generator().records(generator().results()[verb]))
    texts = {record: generator().texts(record) for record in found}
    missing = [
        f"{kind.__name__}.{f.name}" for kind in found for f in dataclasses.fields(kind) if f.name not in texts[kind]
    ]
    assert missing == [], "write one sentence below each field"
    assert found or verb == "report"
    names = [record.__name__ for record in found]
    assert len(set(names)) == len(set(found)), "two records of one name cannot be told apart on the page"


def test_every_exit_code_is_described() -> None:
    from pocketvision import errors
    from pocketvision.cli.app import INTERRUPTED, STOPPED

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")]
    codes = {0, INTERRUPTED, STOPPED, *(kind.exit_code for kind in kinds)}
    table = sections(text_of(ROOT / "docs" / "guide" / "exit-codes.md"))["Exit codes"]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == codes


def test_every_dependency_is_described() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    wanted = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    names = {re.split(r"[<>=!~\[; ]", item, maxsplit=1)[0] for item in wanted}
    page = text_of(ROOT / "docs" / "design" / "dependencies.md")
    assert {name for name in names if not re.search(rf"^\|.*\b{re.escape(name)}\b", page, re.MULTILINE)} == set()
    pinned = {
        line.partition("==")[0].lower() for line in text_of(ROOT / "constraints.txt").splitlines() if "==" in line
    }
    assert {name.lower() for name in names} - pinned == set()


def test_every_package_is_described_and_stands_in_one_layer() -> None:
    page = text_of(ROOT / "docs" / "design" / "architecture.md")
    found = {
        path.stem for path in (ROOT / "src" / "pocketvision").iterdir() if re.fullmatch(r"[a-z]+(\.py)?", path.name)
    }
    layers = re.findall(r"[a-z]+", next(blocks(page)))
    assert {name for name in found if not re.search(rf"^\| `{name}` \|", page, re.MULTILINE)} == set()
    assert sorted(layers) == sorted(found)
