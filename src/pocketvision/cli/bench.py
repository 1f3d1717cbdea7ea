"""The verb `bench`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli import options as o


def bench(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Delivered files.")],
    measured: Annotated[
        list[Path] | None, typer.Option(help="Measurement that the demo's page saved on a phone; may be given often.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of the runtime.")] = 1,
    json: o.Json = False,
) -> None:
    """Time files on this machine, one image at a time, beside a reference net; show what phones measured."""
    import pocketvision
    from pocketvision.cli.terminal import Terminal, emit, table

    results = pocketvision.bench(files, measured=measured, threads=threads, progress=Terminal())
    if json:
        emit(results)
        return
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
    here, elsewhere = rows[: len(files)], rows[len(files) :]
    head = ["file", "bytes", "median ms", "p90 ms", "x reference"]
    table(head, here)
    print(f"{results[0].latency.runtime}, {results[0].latency.machine}, {threads} thread(s)")
    if elsewhere:
        print()
        others = [result.latency for result in results[len(files) :]]
        where = [[latency.machine, f"{latency.runtime}, {latency.threads} thread(s)"] for latency in others]
        table([*head, "device", "runtime"], [[*row, *words] for row, words in zip(elsewhere, where, strict=True)])
