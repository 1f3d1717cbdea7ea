"""Figures and lists as people read them: sizes, counts, durations, shares, and the first of many names."""

import re
from collections.abc import Iterable

from pocketvision.values import Score

SPACE = "\N{NO-BREAK SPACE}"
"""A number and its unit stay on one line."""
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def size(value: float) -> str:
    """Write bytes with the 1000-based unit that fits."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if value >= step:
            return f"{_three(value / step)}{SPACE}{unit}"
    return f"{value:,.0f}{SPACE}bytes"


def bytes_text(value: float) -> str:
    """Write a size for a terminal, with its bytes: '1.23 MB (1,234,567 bytes)'."""
    exact = f"{round(value):,} bytes"
    return exact if value < 1e3 else f"{trimmed(size(value)).replace(SPACE, ' ')} ({exact})"


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


def interval(accuracy: Score) -> str:
    """Write the 95% interval alone."""
    return f"{percent(accuracy.low)} to {percent(accuracy.high)}"


def trimmed(figure: str) -> str:
    """Leave out the zeros at a decimal fraction's end."""
    return re.sub(r"(\.\d*?)0+(?!\d)", lambda found: found[1].rstrip("."), figure)


def plural(number: int, noun: str, many: str = "") -> str:
    """Write a number with its noun."""
    return f"{number:,}{SPACE}{noun if number == 1 else many or noun + 's'}"


def some(names: Iterable[str], most: int = 5) -> str:
    """Write the first few names of a list, and how many more there are."""
    listed = list(names)
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more} more" if more > 0 else "")


def quoted(names: Iterable[str], most: int = 5) -> str:
    """Write the first few names of a list in quotes, and how many more there are."""
    return some([repr(name) for name in names], most)


def _three(value: float) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"
