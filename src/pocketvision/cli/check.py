"""How the result of `check` is shown."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pocketvision.errors import DataError

if TYPE_CHECKING:
    from pocketvision.values import Health

SHOWN = 10
"""Problems of one kind that a terminal shows."""


def show(health: "Health", given: Mapping[str, Any]) -> None:
    """Print how the data is split and what is wrong with it."""
    _show(health, told=given["output"] is not None)


def after(health: "Health") -> None:
    """Raise DataError for what keeps a net from being trained."""
    if health.faults:
        raise DataError(health.faults[0])


def _show(health: "Health", *, told: bool) -> None:
    from pocketvision.cli.terminal import table

    what = {"classes": "class", "attributes": "attribute", "boxes": "class of boxes"}[health.kind]
    rows = [[label, *(f"{row[split]}" for split in ("train", "val", "test"))] for label, row in health.counts.items()]
    table([what, "train", "val", "test"], rows)
    if health.reach:
        print()
        _reach(health)
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


def _reach(health: "Health") -> None:
    from pocketvision.cli.terminal import table
    from pocketvision.words import percent

    shares = {
        one.name: ["-" if share is None else percent(share) for share in (one.paper, one.fitted)]
        for one in health.reach
    }
    rows = [
        [one.name, f"{one.boxes}", f"{one.median_width:g} x {one.median_height:g}", *shares[one.name]]
        for one in health.reach
    ]
    table(["class of boxes", "boxes", "median at 320", "SSD's anchors reach", "fitted ones"], rows)


def _problems(health: "Health") -> None:
    from pocketvision.cli.terminal import table

    counts = Counter(problem.kind for problem in health.problems)
    for kind, count in counts.most_common():
        found = [problem for problem in health.problems if problem.kind == kind]
        print(f"{kind}: {count}, {sum(problem.left_out for problem in found)} left out")
        table(["  file", "detail"], [[f"  {problem.file}", problem.detail] for problem in found[:SHOWN]])
        if count > SHOWN:
            print(f"  and {count - SHOWN} more")
