"""Numbers of channels that are tied to each other, as sets that are joined one by one (union-find)."""

from collections.abc import Iterable


class Ties:
    """Which numbers belong together; the least of them stands for all."""

    def __init__(self) -> None:
        self._parents: list[int] = []

    def new(self, count: int) -> list[int]:
        """Return so many numbers that are tied to nothing."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return list(range(first, first + count))

    def root(self, one: int) -> int:
        """Return the number that stands for all that are tied to this one."""
        while self._parents[one] != one:
            self._parents[one] = self._parents[self._parents[one]]
            one = self._parents[one]
        return one

    def tie(self, first: Iterable[int], second: Iterable[int]) -> None:
        """Tie each number to the one at its place; raises ValueError for unlike counts."""
        for one, other in zip(first, second, strict=True):
            low, high = sorted((self.root(one), self.root(other)))
            self._parents[high] = low
