"""Every error a user can meet, with its exit code.

PocketvisionError            1  something went wrong; the message says what to do next
|-- UsageError               2  the request itself is wrong
|   |-- UnknownName          2  a name that does not exist; lists those that do
|   `-- RunExists            2  a run of that name is there already
|-- DataError                1  the images or labels cannot be used as they are
|   `-- ImageError           1  one file cannot be decoded
|-- Diverged                 1  weights became no numbers while they were trained
|-- WeightsError             1  a weights file does not fit the net, or is not what it claims
|-- GraphError               1  a net holds something the inference graph has no kernel for
|-- MissingExtra             1  an optional package is not installed
|-- BudgetMissed             3  the delivered file breaks the budget, or no candidate can keep it
`-- VerificationFailed       4  the delivered file does not answer as the trained net does
"""

from collections.abc import Iterable
from difflib import get_close_matches


class PocketvisionError(Exception):
    """Base of every error meant for a user; `exit_code` is the process's."""

    exit_code = 1
    result: object = None
    """What was done all the same, such as the summary of a run whose file breaks the budget."""


class UsageError(PocketvisionError, ValueError):
    """The request is wrong as asked."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that is not known; the message lists the known ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = get_close_matches(name, names, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        super().__init__(f"unknown {kind} '{name}'.{hint} Known: {', '.join(names)}.")


class RunExists(UsageError):
    """A finished or started run already has this name."""


class DataError(PocketvisionError, ValueError):
    """The images or labels cannot be used as they are."""


class ImageError(DataError):
    """One file cannot be decoded to an image."""


class Diverged(PocketvisionError):
    """A training's weights or losses are no numbers any more."""

    def __init__(self, epoch: int, rate: float) -> None:
        super().__init__(
            f"training diverged in epoch {epoch}: its numbers grew beyond all bounds at a learning rate of {rate:g}. "
            f"Start a new run with a lower one, such as --lr {min(rate / 10, 0.01):.2g}"
        )
        self.kept = False
        """Whether the net holds the best weights from before."""


class WeightsError(PocketvisionError, ValueError):
    """A weights file is damaged or does not fit the net."""


class GraphError(PocketvisionError, ValueError):
    """A net cannot be expressed in, or run by, the inference graph."""


class MissingExtra(PocketvisionError, ImportError):
    """An optional package is absent; the message holds the install command."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package '{package}', which is not installed. Run: pip install 'pocketvision[{extra}]'"
        )


class BudgetMissed(PocketvisionError):
    """No candidate, or not the delivered file, keeps the budget."""

    exit_code = 3


class VerificationFailed(PocketvisionError):
    """The delivered file's answers differ from the trained net's."""

    exit_code = 4
