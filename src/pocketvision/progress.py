"""How long work tells of itself: the library speaks to a `Progress`, and only the command line knows a terminal."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

T = TypeVar("T")


class Bar(Protocol):
    """One running bar."""

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        """Move on by `steps`; `note` replaces the text at the bar's end."""


class Progress(Protocol):
    """Receives what happens, as it happens."""

    def say(self, text: str) -> None:
        """One line of news."""

    def bar(self, title: str, total: int) -> AbstractContextManager[Bar]:
        """Open a bar of `total` steps for the body of a `with`."""


class _SilentBar:
    def advance(self, steps: int = 1, *, note: str = "") -> None:
        pass


class Silent:
    """Says nothing: the default of every public function."""

    def say(self, text: str) -> None:
        pass

    def bar(self, title: str, total: int) -> AbstractContextManager[Bar]:
        return nullcontext(_SilentBar())


def track(items: Iterable[T], progress: Progress, title: str, total: int) -> Iterator[T]:
    """Yield `items`, moving a bar by one for each."""
    with progress.bar(title, total) as bar:
        for item in items:
            yield item
            bar.advance()
