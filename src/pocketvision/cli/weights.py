"""The verbs of `weights`: list, get, add, where."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli import options as o

VERBS = ("list", "get", "add", "where")
HELP = "Published weights: what there is, fetching it, adding a file of your own, where all of it lies."

_Net = Annotated[str | None, typer.Argument(metavar="NAME", help="Only this net, such as mobilenet_v2.")]
_Source = Annotated[
    str | None, typer.Option(help="A provider's or a file's name, where the preferred one is not wanted.")
]


def list(
    name: _Net = None,
    here: Annotated[bool, typer.Option("--here", help="Only what is on this machine.")] = False,
    json: o.Json = False,
) -> None:
    """List the published weights that are known, the preferred file of a net first."""
    from pocketvision import weights
    from pocketvision.cli.terminal import emit, table

    lines = weights.list(name, here=here)
    if json:
        emit(lines)
        return
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


def get(
    name: Annotated[str, typer.Argument(help="A net's name, such as mobilenet_v2 or mobilenet_v1_0.25_128.")],
    width: o.Width = None,
    resolution: o.Resolution = None,
    source: _Source = None,
    json: o.Json = False,
) -> None:
    """Fetch published weights into the cache; goes on where a download was cut off."""
    from pocketvision import weights
    from pocketvision.cli.terminal import Terminal, emit

    kept = weights.get(name, width=width, resolution=resolution, source=source, progress=Terminal())
    if json:
        emit(kept)
        return
    size = f"{kept.size_bytes:,} bytes, license: {kept.license}"
    print(f"{kept.name} {kept.width:g}, trained at {kept.resolution}px, {kept.num_classes} classes; {size}")
    print(kept.path)


def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A weights file on this machine.")],
    name: Annotated[str | None, typer.Option(help="Its name in the cache; by default the one it has.")] = None,
    json: o.Json = False,
) -> None:
    """Copy a weights file into the cache after reading it."""
    from pocketvision import weights
    from pocketvision.cli.terminal import emit

    kept = weights.add(file, name=name)
    if json:
        emit(kept)
        return
    print(f"{kept.name} {kept.width:g}, {kept.num_classes} classes, {kept.size_bytes:,} bytes")
    print(kept.path)


def where(
    name: Annotated[str | None, typer.Argument(help="A net's name: which file would it use?")] = None,
    width: o.Width = None,
    resolution: o.Resolution = None,
    source: _Source = None,
    json: o.Json = False,
) -> None:
    """Say where weights are looked for, and which file a name stands for."""
    from pocketvision import weights
    from pocketvision.cli.terminal import emit

    places = weights.where(name, width=width, resolution=resolution, source=source)
    if json:
        emit(places)
        return
    print(f"POCKETVISION_WEIGHTS  {places.local or 'not set'}")
    print(f"cache                 {places.cache}")
    if places.file is not None:
        print(f"file                  {places.file} ({'here' if places.here else 'not here yet'})")
