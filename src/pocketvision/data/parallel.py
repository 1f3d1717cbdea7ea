"""A map over threads that keeps the order and never runs far ahead of its reader."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 4
"""Items begun per thread before the reader has taken them: bounds the decoded images in memory."""


def in_order(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    threads: int | None = None,
    begin: Callable[[], object] | None = None,
) -> Iterator[R]:
    """Yield `function(item)` for each item, in order, worked on by `threads`, else as many as there are cores.

    For work that leaves Python's lock, as Pillow's decoders and hashing do. The first error ends it. Each thread calls
    `begin` first.
    """
    threads = threads or os.cpu_count() or 1
    pending: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="pocketvision", initializer=begin)
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= threads * AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
