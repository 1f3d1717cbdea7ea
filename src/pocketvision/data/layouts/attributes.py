"""0/1 columns of a table as attributes: 0/1, or -1/1 as CelebA writes them; empty where unknown."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

from pocketvision.data.layouts.table import DataTable
from pocketvision.errors import DataError
from pocketvision.words import quoted

VALUES: dict[str, int | None] = {
    "": None,
    "nan": None,
    "null": None,
    "none": None,
    "0": 0,
    "0.0": 0,
    "false": 0,
    "1": 1,
    "1.0": 1,
    "true": 1,
    "-1": -1,
    "-1.0": -1,
}
"""How tables write them; pandas turns whole numbers into 1.0 where a column has gaps."""

MOSTLY = 0.9
"""Share of 0/1 values above which another value is a mistake and not another kind of column."""


@dataclass(frozen=True)
class Attributes:
    """The names of 0/1 columns, and their values row by row."""

    names: tuple[str, ...]
    rows: tuple[tuple[int | None, ...], ...]
    warnings: tuple[str, ...]


def attributes_of(table: DataTable, columns: Sequence[int]) -> Attributes:
    """Read those of the columns that hold only 0 and 1; no names where they are fewer than two.

    A `DataError` names the line of a stray value, and a column that holds 0, 1 and -1, which can mean two things.
    """
    values = {index: [row[index].strip().casefold() for row in table.rows] for index in columns}
    fitting = [index for index in columns if _fits(values[index])]
    if len(fitting) < 2:
        return Attributes((), (), ())
    numbers = {index: _numbers(table, index, values[index]) for index in fitting}
    found = {number for column in numbers.values() for number in column}
    if -1 in found:
        _must_be_plain(table, numbers)
        numbers = {index: [0 if n == -1 else n for n in column] for index, column in numbers.items()}
    names = tuple(table.columns[index] for index in fitting)
    rows = tuple(zip(*numbers.values(), strict=True))
    return Attributes(names, rows, _one_hot(rows))


def _fits(values: Sequence[str]) -> bool:
    counts = Counter(values)
    known = sum(count for value, count in counts.items() if VALUES.get(value) is not None)
    strange = sum(count for value, count in counts.items() if value not in VALUES)
    return known > 0 and known >= MOSTLY * (known + strange)


def _numbers(table: DataTable, index: int, values: Sequence[str]) -> list[int | None]:
    try:
        return [VALUES[value] for value in values]
    except KeyError:
        row = next(row for row, value in enumerate(values) if value not in VALUES)
        raise DataError(
            f"{table.where(row)} has '{table.rows[row][index]}' in the column '{table.columns[index]}', "
            "which is otherwise 0 and 1; leave it empty if it is unknown."
        ) from None


def _must_be_plain(table: DataTable, numbers: dict[int, list[int | None]]) -> None:
    for index, column in numbers.items():
        if 0 in column:
            mixed = quoted(table.columns[i] for i in numbers if -1 in numbers[i])
            raise DataError(
                f"'{table.path}' has -1 in {mixed} and 0 in '{table.columns[index]}': "
                "write 0 and 1 (or -1 and 1), and leave empty what is unknown."
            )


def _one_hot(rows: Sequence[tuple[int | None, ...]]) -> tuple[str, ...]:
    if rows and all(sum(1 for _ in compress(row, row)) == 1 for row in rows):
        return ("Every image has exactly one attribute: if they are classes, write them as one column, label.",)
    return ()
