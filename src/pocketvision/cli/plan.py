"""How the result of `plan` is shown."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketvision.values import Candidate
    from pocketvision.verbs.plan import Plan

SHOWN = 12


def show(result: "Plan") -> None:
    """Print what would be trained, the frontier around it, and what each limit costs."""
    from pocketvision.cli.terminal import table

    print(f"{result.considered:,} settings considered, {result.kept:,} keep the budget.")
    for note in result.notes:
        print(note)
    columns = ["", "net", "begins", "precision", "file", "MACs", "ms"]
    if any(one.accuracy for one in (*result.shortlist, *result.front)):
        columns += ["predicted accuracy", "90% interval"]
    within = [one for one in result.front if one.status == "not needed"]
    step = max(1, -(-len(within) // SHOWN))
    beyond = [one for one in result.front if one.status in ("over budget", "too slow")]
    count = len(columns)
    table(columns, [_row(place, one)[:count] for place, one in enumerate(result.shortlist, 1)])
    if within:
        print("\nThe best at every cost within the budget:")
        table(columns, [_row(None, one)[:count] for one in within[::step]])
    if beyond:
        print("\nThe nearest beyond it:")
        table([*columns, "why not"], [[*_row(None, one)[:count], one.reason] for one in beyond[: SHOWN // 2]])
    for line in result.steps:
        print(line)
    print(f"\nTraining would take about {result.training_s:.0f} s here. {len(result.shortlist)} nets would be tried:")
    print(result.command)


def _row(place: int | None, one: "Candidate") -> list[str]:
    predicted, ms = one.accuracy, one.latency_ms or (one.predicted_ms.middle if one.predicted_ms else None)
    return [
        str(place or ""),
        str(one.spec),
        one.start if one.start == "scratch" else f"{one.start}: {one.origin}",
        one.precision,
        f"{one.size_bytes / 1e3:,.0f} KB",
        f"{one.cost.macs / 1e6:,.1f}M",
        "-" if ms is None else f"{ms:.2f}",
        "-" if predicted is None else f"{predicted.middle:.1%}",
        "-" if predicted is None else f"{predicted.low:.1%} to {predicted.high:.1%}",
    ]
