"""How the result of `bench` is shown."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketvision.verbs.bench import BenchResult


def show(results: "list[BenchResult]", given: Mapping[str, Any]) -> None:
    """Print a row for each file, and what other devices measured below."""
    from pocketvision.cli.terminal import table

    many = len(given["files"])
    rows = [
        [
            result.file,
            f"{result.size_bytes:,}",
            f"{result.latency.median_ms:.3f}",
            f"{result.latency.p90_ms:.3f}",
            f"{result.latency.ratio:.2f}",
        ]
        for result in results
    ]
    here, elsewhere = rows[:many], rows[many:]
    head = ["file", "bytes", "median ms", "p90 ms", "x reference"]
    table(head, here)
    print(f"{results[0].latency.runtime}, {results[0].latency.machine}, {results[0].latency.threads} thread(s)")
    if elsewhere:
        print()
        others = [result.latency for result in results[many:]]
        where = [[latency.machine, f"{latency.runtime}, {latency.threads} thread(s)"] for latency in others]
        table([*head, "device", "runtime"], [[*row, *words] for row, words in zip(elsewhere, where, strict=True)])
