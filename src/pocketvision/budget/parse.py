"""Budgets as people write them: 500KB, 1.5MiB, 10ms, 50M."""

import re

from pocketvision.errors import UsageError
from pocketvision.values import Budget

_BYTES = {"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_COUNT = {"k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}
_TIME_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}

Amount = str | float | int | None


def parse_budget(
    *,
    max_size: Amount = None,
    max_latency: Amount = None,
    max_macs: Amount = None,
    max_memory: Amount = None,
    max_params: Amount = None,
    min_accuracy: Amount = None,
) -> Budget:
    """Read a budget. Sizes without a unit are bytes, latencies milliseconds, accuracy a share of 1 or '90%'.

    KB and MB are 1000-based, KiB and MiB 1024-based. Raises UsageError that shows how to write the amount.
    """
    return Budget(
        max_size_bytes=_whole("max-size", max_size, _BYTES, "500KB, 2MB, 1.5MiB or a number of bytes"),
        max_latency_ms=_amount("max-latency", max_latency, _TIME_MS, "10ms, 0.5s or a number of milliseconds"),
        max_macs=_whole("max-macs", max_macs, _COUNT, "50M, 0.3G or a plain number"),
        max_memory_bytes=_whole("max-memory", max_memory, _BYTES, "4MB, 512KiB or a number of bytes"),
        max_params=_whole("max-params", max_params, _COUNT, "1M, 250k or a plain number"),
        min_accuracy=_share(min_accuracy),
    )


def _amount(option: str, text: Amount, units: dict[str, float], examples: str) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)\s*", str(text))
    unit = match[2].lower() if match else ""
    if not match or (unit and unit not in units):
        raise UsageError(f"--{option} '{text}' is not an amount; write {examples}")
    value = float(match[1]) * units.get(unit, 1)
    if value <= 0:
        raise UsageError(f"--{option} must be more than zero, not '{text}'; write {examples}")
    return value


def _whole(option: str, text: Amount, units: dict[str, float], examples: str) -> int | None:
    value = _amount(option, text, units, examples)
    return None if value is None else int(value)


def _share(text: Amount) -> float | None:
    if text is None:
        return None
    plain = str(text).strip()
    try:
        value = float(plain.removesuffix("%")) / (100 if plain.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise UsageError(f"--min-accuracy '{text}' is not a share; write 0.9 or 90%")
    return value


def bytes_text(count: float) -> str:
    """Write a size as people say it, with its bytes: '1.23 MB (1,234,567 bytes)'."""
    exact = f"{round(count):,} bytes"
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit} ({exact})"
    return exact
