"""How a budget's limits are named and written."""

from typing import Literal

from pocketvision.budget.limits import Limit, asked
from pocketvision.values import Budget
from pocketvision.words import SPACE, count, ms, percent, size, trimmed

Kind = Literal["bytes", "ms", "count", "share"]


def quantity(value: float, kind: Kind) -> str:
    """Write a figure of any kind a budget knows."""
    return {"bytes": size, "ms": ms, "count": count, "share": percent}[kind](value)


def bound(value: float, kind: Kind) -> str:
    """Write a limit as it was asked: without digits that nobody gave."""
    return trimmed(quantity(value, kind))


def exact(value: float, kind: Kind) -> str:
    """Write all digits of a figure whose short form hides some; empty where nothing is hidden."""
    if kind == "bytes" and value >= 1000:
        return f"{value:,.0f}{SPACE}bytes"
    return f"{value:,.0f}" if kind == "count" and value >= 1000 else ""


def budget(contract: Budget) -> str:
    """Write the contract as a phrase; empty where nothing is limited."""
    by = {"max_latency": f" by {contract.profile}"} if contract.profile else {}
    by |= {"max_download": f" under {contract.compressor}"} if contract.compressor else {}
    return ", ".join(
        f"{limit.title.lower()} {limit.bound} {bound(value, kind_of(limit))}{by.get(limit.name, '')}"
        for limit, value in asked(contract)
    )


def kind_of(limit: Limit) -> Kind:
    """Return how the figures of a limit are written here."""
    return "count" if limit.unit.exact else limit.unit.name  # type: ignore[return-value]
