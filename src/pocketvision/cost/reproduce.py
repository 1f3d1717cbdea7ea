"""The verb `reproduce`: the papers' tables, published and computed side by side."""

import importlib
from importlib import resources

from pocketvision.cost.tables.cells import Table
from pocketvision.cost.tables.releases import release_tables
from pocketvision.models.catalogue import family_of, parse_name


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
