"""The plane of the choice as plotly's own dictionaries: accuracy against each cost, frontier, limits, what was trained.

Predicted shares are drawn by their log-odds, so that halving the errors is the same step everywhere.
"""

import html
import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pocketvision import words
from pocketvision.report.choice import keeps, known_ms, on_plot, predicted
from pocketvision.report.words import titled
from pocketvision.values import Candidate, Choice, Score

INK, MUTED, LINE = "var(--ink)", "var(--muted)", "var(--line)"
FAMILY_COLORS = tuple(f"var(--c{number})" for number in range(1, 9))
FADED = {"over budget": 0.3, "too slow": 0.55, "not needed": 0.9, "tried": 0.9, "trained": 0.9, "taken": 1.0}
TICKS = (0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)
HIGHEST = 0.9995
"""Higher shares, such as a whole validation split, are drawn here."""

FAR = 4
"""A limit of more than so many times the largest cost would press the candidates together; it is named, not drawn."""


@dataclass(frozen=True)
class Axis:
    """One cost that the candidates can be drawn against."""

    name: str
    title: str
    range: tuple[float, float]
    """Powers of ten."""
    limit: float | None
    """What the budget allows."""


def axes_of(choice: Choice) -> tuple[Axis, ...]:
    """Return the costs that are known."""
    limits, known = choice.budget.limits, "predicted" if choice.budget.profile else "measured"
    told = "" if predicted(choice) else f"; {known} ones only"
    every = (
        ("Multiply-adds", "Multiply-adds (MACs, log scale)", limits.get("max_macs")),
        ("File size", "File size (bytes, log scale)", limits.get("max_size")),
        ("Latency", f"Median latency (ms, log scale{told})", limits.get("max_latency")),
    )
    axes = []
    for (name, title, limit), values in zip(every, zip(*map(_costs, _shown(choice)), strict=True), strict=True):
        numbers = [value for value in values if value]
        if numbers:
            far = predicted(choice) and limit and limit > FAR * max(numbers)
            ends = [*numbers, limit] if limit and not far else numbers
            axes.append(Axis(name, title, (math.log10(min(ends)) - 0.12, math.log10(max(ends)) + 0.12), limit))
    if predicted(choice):
        axes.sort(key=lambda axis: axis.limit is None)
    return tuple(axes)


def families_of(choice: Choice) -> tuple[tuple[str, str], ...]:
    """Return each family with its color."""
    names = sorted({candidate.spec.name for candidate in _shown(choice)})
    colors = [*FAMILY_COLORS[: len(names)], *[MUTED] * (len(names) - len(FAMILY_COLORS))]
    return tuple(zip(names, colors, strict=True))


def traces(choice: Choice) -> list[dict[str, Any]]:
    """Return all that is drawn, what lies on top last: the ring around the taken one."""
    shown, height = _shown(choice), _height(choice)
    found = []
    if predicted(choice):
        found += [_frontier(shown, height, number) for number in range(3)]
        found.append(_whiskers([one for one in shown if one.status not in _RACED], "var(--whisker)", 1.0))
        found.append(_whiskers([one for one in shown if one.status in _RACED], MUTED, 1.6))
    for family, color in families_of(choice):
        members = [one for one in shown if one.spec.name == family]
        for int8 in (False, True):
            found.append(_points([one for one in members if (one.precision == "int8") == int8], int8, color, height))
    if predicted(choice):
        found.append(_truths([one for one in shown if one.validation], lambda one: one.validation, "circle", 11))
        found.append(_truths([one for one in shown if one.tried], lambda one: one.tried, "triangle-up-open", 11))
    return [*found, _ring(choice.taken, height)]


def accuracy_axis(choice: Choice, metric: str = "accuracy") -> dict[str, Any]:
    """Return the settings of the vertical axis; `metric` is what accuracy means."""
    if not predicted(choice):
        return {"title_text": "Suggested top-1 accuracy (%)"}
    heights = []
    for one in _shown(choice):
        if one.accuracy:
            heights += [one.accuracy.middle] if one.status not in _RACED else [one.accuracy.low, one.accuracy.high]
        heights += [score.value for score in (one.tried, one.validation) if score]
    asked = choice.budget.limits.get("min_accuracy")
    ends = [_log_odds(value) for value in (*heights, *([asked] if asked else []))]
    low, high = max(min(ends), max(ends) - 5.5) - 0.25, max(ends) + 0.45
    ticks = [tick for tick in TICKS if low <= _log_odds(tick) <= high]
    return {
        "title_text": f"{titled(metric)} on your images",
        "range": (low, high),
        "tickvals": [_log_odds(tick) for tick in ticks],
        "ticktext": [f"{100 * tick:g}%" for tick in ticks],
    }


def accuracy_limit(choice: Choice) -> list[dict[str, Any]]:
    """Return the line of the accuracy that was asked for, where one was."""
    asked = choice.budget.limits.get("min_accuracy")
    if asked is None or not predicted(choice):
        return []
    line = {"color": "var(--fail)", "width": 1.5, "dash": "dot"}
    y = _log_odds(asked)
    label = {
        "text": "limit",
        "textposition": "start",
        "yanchor": "bottom",
        "font": {"color": "var(--fail)", "size": 12},
    }
    return [{"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": y, "y1": y, "line": line, "label": label}]


_RACED = ("taken", "trained", "tried")


def _shown(choice: Choice) -> tuple[Candidate, ...]:
    listed = on_plot(choice)
    return listed if any(one.status == "taken" for one in listed) else (*listed, choice.taken)


def _height(choice: Choice) -> Callable[[Candidate], float | None]:
    if not predicted(choice):
        return lambda one: one.suggested_top1
    return lambda one: _log_odds(one.accuracy.middle) if one.accuracy else None


def _log_odds(value: float) -> float:
    inside = min(HIGHEST, max(1 - HIGHEST, value))
    return round(math.log(inside / (1 - inside)), 4)


def _costs(candidate: Candidate) -> tuple[float | None, ...]:
    return (candidate.cost.macs, candidate.size_bytes, known_ms(candidate))


def _frontier(shown: Iterable[Candidate], height: Callable[[Candidate], float | None], number: int) -> dict[str, Any]:
    """Return the stairs that no candidate within the budget lies above, for one cost."""
    inside = [one for one in shown if keeps(one) and _costs(one)[number]]
    steps: list[Candidate] = []
    for one in sorted(inside, key=lambda one: (_costs(one)[number] or 0.0, -(height(one) or 0.0))):
        if not steps or (height(one) or -math.inf) > (height(steps[-1]) or -math.inf):
            steps.append(one)
    return {
        **_places(steps, [height(one) for one in steps]),
        "mode": "lines",
        "line": {"color": MUTED, "width": 1.5, "shape": "hv"},
        "hoverinfo": "skip",
        "meta": {"axis": number},
    }


def _whiskers(shown: Sequence[Candidate], color: str, thickness: float) -> dict[str, Any]:
    """Return the predicted intervals."""
    told = [(one, one.accuracy) for one in shown if one.accuracy]
    middle = [_log_odds(accuracy.middle) for _, accuracy in told]
    return {
        **_places([one for one, _ in told], middle),
        "mode": "markers",
        "marker": {"size": 1, "opacity": 0},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [_log_odds(accuracy.high) - y for (_, accuracy), y in zip(told, middle, strict=True)],
            "arrayminus": [y - _log_odds(accuracy.low) for (_, accuracy), y in zip(told, middle, strict=True)],
            "color": color,
            "thickness": thickness,
            "width": 3,
        },
        "hoverinfo": "skip",
    }


def _points(
    shown: Sequence[Candidate], int8: bool, color: str, height: Callable[[Candidate], float | None]
) -> dict[str, Any]:
    return {
        **_places(shown, [height(one) for one in shown]),
        "text": [_hover(candidate) for candidate in shown],
        "hovertemplate": "%{text}<extra></extra>",
        "mode": "markers",
        "marker": {
            "symbol": "diamond" if int8 else "circle-open",
            "size": 9 if int8 else 14 if not any(one.accuracy for one in shown) else 10,
            "color": color,
            "opacity": [FADED[candidate.status] for candidate in shown],
            "line": {"width": 0 if int8 else 1.8},
        },
    }


def _truths(
    shown: Sequence[Candidate], score: Callable[[Candidate], Score | None], symbol: str, size: int
) -> dict[str, Any]:
    """Return what a training reached on validation."""
    reached = [(one, found) for one in shown if (found := score(one))]
    return {
        **_places([one for one, _ in reached], [_log_odds(found.value) for _, found in reached]),
        "text": [_hover(one) for one, _ in reached],
        "hovertemplate": "%{text}<extra></extra>",
        "mode": "markers",
        "marker": {"symbol": symbol, "size": size, "color": INK, "line": {"width": 1.5, "color": INK}},
    }


def _ring(taken: Candidate, height: Callable[[Candidate], float | None]) -> dict[str, Any]:
    return {
        **_places([taken], [height(taken)]),
        "mode": "markers+text",
        "name": "taken",
        "text": ["taken"],
        "textposition": "top left" if taken.accuracy else "top center",
        "textfont": {"color": INK, "size": 13},
        "marker": {"symbol": "circle-open", "size": 27, "color": INK, "line": {"width": 2.5}},
        "hoverinfo": "skip",
    }


def _places(shown: Iterable[Candidate], heights: Sequence[float | None]) -> dict[str, Any]:
    costs = [_costs(one) for one in shown]
    return {"type": "scatter", "x": [cost[0] for cost in costs], "y": list(heights), "customdata": costs}


def _hover(candidate: Candidate) -> str:
    macs, size, ms = words.count(candidate.cost.macs), words.size(candidate.size_bytes), known_ms(candidate)
    time = "" if ms is None else f" · {words.ms(ms)}"
    lines = [
        f"<b>{html.escape(str(candidate.spec))}</b> {candidate.precision}",
        f"{macs} multiply-adds · {size}{time}",
    ]
    told = candidate.accuracy
    if told is None:
        lines.append(f"suggested {candidate.suggested_top1:.1f}% · {candidate.status}")
    else:
        begun = f"{candidate.start} from {candidate.origin}" if candidate.origin else "from scratch"
        lines += [html.escape(begun), f"predicted {words.percent(told.middle)} ({_between(told.low, told.high)})"]
        for name, score in (("after a few epochs", candidate.tried), ("whole training", candidate.validation)):
            lines += [f"{name}: {words.percent(score.value)} ({_between(score.low, score.high)})"] if score else []
        lines.append(candidate.status)
    return "<br>".join([*lines, *(html.escape(line) for line in textwrap.wrap(candidate.reason, 58))])


def _between(low: float, high: float) -> str:
    return f"{words.percent(low)} to {words.percent(high)}"
