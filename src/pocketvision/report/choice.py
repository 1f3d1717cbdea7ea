"""The choice in words: what was considered, which limit binds, which dial was cut, what the next steps give."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pocketvision import words
from pocketvision.budget.choose import figures_of
from pocketvision.budget.limits import asked
from pocketvision.report.words import bound, kind_of, quantity
from pocketvision.values import Candidate, Choice, ModelSpec

PLOTTED = 60
"""More points than this hide each other."""
BINDS = 0.8
"""From this share of a limit on, the limit is what holds the choice back."""
DIALS: dict[str, Callable[[ModelSpec], float]] = {
    "a wider net": lambda spec: spec.width,
    "a deeper net": lambda spec: math.inf if spec.depth is None else spec.depth,
    "larger images": lambda spec: spec.resolution,
}


@dataclass(frozen=True)
class Said:
    """One answer about the choice."""

    title: str
    text: str


def predicted(choice: Choice) -> bool:
    """Tell whether accuracies were predicted; older runs have none."""
    return choice.taken.accuracy is not None


def keeps(candidate: Candidate) -> bool:
    """Tell whether a candidate keeps the budget, as far as is known."""
    return candidate.status not in ("over budget", "too slow")


def known_ms(candidate: Candidate) -> float | None:
    """Return the latency that was measured, or else the one that was predicted."""
    told = candidate.predicted_ms
    return candidate.latency_ms or (told.middle if told else None)


def raced(choice: Choice) -> tuple[Candidate, ...]:
    """Return the shortlist with what its trainings reached, the taken one first."""
    listed = {(one.spec, one.precision, one.origin) for one in choice.shortlist}
    found = [
        one
        for one in choice.candidates
        if one.status in ("taken", "trained", "tried") or (one.spec, one.precision, one.origin) in listed
    ]
    return tuple(sorted(found, key=_progress))


def _progress(one: Candidate) -> tuple[bool, bool, bool]:
    return one.status != "taken", one.validation is None, one.tried is None


def on_plot(choice: Choice) -> tuple[Candidate, ...]:
    """Return the candidates to draw: all in older runs, at most 60 where accuracies are predicted."""
    if not predicted(choice) or len(choice.candidates) <= PLOTTED:
        return choice.candidates
    first = raced(choice)
    rest = [one for one in choice.candidates if one not in first]
    places = np.unique(np.linspace(0, len(rest) - 1, PLOTTED - len(first)).astype(int))
    return (*first, *(rest[int(place)] for place in places))


def answers(choice: Choice) -> tuple[Said, ...]:
    """Return what a reader may ask about the choice, answered; empty for older runs, which predicted nothing."""
    if not predicted(choice):
        return ()
    found = (
        Said("What was considered", _considered(choice)),
        Said("Which limit binds", _binding(choice)),
        *_dials(choice),
        Said("The next step up", _up(choice)),
        Said("The next step down", _down(choice)),
        Said("The same within noise", _same(choice)),
        Said("Predicted against true", _proven(choice)),
    )
    return tuple(said for said in found if said.text)


def _considered(choice: Choice) -> str:
    starts = len({one.origin for one in choice.probed})
    probed = (
        f"The images were shown to {words.plural(starts, 'pretrained net')} once, and what a training reaches was "
        "predicted from that."
        if starts
        else "No pretrained net was at hand to show the images to: what is predicted follows published ImageNet "
        "figures, an order more than a promise."
    )
    few = sum(one.tried is not None for one in choice.candidates)
    whole = sum(one.validation is not None for one in choice.candidates)
    trained = f" {few} were trained for a few epochs and {whole} to the end." if whole else ""
    return (
        f"{choice.considered:,} settings of net, width, depth, resolution, precision and weights to begin with; "
        f"{choice.kept:,} keep the budget. {probed}{trained}"
    )


def _binding(choice: Choice) -> str:
    taken = choice.taken
    figures = figures_of(taken).under(choice.budget)
    used = []
    for limit, allowed in asked(choice.budget):
        value = limit.measure(figures)
        if limit.name == "max_latency" and value is None:
            value = known_ms(taken)
        if limit.at_most and value is not None and allowed:
            kind = kind_of(limit)
            told = f"{quantity(value, kind)} of {bound(allowed, kind)}"
            used.append((value / allowed, f"{limit.title.lower()} ({told}, {value / allowed:.0%})"))
    if not used:
        return ""
    used.sort(reverse=True)
    tight = [text for share, text in used if share >= BINDS]
    loose = [text for share, text in used if share < BINDS]
    if not tight:
        return f"None is nearly used up: {', '.join(loose)}."
    rest = f" There is room in {', '.join(loose)}." if loose else ""
    return f"{_sentence(' and '.join(tight))}.{rest}"


def _dials(choice: Choice) -> list[Said]:
    """Say of each dial what more of it would be within the budget, which another dial has to pay for."""
    taken, found = choice.taken, []
    alike = [one for one in choice.candidates if one.spec.name == taken.spec.name]
    for more, dial in DIALS.items():
        higher = [one for one in alike if dial(one.spec) > dial(taken.spec)]
        if higher:
            found.append(Said(f"Why not {more}", _instead(higher, taken)))
    return found


def _instead(higher: Sequence[Candidate], taken: Candidate) -> str:
    inside = [one for one in higher if keeps(one) and one.accuracy]
    if not inside:
        return f"None on record keeps the budget; the nearest is {_named(higher[0])}."
    best = max(inside, key=_middle)
    return f"The best that keeps the budget is {_named(best)}, {_against(best, taken)}."


def _up(choice: Choice) -> str:
    if choice.steps:
        return f"{'. '.join(_sentence(step) for step in choice.steps)}."
    return "Raising any single limit is not predicted to bring more." if choice.budget.limits else ""


def _down(choice: Choice) -> str:
    taken = choice.taken
    costs: list[tuple[str, float, Callable[[Candidate], float | None]]] = [
        ("half the bytes", taken.size_bytes / 2, lambda one: one.size_bytes),
        ("half the multiply-adds", taken.cost.macs / 2, lambda one: one.cost.macs),
    ]
    lines = []
    for title, most, cost in costs:
        lower = [one for one in choice.candidates if keeps(one) and one.accuracy and (cost(one) or math.inf) <= most]
        if lower:
            best = max(lower, key=_middle)
            lines.append(f"At {title}: {_named(best)}, {_against(best, taken)}.")
    return " ".join(lines)


def _same(choice: Choice) -> str:
    """Name those whose figure and the taken one's lie in each other's 95% interval on validation."""
    taken = choice.taken.validation
    if taken is None:
        return ""
    alike = [
        one
        for one in choice.candidates
        if (it := one.validation) and it.low <= taken.value <= it.high and taken.low <= it.value <= taken.high
    ]
    if len(alike) < 2:
        return ""
    names = "; ".join(f"{_named(one)} ({words.percent(one.validation.value)})" for one in alike if one.validation)
    return (
        f"These {len(alike)} cannot be told apart on {taken.count:,} validation images, each figure lies in the "
        f"others' 95% interval: {names}."
    )


def _proven(choice: Choice) -> str:
    ended = [(one.accuracy, one.validation) for one in choice.candidates if one.accuracy and one.validation]
    if not ended:
        return ""
    inside = sum(told.low <= true.value <= told.high for told, true in ended)
    off = [100 * (true.value - told.middle) for told, true in ended]
    by = ", ".join(_signed(gap) for gap in off)
    return (
        f"{inside} of {words.plural(len(ended), 'whole training')} ended within the predicted 90% interval; "
        f"true less predicted: {by} points."
    )


def _named(one: Candidate) -> str:
    return f"{one.spec} {one.precision}, {words.size(one.size_bytes)}"


def _against(one: Candidate, taken: Candidate) -> str:
    """Say what one is predicted to reach beside the taken one, and what it did reach where it was trained."""
    gap = 100 * (_middle(one) - _middle(taken))
    ended = one.validation or one.tried
    by = "trained whole" if one.validation else "in a few epochs"
    reached = f"; it reached {words.percent(ended.value)} {by}" if ended else ""
    return f"predicted {words.percent(_middle(one))}, {_signed(gap)} points{reached}"


def _signed(gap: float) -> str:
    return f"{gap:+.1f}".replace("-", "\N{MINUS SIGN}")


def _middle(one: Candidate) -> float:
    return one.accuracy.middle if one.accuracy else 0.0


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def ordered(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return candidates, the highest predicted or suggested accuracy first."""
    return tuple(sorted(candidates, key=lambda one: (-rank(one), one.size_bytes)))


def rank(one: Candidate) -> float:
    """Return what candidates are ordered by: percent predicted, or suggested."""
    return 100 * one.accuracy.middle if one.accuracy else one.suggested_top1
