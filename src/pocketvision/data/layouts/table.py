"""CSV and JSONL files as rows of text, each with its line number; told apart by suffix."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketvision.errors import DataError

CSV_SUFFIXES = frozenset((".csv", ".tsv"))
JSONL_SUFFIXES = frozenset((".jsonl", ".ndjson"))
TABLE_SUFFIXES = CSV_SUFFIXES | JSONL_SUFFIXES

NESTED = "\0nested"
"""Stands for a list or an object, which no CSV can hold either."""


@dataclass(frozen=True)
class DataTable:
    """A manifest's columns, as it spells them, and rows of as many values; empty where JSON lacks the key."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    images: str = ""
    """Folder below the table's own that the files are relative to."""

    def where(self, row: int) -> str:
        """Say where a row stands."""
        return f"line {self.lines[row]} of '{self.path}'"


def read_table(path: Path) -> DataTable:
    """Read a table; a `DataError` names the line that is malformed."""
    text = read_text(path)
    return _jsonl(path, text) if path.suffix.lower() in JSONL_SUFFIXES else _csv(path, text)


def read_text(path: Path) -> str:
    """Read UTF-8 text, or UTF-16 with its mark as Excel writes it; a `DataError` names a line that is neither."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror}.") from None
    try:
        return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"line {line} of '{path}' is no UTF-8 text; save the file as UTF-8.") from None


# ---------------------------------------------------------------- CSV


def _csv(path: Path, text: str) -> DataTable:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True, skipinitialspace=True)
    lines = _csv_lines(path, reader)
    columns = next((tuple(name.strip() for name in line) for _, line in lines), ())
    _must_differ(path, columns)
    rows: list[tuple[str, ...]] = []
    numbers: list[int] = []
    for number, line in lines:
        if len(line) != len(columns):
            raise DataError(f"line {number} of '{path}' has {len(line)} values, not {len(columns)} as its first line.")
        rows.append(tuple(line))
        numbers.append(number)
    return DataTable(path, columns, tuple(rows), tuple(numbers))


def _csv_lines(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    try:
        for line in reader:
            if any(value and not value.isspace() for value in line):
                yield reader.line_num, line
    except csv.Error as error:
        raise DataError(f"line {reader.line_num} of '{path}' is no CSV: {error}.") from None


def _delimiter(text: str) -> str:
    """Return what parts the names of the first line: a comma, semicolon or tab."""
    first = next((line for line in text.split("\n", 100) if line.strip()), "")
    counts = {mark: first.count(mark) for mark in ",;\t"}
    return max(counts, key=lambda mark: counts[mark])


def _must_differ(path: Path, columns: tuple[str, ...]) -> None:
    counts = Counter(name.casefold() for name in columns if name)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise DataError(f"'{path}' has the column '{twice[0]}' twice.")


# ---------------------------------------------------------------- JSON lines


def _jsonl(path: Path, text: str) -> DataTable:
    records: list[dict[str, Any]] = []
    numbers: list[int] = []
    columns: dict[str, None] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if line and not line.isspace():
            record = _record(line, f"line {number} of '{path}'")
            records.append(record)
            numbers.append(number)
            columns.update(dict.fromkeys(record))
    _must_differ(path, tuple(columns))
    rows = tuple(tuple(_text(record.get(name)) for name in columns) for record in records)
    return DataTable(path, tuple(columns), rows, tuple(numbers))


def _record(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError(
            f'{where} is no JSON; write one object a line, such as {{"file_name": "1.jpg", "label": "cat"}}.'
        ) from None
    if not isinstance(record, dict):
        raise DataError(f"{where} is no JSON object but {type(record).__name__}.")
    return record


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return str(int(value))
        case float() if math.isnan(value):  # as pandas writes what is absent
            return ""
        case int() | float():
            return f"{value}"
        case _:
            # Kept as text that no label column allows and that is neither 0 nor 1.
            return NESTED
