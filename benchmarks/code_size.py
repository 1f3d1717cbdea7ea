"""How large the code is: files, lines, and how long files and functions' bodies are. `make check` prints it.

python benchmarks/code_size.py
"""

import ast
from pathlib import Path
from statistics import median

SOURCE = Path(__file__).parents[1] / "src" / "pocketvision"


def body_lines(function: ast.FunctionDef) -> int:
    """Count the lines of a body, without signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def upper(values: list[int]) -> int:
    """Return the value that nine in ten do not exceed."""
    return sorted(values)[int(0.9 * (len(values) - 1))]


def main() -> None:
    """Print one line on files and one on functions."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py"))]
    lines = [len(text.splitlines()) for text in texts]
    functions = [node for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    bodies = [body_lines(function) for function in functions]
    taken = [len(function.args.args) + len(function.args.kwonlyargs) for function in functions]
    print(f"{len(lines)} files, {sum(lines):,} lines; a file: median {median(lines):g}, p90 {upper(lines)} lines")
    print(
        f"{len(bodies):,} functions; a body: median {median(bodies):g}, p90 {upper(bodies)}, at most {max(bodies)} "
        f"lines; at most {max(taken)} parameters"
    )


if __name__ == "__main__":
    main()
