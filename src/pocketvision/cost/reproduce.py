"""The verb `reproduce`: the papers' tables, published and computed side by side."""

import importlib
from importlib import resources

from pocketvision.cost.tables.cells import ReproducedTable, Table
from pocketvision.cost.tables.releases import release_tables
from pocketvision.errors import UnknownName, UsageError
from pocketvision.models.catalogue import family_of, parse_name
from pocketvision.progress import Progress, Silent


def reproduce(name: str, *, table: str | None = None, progress: Progress = Silent()) -> list[ReproducedTable]:
    """Reproduce the tables of a net's paper, and what releases print of it: one table, or all.

    Raises UnknownName for a net or a table that does not exist.
    """
    found = tables_of(name)
    if not found:
        raise UsageError(f"no figures of {parse_name(name).name} are published here")
    if table is not None:
        found = tuple(item for item in found if item.number == table)
        if not found:
            raise UnknownName("table", table, (item.number for item in tables_of(name)))
    own = parse_name(name).name
    with progress.bar("Counting", len(found)) as bar:
        reproduced = []
        for item in found:
            reproduced.append(ReproducedTable(own, item.number, item.title, item.source, tuple(item.cells())))
            bar.advance()
    return reproduced


def tables_of(name: str) -> tuple[Table, ...]:
    """Return the tables of a net in the paper's order, then those of releases; nothing is counted yet."""
    own = parse_name(name).name
    numbered = paper_tables(family_of(own).home)
    return (*numbered, *release_tables(own, numbered))


def paper_tables(home: str) -> tuple[Table, ...]:
    """Return the numbered tables of a family's paper, none where they are not written down here."""
    if not resources.files("pocketvision.cost.tables").joinpath(f"{home}.py").is_file():
        return ()
    found: tuple[Table, ...] = importlib.import_module(f"pocketvision.cost.tables.{home}").TABLES
    return found
