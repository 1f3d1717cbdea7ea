"""The verb `reproduce`."""

from pocketvision.compress.paper_bytes import compression_tables
from pocketvision.cost.reproduce import tables_of
from pocketvision.cost.tables.cells import ReproducedTable
from pocketvision.errors import UnknownName, UsageError
from pocketvision.models.catalogue import parse_name
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import ReproduceOptions


@verb(ReproduceOptions)
def reproduce(options: ReproduceOptions) -> list[ReproducedTable]:
    """Reproduce the tables of a net's paper, and what releases print of it: one table, or all.

    SqueezeNet's table `compression`, of the bytes after each step, needs its released weights and is computed only
    where it is asked for. Raises UnknownName for a net or a table that does not exist.
    """
    found = tables_of(options.name)
    if not found:
        raise UsageError(f"no figures of {parse_name(options.name).name} are published here")
    if options.table is not None:
        every = (*found, *compression_tables(options.name))
        found = tuple(item for item in every if item.number == options.table)
        if not found:
            raise UnknownName("table", options.table, (item.number for item in every))
    own = parse_name(options.name).name
    with options.progress.bar("Counting", len(found)) as bar:
        reproduced = []
        for item in found:
            reproduced.append(ReproducedTable(own, item.number, item.title, item.source, tuple(item.cells())))
            bar.advance()
    return reproduced
