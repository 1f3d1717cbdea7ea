"""Writes docs/measurements/reproduction.md: every published figure beside its count, and the errors found on the way.

    python benchmarks/reproduction_page.py          says whether the page is as the nets and the figures are
    python benchmarks/reproduction_page.py --write  writes it

Two parts are texts of their own: the errors (reproduction_errors.py), and the published weights on real images
(published_weights.md), which the page takes in as they are.
"""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from reproduction_errors import ERRATA, Erratum

from pocketvision.cost.reproduce import paper_tables, tables_of
from pocketvision.cost.tables.cells import Cell, ReproducedTable
from pocketvision.models.catalogue import families, names
from pocketvision.verbs.reproduce import reproduce

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "measurements" / "reproduction.md"
WEIGHTS = ROOT / "benchmarks" / "published_weights.md"

INTRODUCTION = """\
# Reproduction

Every figure of costs that the papers and the common releases print for a net of the catalogue, beside what is counted
here. `pocketvision reproduce mobilenet_v1 --table 2` shows one table, `pocketvision reproduce mobilenet_v1` all of a
net, with `--json` for programs. `python benchmarks/reproduction_page.py --write` writes this page out of
`models/published.csv` and the nets themselves; a test holds it to them.

A figure **holds** when it is within one unit of its last printed digit, cut or rounded; where every digit is printed,
it has to be equal. Sources count by different rules: with or without batch norms, moving statistics, a classifier of
1001 classes, norms as multiply-adds. Each line of `models/published.csv` names its rule, and `cost/conventions.py`
computes it. A figure that **differs** under its rule has a reason; a test fails when there is none, or when a figure
with a reason holds.

A source that begins with `recalled` was written down from memory of it; all others were read.

Left out are figures of tasks that have no net here (the detectors of others, segmentation, geolocation) and of nets
that are not in the catalogue. Accuracies are in `pocketvision models`.
"""


def page() -> str:
    """Return the whole page."""
    found = {name: _own(name) for name in _ordered()}
    parts = [
        INTRODUCTION,
        "\n".join(_summary(found)),
        "## Errors in the papers and in folklore\n",
        *(_erratum(place, erratum) for place, erratum in enumerate(ERRATA, 1)),
        "## Published weights on real images\n",
        "<!-- what follows is benchmarks/published_weights.md -->",
        WEIGHTS.read_text(encoding="utf-8").strip(),
        "<!-- and ends here -->\n",
        "## All figures\n",
        *("\n".join(_net(name, tables)) for name, tables in found.items() if tables),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _ordered() -> list[str]:
    """List the nets by the year of their paper, a family together."""
    return sorted(names(), key=lambda name: (families()[name].year, families()[name].home, name))


def _own(name: str) -> list[ReproducedTable]:
    """Reproduce a net's tables; those of a paper stand with the first net of its file."""
    home = families()[name].home
    first = next(other for other in families() if families()[other].home == home)
    skipped = {table.number for table in paper_tables(home)} if name != first else set()
    if not {table.number for table in tables_of(name)} - skipped:
        return []
    return [table for table in reproduce(name) if table.table not in skipped]


def _summary(found: dict[str, list[ReproducedTable]]) -> Iterator[str]:
    yield "| net | figures | hold | differ | not computed |"
    yield "|---|--:|--:|--:|--:|"
    sums = [0, 0, 0, 0]
    for name, tables in found.items():
        cells = [cell for table in tables for cell in table.cells if cell.verdict != "not printed"]
        if cells:
            verdicts = [
                sum(cell.verdict == verdict for cell in cells) for verdict in ("holds", "differs", "not computed")
            ]
            sums = [total + more for total, more in zip(sums, (len(cells), *verdicts), strict=True)]
            yield f"| [{name}](#{name}) | {len(cells)} | " + " | ".join(map(str, verdicts)) + " |"
    yield "| **all** | " + " | ".join(map(str, sums)) + " |\n"


def _erratum(place: int, erratum: Erratum) -> str:
    title, text, commands = erratum
    shown = "\n".join(f"    pocketvision {command}" for command in commands)
    wrapped = textwrap.fill(f"**{place}. {title}.** {text}", 120, break_on_hyphens=False)
    return f"{wrapped}\n\n{shown}\n"


def _net(name: str, tables: list[ReproducedTable]) -> Iterator[str]:
    yield f"### {name}\n"
    for table in tables:
        title = f"Table {table.table}: {table.title}" if table.table.isdigit() else table.title
        yield f"{title} ({table.source}; `pocketvision reproduce {name} --table {table.table}`)\n"
        yield "| | | published | computed | |"
        yield "|---|---|--:|--:|---|"
        yield from (_row(cell) for cell in table.cells)
        yield ""


def _row(cell: Cell) -> str:
    verdict = f"{cell.verdict}: {cell.reason}" if cell.reason else cell.verdict
    texts = (cell.row, cell.column, cell.published, cell.computed, verdict)
    return "| " + " | ".join(text.replace("|", "/") for text in texts) + " |"


def main() -> int:
    """Write the page, or say whether it is as it should be."""
    wanted = page()
    if "--write" in sys.argv[1:]:
        PAGE.write_text(wanted, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted:
        print(f"{PAGE.relative_to(ROOT)} is not as the nets are: python benchmarks/reproduction_page.py --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
