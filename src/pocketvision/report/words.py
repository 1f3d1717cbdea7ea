"""Figures as words: sizes, counts, times and shares as people read them."""

import re
from typing import Literal

from pocketvision.budget.limits import Limit, asked
from pocketvision.values import Accuracy, Budget

SPACE = "\N{NO-BREAK SPACE}"
"""A number and its unit stay on one line."""
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
Kind = Literal["bytes", "ms", "count", "share"]


def size(value: float) -> str:
    """Write bytes with the 1000-based unit that fits."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if value >= step:
            return f"{_three(value / step)}{SPACE}{unit}"
    return f"{value:,.0f}{SPACE}bytes"


def count(value: float) -> str:
    """Write a count with G, M or K."""
    for unit, step in (("G", 1e9), ("M", 1e6), ("K", 1e3)):
        if value >= step:
            return f"{_three(value / step)}{SPACE}{unit}"
    return f"{value:,.0f}"


def ms(value: float) -> str:
    """Write milliseconds with three digits."""
    return f"{_three(value)}{SPACE}ms"


def percent(value: float) -> str:
    """Write a share in 0..1 as percent; only a whole is 100%."""
    text = f"{value:.1%}"
    return "99.9%" if text == "100.0%" and value < 1 else text.replace("100.0%", "100%")


def gap(value: float) -> str:
    """Write a difference of probabilities; tiny ones as a power of ten."""
    if value >= 1e-4 or value <= 0:
        return f"{value:.2g}"
    digits, power = f"{value:.1e}".split("e")
    return f"{digits}{SPACE}×{SPACE}10{str(int(power)).translate(_RAISED)}"


def seconds(value: float) -> str:
    """Write a duration as people say it."""
    if value < 60:
        return f"{value:.1f}{SPACE}s"
    minutes = round(value / 60)
    return f"{minutes}{SPACE}min" if minutes < 60 else f"{minutes // 60}{SPACE}h {minutes % 60}{SPACE}min"


def interval(accuracy: Accuracy) -> str:
    """Write the 95% interval alone."""
    return f"{percent(accuracy.low)} to {percent(accuracy.high)}"


def quantity(value: float, kind: Kind) -> str:
    """Write a figure of any kind a budget knows."""
    return {"bytes": size, "ms": ms, "count": count, "share": percent}[kind](value)


def bound(value: float, kind: Kind) -> str:
    """Write a limit as it was asked: without digits that nobody gave."""
    return re.sub(r"(\.\d*?)0+(?!\d)", lambda found: found[1].rstrip("."), quantity(value, kind))


def exact(value: float, kind: Kind) -> str:
    """Write all digits of a figure whose short form hides some; empty where nothing is hidden."""
    if kind == "bytes" and value >= 1000:
        return f"{value:,.0f}{SPACE}bytes"
    return f"{value:,.0f}" if kind == "count" and value >= 1000 else ""


def budget(contract: Budget) -> str:
    """Write the contract as a phrase; empty where nothing is limited."""
    return ", ".join(
        f"{limit.title.lower()} {limit.bound} {bound(value, kind_of(limit))}" for limit, value in asked(contract)
    )


def kind_of(limit: Limit) -> Kind:
    """Return how the figures of a limit are written here."""
    return "count" if limit.unit.exact else limit.unit.name  # type: ignore[return-value]


def some(names: tuple[str, ...] | list[str], most: int = 5) -> str:
    """Write the first few names of a list, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def plural(number: int, noun: str, many: str = "") -> str:
    """Write a number with its noun."""
    return f"{number:,}{SPACE}{noun if number == 1 else many or noun + 's'}"


def _three(value: float) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"
