"""The verb `check`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli import options as o


def check(  # noqa: PLR0917  a command's options
    data: o.Data,
    val: o.Val = 0.15,
    test: o.Test = 0.15,
    seed: o.Seed = 42,
    output: Annotated[Path | None, typer.Option(help="Folder that gets check.json.")] = None,
    json: o.Json = False,
) -> None:
    """Look at the pictures before training: what is there, what is broken, how it is split."""
    import pocketvision
    from pocketvision.cli.terminal import Terminal, emit, table

    health = pocketvision.check(data, val=val, test=test, seed=seed, output=output, progress=Terminal())
    if json:
        emit(health)
        return
    rows = [[label, *(f"{row[split]}" for split in ("train", "val", "test"))] for label, row in health.counts.items()]
    table(["class", "train", "val", "test"], rows)
    if health.problems:
        print()
        table(
            ["problem", "file", "left out", "detail"],
            [[item.kind, item.file, "yes" if item.left_out else "no", item.detail] for item in health.problems],
        )
    print()
    print(f"short sides from {health.smallest_short_side} pixels, median {health.median_short_side}")
    for note in health.notes:
        print(note)
