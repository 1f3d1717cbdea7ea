"""How the result of `export` is shown."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketvision.export.write import Exported


def show(written: "Exported") -> None:
    """Print each file with its bytes."""
    from pocketvision.words import bytes_text

    sizes = {written.file: written.size_bytes} | {each.file: each.size_bytes for each in written.others}
    for file, size in sizes.items():
        print(f"{file}: {written.precision}, {bytes_text(size)}")
