"""What a file's weights cost on the way to the phone: the choices that were tried, drawn and in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from pocketvision import words
from pocketvision.report import plots
from pocketvision.report.words import titled
from pocketvision.values import Compression, Trial

FAR = 0.2
"""A choice that lost more of all answers than this would press the others together; it is named, not drawn."""


@dataclass(frozen=True)
class DownloadSection:
    """The trials of a run as the page shows them."""

    chart: plots.Chart
    text: str
    """What was taken, and what a stronger choice would have saved and lost."""
    note: str
    """How to read the chart."""


def download_section(record: Compression, limit: float | None, metric: str) -> DownloadSection | None:
    """Return the section for a run whose weights were chosen by their bytes, None for others; `limit` is in bytes."""
    if not record.trials:
        return None
    drawn = drawn_of(record.trials)
    chart = plots.downloads(drawn, record.compressor, limit=limit, metric=titled(metric))
    return DownloadSection(chart, _text(record), _note(record, drawn))


def drawn_of(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """Return the trials to draw: the taken one, plain int8, and what lost little beside the best."""
    best = max(trial.accuracy for trial in trials)
    return tuple(one for one in trials if one.taken or one.strength is None or one.accuracy >= best - FAR)


def _text(record: Compression) -> str:
    plain = next(one for one in record.trials if one.strength is None)
    taken = next((one for one in record.trials if one.taken), plain)
    if taken.strength is None:
        return (
            f"Weights are as rounded, {_bytes(plain)} under {record.compressor}: every choice that was tried cost "
            f"more answers than chance explains.{_stronger(record, plain)}"
        )
    share = taken.download_bytes / plain.download_bytes
    kept = "" if record.taken == "int8" else f" The file that was delivered is in {record.taken}, though."
    return (
        f"The int8 weights were chosen at strength {taken.strength:.3g}: {_bytes(plain)} become {_bytes(taken)} under "
        f"{record.compressor}, {share:.0%} of the file in plain int8. Of the validation answers "
        f"{words.percent(taken.accuracy)} are right, and were {words.percent(plain.accuracy)} before."
        f"{_stronger(record, taken)}{kept}"
    )


def _stronger(record: Compression, taken: Trial) -> str:
    """Name the next smaller file that was tried."""
    smaller = [one for one in record.trials if one.download_bytes < taken.download_bytes]
    if not smaller:
        return ""
    following = max(smaller, key=lambda one: one.download_bytes)
    return (
        f" The next smaller one that was tried takes {_bytes(following)} and has {words.percent(following.accuracy)}."
    )


def _note(record: Compression, drawn: Sequence[Trial]) -> str:
    out = len(record.trials) - len(drawn)
    left = f" Not drawn: {words.plural(out, 'choice')} that lost more than {FAR:.0%} of the answers." if out else ""
    count = record.variants[0].validation.count if record.variants else 0
    judged = f" Judged on {words.plural(count, 'validation image')}." if count else ""
    return (
        "Each dot is the whole file with its weights chosen more or less strongly for the bytes that they cost; the "
        f"square is plain int8, the ring what was taken.{judged}{left}"
    )


def _bytes(trial: Trial) -> str:
    return f"{trial.download_bytes:,} bytes"
