"""How a budget's limits are named and written."""

from dataclasses import dataclass
from typing import Literal

from pocketvision.values import Budget
from pocketvision.words import SPACE, count, ms, percent, size, trimmed

Kind = Literal["bytes", "ms", "count", "share"]


@dataclass(frozen=True)
class Limit:
    """How one budget option is named and written."""

    title: str
    kind: Kind
    at_most: bool = True


LIMITS = {
    "max_size": Limit("File size", "bytes"),
    "max_latency": Limit("Latency", "ms"),
    "max_macs": Limit("Multiply-adds", "count"),
    "max_memory": Limit("Peak memory", "bytes"),
    "max_params": Limit("Parameters", "count"),
    "min_accuracy": Limit("Accuracy", "share", at_most=False),
}


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


def budget(asked: Budget) -> str:
    """Write the contract as a phrase; empty where nothing is limited."""
    values = {
        "max_size": asked.max_size_bytes,
        "max_latency": asked.max_latency_ms,
        "max_macs": asked.max_macs,
        "max_memory": asked.max_memory_bytes,
        "max_params": asked.max_params,
        "min_accuracy": asked.min_accuracy,
    }
    return ", ".join(
        f"{limit.title.lower()} {'at most' if limit.at_most else 'at least'} {bound(value, limit.kind)}"
        for name, limit in LIMITS.items()
        if (value := values[name]) is not None
    )
