"""How the result of `bench` is shown."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketvision.verbs.bench import BenchResult


def show(results: "list[BenchResult]") -> None:
    """Print a row for each file, what cannot be told, and what other devices measured below."""
    from pocketvision.cli.terminal import table

    here = [result for result in results if result.loading is not None]
    elsewhere = [result for result in results if result.loading is None]
    threads = len({result.latency.threads for result in here}) > 1
    batch = any(result.batch > 1 for result in here)
    head = ["file", "runtime", *["threads"] * threads, *["batch"] * batch, *_TIMES, "load ms", "memory MB"]
    table(head, [_row(result, threads=threads, batch=batch) for result in here])
    print()
    for runtime in dict.fromkeys(result.latency.runtime for result in here):
        print(f"{runtime}, {here[0].latency.machine}, {_threads(here)}")
    if batch:
        print("a batch's times are of one of its images")
    for sentence in dict.fromkeys(sentence for result in here for sentence in _remarks(result)):
        print(sentence)
    if elsewhere:
        print()
        where = [
            [each.latency.machine, f"{each.latency.runtime}, {each.latency.threads} thread(s)"] for each in elsewhere
        ]
        rows = [[result.file, *_times(result), *words] for result, words in zip(elsewhere, where, strict=True)]
        table(["file", *_TIMES, "device", "runtime"], rows)


_TIMES = ("bytes", "median ms", "p90 ms", "x reference")


def _row(result: "BenchResult", *, threads: bool, batch: bool) -> list[str]:
    assert result.loading is not None
    return [
        result.file,
        result.latency.runtime.split()[0],
        *[str(result.latency.threads)] * threads,
        *[str(result.batch)] * batch,
        *_times(result),
        f"{result.loading.load_ms:.1f}",
        f"{result.loading.peak_bytes / 1e6:.0f}",
    ]


def _times(result: "BenchResult") -> list[str]:
    latency = result.latency
    figures = [f"{latency.median_ms:.3f}", f"{latency.p90_ms:.3f}", f"{latency.ratio:.2f}"]
    return [f"{result.size_bytes:,}", *figures]


def _remarks(result: "BenchResult") -> list[str]:
    named = f"{result.file} in {result.latency.runtime.split()[0]}"
    alone = f"{named} takes one image a call: the images of a batch were given one after the other"
    setting = f"{_threads([result])}, batch {result.batch}"
    return [*[alone] * (not result.together), *[f"{named}, {setting}: {result.noise}"] * bool(result.noise)]


def _threads(results: "list[BenchResult]") -> str:
    counts = sorted({result.latency.threads for result in results})
    return f"{' and '.join(map(str, counts))} thread(s)"
