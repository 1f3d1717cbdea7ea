"""The verb `check`."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketvision.cli import options as o
from pocketvision.errors import DataError

if TYPE_CHECKING:
    from pocketvision.values import Health

SHOWN = 10
"""Problems of one kind that a terminal shows."""


def check(  # noqa: PLR0917  a command's options
    data: o.Data,
    val: o.Val = 0.15,
    test: o.Test = 0.15,
    seed: o.Seed = 42,
    output: Annotated[
        Path | None, typer.Option(help="Folder that gets check.json and check.html, which shows the images.")
    ] = None,
    fix: Annotated[
        Path | None,
        typer.Option(help="CSV file in the data's folder or above that gets a cleaned table; no image is touched."),
    ] = None,
    json: o.Json = False,
) -> None:
    """Look at the images before training: what is there, broken, repeated or contradictory, and how it is split."""
    import pocketvision
    from pocketvision.cli.terminal import Terminal, emit

    health = pocketvision.check(data, val=val, test=test, seed=seed, output=output, fix=fix, progress=Terminal())
    if json:
        emit(health)
    else:
        _show(health, told=output is not None)
    if health.faults:
        raise DataError(health.faults[0])


def _show(health: "Health", *, told: bool) -> None:
    from pocketvision.cli.terminal import table

    what = {"classes": "class", "attributes": "attribute", "boxes": "class of boxes"}[health.kind]
    rows = [[label, *(f"{row[split]}" for split in ("train", "val", "test"))] for label, row in health.counts.items()]
    table([what, "train", "val", "test"], rows)
    if health.problems:
        print()
        _problems(health)
    if health.statistics:
        print()
        table(["statistic", "images", "meaning"], [[t.kind, f"{t.count}", t.detail] for t in health.statistics])
    print()
    print(f"{health.images} usable images, short sides from {health.smallest_short_side} pixels, ", end="")
    print(f"median {health.median_short_side}")
    for warning in health.warnings:
        print(warning)
    if health.problems and not told:
        fix = "; to train without what is wrong, --fix FILE.csv" if health.kind == "classes" else ""
        print(f"To see the images, add --output FOLDER{fix}.")


def _problems(health: "Health") -> None:
    from pocketvision.cli.terminal import table

    counts = Counter(problem.kind for problem in health.problems)
    for kind, count in counts.most_common():
        found = [problem for problem in health.problems if problem.kind == kind]
        print(f"{kind}: {count}, {sum(problem.left_out for problem in found)} left out")
        table(["  file", "detail"], [[f"  {problem.file}", problem.detail] for problem in found[:SHOWN]])
        if count > SHOWN:
            print(f"  and {count - SHOWN} more")
