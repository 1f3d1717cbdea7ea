"""What a person sees: news and live bars on stderr, results on stdout, or one JSON value and nothing else there."""

import json
import re
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pocketvision.files import first_process
from pocketvision.progress import Bar
from pocketvision.values import to_json

if TYPE_CHECKING:
    from rich.progress import Progress as Live
    from rich.progress import TaskID


class Terminal:
    """A `Progress` on stderr: live bars on a terminal, one line a finished bar elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=not first_process())
        self._live: Live | None = None

    def say(self, text: str) -> None:
        """Print one line of news."""
        self.console.print(text, markup=False)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Bar]:
        """Show a bar of `total` steps."""
        if not self.console.is_terminal:
            with _written(self, title, total) as bar:
                yield bar
            return
        outermost = self._live is None
        live = self._live = self._live or _live(self.console)
        if outermost:
            live.start()
        bar = _LiveBar(live, live.add_task(title, total=total, note=""))
        try:
            yield bar
        finally:
            bar.remove()
            if outermost:
                live.stop()
                self._live = None


class _LiveBar:
    def __init__(self, live: "Live", task: "TaskID") -> None:
        self._live, self._task, self._note = live, task, ""

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        """Move on."""
        self._note = note or self._note
        self._live.update(self._task, advance=steps, note=self._note)

    def remove(self) -> None:
        """Take the bar away; what it said last stays as a line."""
        title = next(task.description for task in self._live.tasks if task.id == self._task)
        self._live.remove_task(self._task)
        if self._note:
            self._live.console.print(f"{title}: {self._note}", markup=False)


def _live(console: Any) -> "Live":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    return Progress(*columns, console=console, transient=True)


class _Line:
    """Counts in silence, and speaks every half minute, for logs."""

    def __init__(self, terminal: Terminal, title: str, total: int) -> None:
        self.terminal, self.title, self.total = terminal, title, total
        self.done, self.note, self.spoken = 0, "", time.monotonic()

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        self.done += steps
        self.note = note or self.note
        if time.monotonic() - self.spoken > 30:
            self.spoken = time.monotonic()
            self.terminal.say(f"{self.title}: {self.done}/{self.total}  {self.note}".rstrip())


@contextmanager
def _written(terminal: Terminal, title: str, total: int) -> Iterator[Bar]:
    line, started = _Line(terminal, title, total), time.monotonic()
    yield line
    seconds = time.monotonic() - started
    if seconds > 1 or line.note:
        terminal.say(f"{title}: {seconds:.0f} s  {line.note}".rstrip())


def emit(value: Any) -> None:
    """Print a result as one JSON value."""
    text = json.dumps(to_json(value), ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # JSON has its own way to write letters that the stream lacks
        text = json.dumps(to_json(value))
    print(text)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, words: Collection[str] = ()) -> None:
    """Print a plain table: text columns to the left, the others to the right.

    `words` are columns of text that may begin with a number.
    """
    rows = [[_visible(cell) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in [columns, *rows]) for place in range(len(columns))]
    right = [name not in words and all(_number(row[place]) for row in rows) for place, name in enumerate(columns)]
    for row in [columns, *rows]:
        cells = (
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(row, widths, right, strict=True)
        )
        print("  ".join(cells).rstrip(), file=sys.stdout)


def _visible(text: str) -> str:
    """Spell what would steer the terminal or break the line, as names of files may, in the way Python does."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda odd: ascii(odd[0])[1:-1], text)


def _number(text: str) -> bool:
    return text[:1].isdigit() or text[:1] in ("-", "")


def metric_words(metric: str) -> tuple[str, str]:
    """Return the name of a line with a figure, and what stands before the figure there: a long name is no heading."""
    return (metric, "") if len(metric) <= len("accuracy") else ("accuracy", f"{metric} ")


def macro_words(macro: float | None) -> str:
    """Say the mean over classes beside an accuracy; nothing where it was not asked for."""
    return "" if macro is None else f", {macro:.1%} as the mean over classes"
