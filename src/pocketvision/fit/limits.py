"""Which starts keep the limits: by count, then on the clock; and what frozen weights say of the accuracy asked for."""

from dataclasses import replace
from typing import Literal

from pocketvision.budget.choose import figures_of, too_slow
from pocketvision.budget.limits import broken
from pocketvision.fit.starts import StartCandidate
from pocketvision.fit.timing import Timer
from pocketvision.values import Budget, Candidate, Score

Outlook = Literal["reached", "open", "below"]


def file_of(start: StartCandidate, budget: Budget, scale: Timer | None) -> tuple[Candidate, str]:
    """Return the file that a start is judged by, and what limit it breaks; an empty text where it keeps them all.

    Without `scale` nothing is timed, and the int8 file is counted. With it, the int8 and the float file are written
    with fresh weights, as far as they keep the counts, and timed; the faster one is what a run could deliver.
    """
    files = [(item, _broken(item, budget)) for item in (start.candidate, start.plain)]
    fitting = [item for item, fault in files if not fault]
    if files[0][1] or scale is None:
        return files[0]
    written = []
    for item in fitting:
        written.append(scale.weigh(item))
    files = [(item, _broken(item, budget)) for item in written]
    return min(files, key=lambda found: (bool(found[1]), _ms(found[0])))


def _broken(file: Candidate, budget: Budget) -> str:
    found = broken(replace(figures_of(file), latency=None, predicted=None), budget)
    if slow := too_slow(file, budget):
        found.append(f"as {file.precision} with fresh weights {slow}")
    return "; ".join(found)


def _ms(file: Candidate) -> float:
    assert file.latency_ms is not None
    return file.latency_ms


def outlook(found: Score, asked: float) -> Outlook:
    """Say whether an accuracy with its interval reaches the one asked for, stays below it, or leaves it open."""
    if found.low >= asked:
        return "reached"
    return "below" if found.high < asked else "open"


def outlook_told(found: Score, asked: float) -> str:
    """Put the outlook of frozen weights on validation into words, as the estimate that it is."""
    frozen = f"{found.low:.1%} to {found.high:.1%} frozen, on validation"
    told = {
        "reached": f"The {asked:.1%} asked for are reached already ({frozen})",
        "open": f"Whether the {asked:.1%} asked for are reached is open ({frozen})",
        "below": f"Frozen weights stay below the {asked:.1%} asked for ({frozen})",
    }[outlook(found, asked)]
    return f"{told}. That is an estimate: `fit` trains all layers, and judges the file on test images."
