"""How a budget's limits are named and written."""

from typing import Literal

from pocketvision.budget.limits import Limit, asked
from pocketvision.values import Budget
from pocketvision.words import SPACE, count, ms, percent, size, trimmed

Kind = Literal["bytes", "ms", "count", "share"]
SIZES = {
    "small": "under 32 × 32 pixels",
    "medium": "up to 96 × 96 pixels",
    "large": "over 96 × 96 pixels",
}
"""COCO's sizes of things, in pixels of the image as it is."""


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


def titled(name: str) -> str:
    """Return a name as a heading begins with it: AP50 stays as it is."""
    return f"{name[:1].upper()}{name[1:]}"


def budget(contract: Budget, metric: str = "accuracy") -> str:
    """Write the contract as a phrase; empty where nothing is limited. `metric` is what its accuracy means."""
    by = {"max_latency": f" by {contract.profile}"} if contract.profile else {}
    by |= {"max_download": f" under {contract.compressor}"} if contract.compressor else {}
    named = {"min_accuracy": metric}
    parts = []
    for limit, value in asked(contract):
        name = named.get(limit.name, limit.title.lower())
        parts.append(f"{name} {limit.bound} {bound(value, kind_of(limit))}{by.get(limit.name, '')}")
    return ", ".join(parts)


def kind_of(limit: Limit) -> Kind:
    """Return how the figures of a limit are written here."""
    return "count" if limit.unit.exact else limit.unit.name  # type: ignore[return-value]
