"""The budget as a table: a row for each limit says how it is read, measured, written and judged.

A new limit is its row here, its option in `settings.groups.BudgetConfig` and its range in `values.ranges`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from pocketvision.errors import UsageError
from pocketvision.files import user_path
from pocketvision.packing import packed_bytes
from pocketvision.settings.groups import CountedBudget
from pocketvision.values import Amount, Budget, Cost, Latency, PredictedLatency, Verdict
from pocketvision.values.ranges import in_range, read, share

NOT_MEASURED = -1.0
"""What a verdict holds as measured where there was nothing to judge; it never passes."""


@dataclass(frozen=True)
class Measured:
    """What is known of a net or of its file; None where it is not."""

    size_bytes: int
    cost: Cost | None = None
    latency: Latency | None = None
    score: float | None = None
    """The task's metric on images that nothing was trained or chosen on."""
    download_bytes: int | None = None
    predicted: PredictedLatency | None = None
    """For the device whose profile the budget names."""

    def under(self, budget: Budget) -> "Measured":
        """Return what counts under a budget: this machine's time, or the one predicted for another device."""
        return replace(self, latency=None) if budget.profile else replace(self, predicted=None)

    @property
    def latency_ms(self) -> float | None:
        """Return the time that is known."""
        known = self.predicted or self.latency
        return known.median_ms if known else None


@dataclass(frozen=True)
class AmountUnit:
    """How amounts of a kind are read and written."""

    name: str
    """As verdicts hold it."""
    factors: Mapping[str, float]
    """What may stand behind a number, in lower case."""
    write: Callable[[float], str]
    whole: bool = True
    exact: Callable[[float], str] | None = None
    """All digits, where `write` leaves some out."""

    def read(self, option: str, given: Amount) -> float:
        """Read an amount such as '2MB'. Raises UsageError that shows how to write it."""
        match = re.fullmatch(r"(.*?)\s*([A-Za-z]*)\s*", given, re.DOTALL) if isinstance(given, str) else None
        found, unit = (read(match[1]), match[2].lower()) if match else (read(given), "")
        known = found is not None and (not unit or unit in self.factors)
        value = in_range(option, found * self.factors.get(unit, 1) if found is not None and known else None, given)
        return int(value) if self.whole else value


class ShareUnit(AmountUnit):
    """A part of one, written as 0.9 or 90%."""

    def read(self, option: str, given: Amount) -> float:
        """Read a share. Raises UsageError that shows how to write it."""
        return share(option, given)


def bytes_text(count: float) -> str:
    """Write a size as people say it, with its bytes: '1.23 MB (1,234,567 bytes)'."""
    exact = f"{round(count):,} bytes"
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit} ({exact})"
    return exact


def _millions(count: float) -> str:
    return f"{count / 1e6:.3g}M"


_BYTES = {"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
BYTES = AmountUnit("bytes", _BYTES, bytes_text)
MILLISECONDS = AmountUnit(
    "ms", {"us": 1e-3, "ms": 1.0, "s": 1e3}, lambda value: f"{float(f'{value:.4g}'):g} ms", whole=False
)
MACS = AmountUnit("MACs", {"k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}, _millions, exact=lambda value: f"{value:,.0f} MACs")
PARAMS = AmountUnit("params", MACS.factors, _millions, exact=lambda value: f"{value:,.0f} params")
SHARE = ShareUnit("share", {}, lambda value: f"{value:.1%}", whole=False)


@dataclass(frozen=True)
class Limit:
    """One line of the contract."""

    name: str
    """The option's, with underscores."""
    title: str
    """As reports head it."""
    short: str
    """As sentences name what is limited."""
    unit: AmountUnit
    measure: Callable[[Measured], float | None]
    at_most: bool = True
    column: str = ""
    """The column of `budget.space.Space` that is counted before anything is built; empty where none is."""

    @property
    def bound(self) -> str:
        """Return the words before what is allowed."""
        return "at most" if self.at_most else "at least"

    def keeps(self, value: float, allowed: float) -> bool:
        """Tell whether a figure keeps the limit."""
        return value != NOT_MEASURED and (value <= allowed if self.at_most else value >= allowed)

    def exact(self, value: float) -> str:
        """Write a figure in full, or that there is none."""
        return "not measured" if value == NOT_MEASURED else (self.unit.exact or self.unit.write)(value)


def _peak(known: Measured) -> float | None:
    return known.cost.peak_activation_bytes if known.cost else None


LIMITS: Mapping[str, Limit] = {
    limit.name: limit
    for limit in (
        Limit("max_size", "File size", "size", BYTES, lambda it: it.size_bytes, column="size_bytes"),
        Limit("max_download", "Download size", "download", BYTES, lambda it: it.download_bytes),
        Limit("max_latency", "Latency", "latency", MILLISECONDS, lambda it: it.latency_ms),
        Limit(
            "max_macs",
            "Multiply-adds",
            "multiply-adds",
            MACS,
            lambda it: it.cost.macs if it.cost else None,
            column="macs",
        ),
        Limit(
            "max_memory",
            "Peak memory",
            "activation memory",
            BYTES,
            _peak,
            column="peak_bytes",
        ),
        Limit(
            "max_params",
            "Parameters",
            "parameters",
            PARAMS,
            lambda it: it.cost.params if it.cost else None,
            column="params",
        ),
        Limit("min_accuracy", "Accuracy", "accuracy", SHARE, lambda it: it.score, at_most=False),
    )
}


def budget_of(options: CountedBudget) -> Budget:
    """Read the limits among a verb's options. Raises UsageError that shows how to write an amount."""
    given = {name: getattr(options, name, None) for name in LIMITS}
    given["max_latency"], profile = _apart(given["max_latency"])
    given["max_download"], compressor = sent_under(given["max_download"])
    limits = {name: LIMITS[name].unit.read(name, value) for name, value in given.items() if value is not None}
    return Budget(limits, profile, compressor)


def sent_under(amount: Amount) -> tuple[Amount, str | None]:
    """Part "300KB:brotli" into amount and compressor; raises UnknownName, or MissingExtra where it is absent."""
    if not isinstance(amount, str) or ":" not in amount:
        return amount, None
    value, _, compressor = amount.partition(":")
    packed_bytes(b"", compressor.strip())
    return value, compressor.strip()


def _apart(amount: Amount) -> tuple[Amount, str | None]:
    """Part '10ms@pixel7.json' into the amount and the profile of the device that it is for."""
    if not isinstance(amount, str) or "@" not in amount:
        return amount, None
    value, _, profile = amount.partition("@")
    if not user_path(profile).is_file():
        raise UsageError(
            f"--max-latency names the profile '{profile}', and there is no such file; write 10ms@FILE with one that "
            "`pocketvision latency` made of the device, or 10ms for this machine"
        )
    return value, user_path(profile).as_posix()


def asked(budget: Budget) -> Iterator[tuple[Limit, float]]:
    """Yield the limits of a budget with what they allow, in the table's order."""
    return ((limit, budget.limits[name]) for name, limit in LIMITS.items() if name in budget.limits)


def broken(measured: Measured, budget: Budget) -> list[str]:
    """Say which limits the known figures break."""
    measured = measured.under(budget)
    return [
        f"{limit.short} {limit.unit.write(value)}; allowed {limit.unit.write(allowed)}"
        for limit, allowed in asked(budget)
        if (value := limit.measure(measured)) is not None and not limit.keeps(value, allowed)
    ]


def judge(budget: Budget, measured: Measured) -> tuple[Verdict, ...]:
    """Return a verdict for each limit that is set; what was not measured is no pass."""
    verdicts, known = [], measured.under(budget)
    for limit, allowed in asked(budget):
        value = limit.measure(known)
        found = NOT_MEASURED if value is None else float(value)
        predicted = known.predicted if limit.name == "max_latency" else None
        compressor = budget.compressor if limit.name == "max_download" else None
        kept = limit.keeps(found, allowed)
        verdicts.append(Verdict(limit.name, float(allowed), found, limit.unit.name, kept, predicted, compressor))
    return tuple(verdicts)
