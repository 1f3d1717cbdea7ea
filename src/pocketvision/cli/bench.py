"""The verb `bench`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli import options as o


def bench(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Delivered files.")],
    threads: Annotated[int, typer.Option(help="Threads of the runtime.")] = 1,
    json: o.Json = False,
) -> None:
    """Time files on this machine, one picture at a time, beside a reference net."""
    import pocketvision
    from pocketvision.cli.terminal import Terminal, emit, table

    results = pocketvision.bench(files, threads=threads, progress=Terminal())
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
    table(["file", "bytes", "median ms", "p90 ms", "x reference"], rows)
    print(f"{results[0].latency.runtime}, {results[0].latency.machine}, {threads} thread(s)")
