"""The budget line by line, judged on what was measured of the delivered file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pocketvision.errors import DataError
from pocketvision.runs import ExportFolder
from pocketvision.values import Accuracy, Budget, Cost, Latency, Verdict

NOT_MEASURED = -1.0
"""What a verdict holds as measured where there was no count to judge; it never passes."""


@dataclass(frozen=True)
class Measured:
    """Of the delivered file; `cost` is None where its counts are not known."""

    size_bytes: int
    latency: Latency
    accuracy: Accuracy
    cost: Cost | None


class _Limit(NamedTuple):
    name: str
    field: str
    unit: str
    measure: Callable[[Measured], float]


_LIMITS = (
    _Limit("max_size", "max_size_bytes", "bytes", lambda it: it.size_bytes),
    _Limit("max_latency", "max_latency_ms", "ms", lambda it: it.latency.median_ms),
    _Limit("max_macs", "max_macs", "MACs", lambda it: it.cost.macs if it.cost else NOT_MEASURED),
    _Limit("max_memory", "max_memory_bytes", "bytes", lambda it: it.cost.peak_activation_bytes if it.cost else -1),
    _Limit("max_params", "max_params", "params", lambda it: it.cost.params if it.cost else NOT_MEASURED),
    _Limit("min_accuracy", "min_accuracy", "share", lambda it: it.accuracy.value),
)


def judge(budget: Budget, measured: Measured) -> tuple[Verdict, ...]:
    """Return a verdict for each limit that is set: latency by its median, accuracy by the measured share itself."""
    return tuple(
        _verdict(limit, float(allowed), float(limit.measure(measured)))
        for limit in _LIMITS
        if (allowed := getattr(budget, limit.field)) is not None
    )


def unjudged(verdicts: tuple[Verdict, ...]) -> tuple[str, ...]:
    """Return a sentence for each limit that nothing could be measured for."""
    return tuple(
        f"{verdict.limit} cannot be judged: the file's counts are not known. Put the run's cost.json beside it."
        for verdict in verdicts
        if verdict.measured == NOT_MEASURED
    )


def read_cost(file: Path) -> Cost | None:
    """Return the counts that lie beside a delivered file, or None."""
    cost = ExportFolder(file.parent).cost
    if not cost.exists():
        return None
    try:
        return cost.read()
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{cost.path} does not hold a net's counts ({error}); take the one written by the run"
        ) from error


def _verdict(limit: _Limit, allowed: float, measured: float) -> Verdict:
    kept = measured >= allowed if limit.name == "min_accuracy" else measured <= allowed
    return Verdict(limit.name, allowed, measured, limit.unit, kept and measured != NOT_MEASURED)
