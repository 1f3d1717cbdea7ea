"""Budgets as people write them: 500KB, 1.5MiB, 10ms, 50M."""

import re

from pocketvision.values import Budget
from pocketvision.values.ranges import in_range, read, share

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
        max_size_bytes=_whole("max_size", max_size, _BYTES),
        max_latency_ms=_amount("max_latency", max_latency, _TIME_MS),
        max_macs=_whole("max_macs", max_macs, _COUNT),
        max_memory_bytes=_whole("max_memory", max_memory, _BYTES),
        max_params=_whole("max_params", max_params, _COUNT),
        min_accuracy=None if min_accuracy is None else share("min_accuracy", min_accuracy),
    )


def _amount(name: str, given: Amount, units: dict[str, float]) -> float | None:
    if given is None:
        return None
    match = re.fullmatch(r"(.*?)\s*([A-Za-z]*)\s*", given, re.DOTALL) if isinstance(given, str) else None
    found, unit = (read(match[1]), match[2].lower()) if match else (read(given), "")
    known = found is not None and (not unit or unit in units)
    return in_range(name, found * units.get(unit, 1) if found is not None and known else None, given)


def _whole(name: str, given: Amount, units: dict[str, float]) -> int | None:
    value = _amount(name, given, units)
    return None if value is None else int(value)
