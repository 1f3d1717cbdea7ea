"""Work done ahead: the next batches are made in a second thread while the net learns from this one."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
DEPTH = 2


def prefetch(items: Iterator[T], depth: int = DEPTH) -> Iterator[T]:
    """Yield the same items in the same order; up to `depth` of them are made before they are asked for."""
    # One thread of its own kind: a team of them beside the training's would outnumber the cores.
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        coming: deque[Future[tuple[T] | None]] = deque(pool.submit(_next, items) for _ in range(depth))
        try:
            while (found := coming.popleft().result()) is not None:
                coming.append(pool.submit(_next, items))
                yield found[0]
        finally:
            for future in coming:
                future.cancel()


def _next(items: Iterator[T]) -> tuple[T] | None:
    for item in items:
        return (item,)
    return None
