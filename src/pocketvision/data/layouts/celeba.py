"""CelebA's text files: Deep Learning Face Attributes in the Wild.

Z. Liu, P. Luo, X. Wang, X. Tang, 2015, https://arxiv.org/abs/1411.7766.

`list_attr_celeba.txt` (a count, the names, then a file and -1/1 for each) and, beside it, `list_eval_partition.txt`.
"""

from dataclasses import replace
from pathlib import Path

from pocketvision.data.layouts.listing import Listing
from pocketvision.data.layouts.manifest import read_tables
from pocketvision.data.layouts.table import DataTable, read_text
from pocketvision.errors import DataError
from pocketvision.files import lines_of

NAME = "list_attr_celeba.txt"
PARTITION = "list_eval_partition.txt"
PLACES = ("", "img_align_celeba", "Img/img_align_celeba", "images")
SPLITS = {"0": "train", "1": "val", "2": "test"}


def read_celeba(path: Path) -> Listing:
    """List what the file names, with the splits if their file lies beside it."""
    table = _table(path)
    return read_tables(path.parent, {None: replace(table, images=_images_of(path, table))})


def _table(path: Path) -> DataTable:
    lines = lines_of(read_text(path))
    names = lines[1].split() if len(lines) > 1 and lines[0].strip().isdigit() else []
    if not names:
        raise DataError(f"'{path}' must begin with a line that holds the number of images, and one of names.")
    splits = _splits(path.with_name(PARTITION))
    rows, numbers = [], []
    for number, line in enumerate(lines[2:], 3):
        file, *values = line.split() or [""]
        if not file:
            continue
        if len(values) != len(names):
            raise DataError(f"line {number} of '{path}' has {len(values)} values for {len(names)} attributes.")
        rows.append((file, splits.get(file, ""), *values))
        numbers.append(number)
    if len(rows) != int(lines[0]):
        raise DataError(f"'{path}' promises {lines[0].strip()} images and names {len(rows)}: is it whole?")
    return DataTable(path, ("file", "split", *names), tuple(rows), tuple(numbers))


def _images_of(path: Path, table: DataTable) -> str:
    first = Path(table.rows[0][0]).name if table.rows else ""
    return next((place for place in PLACES if first and (path.parent / place / first).is_file()), "")


def _splits(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    splits = {}
    for number, line in enumerate(lines_of(read_text(path)), 1):
        match line.split():
            case []:
                pass
            case [file, part] if part in SPLITS:
                splits[file] = SPLITS[part]
            case _:
                raise DataError(f"line {number} of '{path}' is not a file and 0, 1 or 2.")
    return splits
