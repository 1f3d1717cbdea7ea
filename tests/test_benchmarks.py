"""Scripts beside the package: what they import of it is there."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted([*ROOT.glob("benchmarks/*.py"), *ROOT.glob("recipes/*.py")])


def missing(tree: ast.Module) -> list[str]:
    """Return the names that a script imports from the package and that are not in it."""
    named = [
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "pocketvision"
        for alias in node.names
    ]
    found = []
    for module, name in named:
        if not hasattr(importlib.import_module(module), name):
            try:
                importlib.import_module(f"{module}.{name}")
            except ModuleNotFoundError:
                found.append(f"{module}.{name}")
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_script_imports_is_there(script: Path) -> None:
    assert missing(ast.parse(script.read_text(encoding="utf-8"))) == []


def test_a_name_that_is_gone_is_found() -> None:
    tree = ast.parse("from pocketvision.fit.choosing import chosen, gone\nfrom pocketvision.export import onnx")
    assert missing(tree) == ["pocketvision.fit.choosing.gone"]
