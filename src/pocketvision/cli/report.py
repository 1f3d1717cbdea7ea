"""How the result of `report` is shown."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def show(page: "Path") -> None:
    """Print where the page is."""
    print(page)


def jsonable(page: "Path") -> dict[str, "Path"]:
    """Return what JSON says of the page."""
    return {"report": page}
