"""How the result of `demo` is shown."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketvision.verbs.demo import Demo


def show(written: "Demo") -> None:
    """Print the folder."""
    print(written.folder)
