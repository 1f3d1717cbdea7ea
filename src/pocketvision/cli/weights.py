"""How results of the verbs of `weights` are shown: list, get, add, where."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketvision.weights.verbs import Kept, Listed, Places

VERBS = ("list", "get", "add", "where")
HELP = "Published weights: what there is, fetching it, adding a file of your own, where all of it lies."


def show_list(lines: "tuple[Listed, ...]") -> None:
    """Print what `weights list` returns."""
    from pocketvision.cli.terminal import table

    columns = ("name", "width", "pixels", "top-1", "bytes", "here", "license", "from", "file")
    rows = [
        (
            line.name,
            f"{line.width:g}",
            f"{line.resolution}",
            f"{line.top1:g}" if line.top1 is not None else "-",
            f"{line.size_bytes:,}" if line.size_bytes is not None else "-",
            "yes" if line.here else "no",
            line.license,
            line.provider,
            line.file,
        )
        for line in lines
    ]
    table(columns, rows)


def show_get(kept: "Kept") -> None:
    """Print what `weights get` returns."""
    size = f"{kept.size_bytes:,} bytes, license: {kept.license}"
    print(f"{kept.name} {kept.width:g}, trained at {kept.resolution}px, {kept.num_classes} classes; {size}")
    print(kept.path)


def show_add(kept: "Kept") -> None:
    """Print what `weights add` returns."""
    print(f"{kept.name} {kept.width:g}, {kept.num_classes} classes, {kept.size_bytes:,} bytes")
    print(kept.path)


def show_where(places: "Places") -> None:
    """Print what `weights where` returns."""
    print(f"POCKETVISION_WEIGHTS  {places.local or 'not set'}")
    print(f"cache                 {places.cache}")
    if places.file is not None:
        print(f"file                  {places.file} ({'here' if places.here else 'not here yet'})")
