"""The charts of the page, drawn by plotly; the only file that imports it.

Colors are written as CSS variables, which the page's script replaces, so that a chart follows light and dark.
"""

import html
import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pocketvision import words
from pocketvision.metrics.accuracy import wilson
from pocketvision.metrics.calibration import Bin
from pocketvision.metrics.refusal import Point
from pocketvision.values import Candidate, Choice, Epoch, Precision, Refusal, Score

INK, MUTED, LINE = "var(--ink)", "var(--muted)", "var(--line)"
FAMILY_COLORS = tuple(f"var(--c{number})" for number in range(1, 9))
SYMBOLS: dict[Precision, str] = {"float": "circle-open", "int8": "diamond"}
CURVE_COLORS = ("var(--c2)", "var(--c1)")
FADED = {"over budget": 0.3, "too slow": 0.55, "not needed": 0.9, "taken": 1.0}


@dataclass(frozen=True)
class Axis:
    """One cost that the candidates can be drawn against."""

    name: str
    title: str
    range: tuple[float, float]
    """Powers of ten."""
    limit: float | None
    """What the budget allows."""


@dataclass(frozen=True)
class Chart:
    """A figure as JSON for the page, with the costs its x axis can be switched to."""

    figure: str
    axes: tuple[Axis, ...] = ()
    key: tuple[tuple[str, str], ...] = ()
    """What each color stands for."""


def bundle() -> str:
    """Return plotly's own script, whole."""
    import plotly.offline

    return str(plotly.offline.get_plotlyjs())


def candidates(choice: Choice) -> Chart:
    """Draw suggested accuracy against cost: color by family, marker by precision, the taken one ringed."""
    import plotly.graph_objects as go

    axes = _axes(choice)
    figure = go.Figure(layout=_layout())
    families = sorted({candidate.spec.name for candidate in choice.candidates})
    colors = [*FAMILY_COLORS[: len(families)], *[MUTED] * (len(families) - len(FAMILY_COLORS))]
    for family, color in zip(families, colors, strict=True):
        members = [candidate for candidate in choice.candidates if candidate.spec.name == family]
        for precision in ("float", "int8"):
            figure.add_trace(_points(members, precision, color))
    figure.add_trace(_ring(choice.taken))
    figure.update_layout(meta={"axes": [asdict(axis) for axis in axes]})
    figure.update_xaxes(type="log", title_text=axes[0].title, range=axes[0].range, tickformat="~s")
    figure.update_yaxes(title_text="Suggested top-1 accuracy (%)")
    return Chart(_json(figure), axes, tuple(zip(families, colors, strict=True)))


def loss_curve(epochs: Sequence[Epoch]) -> Chart:
    """Draw training and validation loss over epochs."""
    series = {"training": [e.train_loss for e in epochs], "validation": [e.val_loss for e in epochs]}
    return _curve(epochs, series, title="Loss")


def accuracy_curve(epochs: Sequence[Epoch]) -> Chart:
    """Draw training and validation accuracy over epochs, the epoch whose weights were kept marked."""
    series = {"training": [e.train_accuracy for e in epochs], "validation": [e.val_accuracy for e in epochs]}
    return _curve(epochs, series, title="Accuracy")


def reliability(bins: Sequence[Bin]) -> Chart:
    """Draw the share of right answers against the probability given, each bin with its 95% interval."""
    import plotly.graph_objects as go

    figure = go.Figure(layout=_layout())
    shares = [wilson(round(item.accuracy * item.count), item.count) for item in bins]
    low = max(0.0, min([item.confidence for item in bins] + [share.low for share in shares], default=0.0) - 0.03)
    figure.add_scatter(
        x=[low, 1], y=[low, 1], mode="lines", line={"color": MUTED, "width": 1.2, "dash": "dot"}, hoverinfo="skip"
    )
    figure.add_scatter(
        x=[item.confidence for item in bins],
        y=[share.value for share in shares],
        error_y=_whiskers([share.high for share in shares], [share.low for share in shares], shares),
        mode="markers",
        marker={"size": 9, "color": CURVE_COLORS[1]},
        text=[f"{item.count} answers, {item.low:.1%} to {item.high:.1%}" for item in bins],
        hovertemplate="%{text}<br>said %{x:.1%}, right %{y:.1%}<extra></extra>",
    )
    figure.update_xaxes(title_text="Probability the file gives", tickformat=".0%", range=(low, 1.02))
    figure.update_yaxes(title_text="Share of right answers", tickformat=".0%", range=(low, 1.02))
    return Chart(_json(figure))


def risk_coverage(points: Sequence[Point], below: float | None, found: Refusal | None) -> Chart:
    """Draw the error among answered images against the share answered, the delivered threshold marked."""
    import plotly.graph_objects as go

    figure = go.Figure(layout=_layout())
    figure.add_scatter(
        x=[point.coverage for point in points],
        y=[point.risk for point in points],
        text=[f"{point.least:.1%}" for point in points],
        mode="lines" if len(points) > 1 else "markers",
        line={"color": CURVE_COLORS[1], "width": 2.5, "shape": "hv"},
        hovertemplate="%{x:.1%} answered, %{y:.1%} of them wrong<br>least probability %{text}<extra></extra>",
    )
    if below is not None and found is not None and found.right is not None:
        wrong = 1 - found.right.value
        figure.add_scatter(
            x=[found.coverage.value],
            y=[wrong],
            error_y=_whiskers([1 - found.right.low], [1 - found.right.high], [found.right], errors=True),
            mode="markers",
            marker={"symbol": "circle-open", "size": 15, "color": INK, "line": {"width": 2}},
            hovertemplate=f"delivered: below {below:.1%} not sure<br>%{{x:.1%}} answered, %{{y:.1%}} wrong"
            "<extra></extra>",
        )
    figure.update_xaxes(title_text="Share of images answered", tickformat=".0%", range=(0, 1.03))
    figure.update_yaxes(title_text="Wrong among them", tickformat=".1%", rangemode="tozero")
    return Chart(_json(figure))


def _whiskers(
    high: Sequence[float], low: Sequence[float], shares: Sequence[Score], *, errors: bool = False
) -> dict[str, Any]:
    values = [1 - share.value if errors else share.value for share in shares]
    return {
        "type": "data",
        "symmetric": False,
        "array": [end - value for end, value in zip(high, values, strict=True)],
        "arrayminus": [value - end for end, value in zip(low, values, strict=True)],
        "color": MUTED,
        "thickness": 1.2,
        "width": 3,
    }


def _curve(epochs: Sequence[Epoch], series: dict[str, list[float]], *, title: Literal["Loss", "Accuracy"]) -> Chart:
    import plotly.graph_objects as go

    figure = go.Figure(layout=_layout())
    numbers = [epoch.epoch for epoch in epochs]
    tickformat = ".0%" if title == "Accuracy" else ""
    for (name, values), color in zip(series.items(), CURVE_COLORS, strict=True):
        hover = f"epoch %{{x}}: %{{y:{'.1%' if title == 'Accuracy' else '.3f'}}} {name}<extra></extra>"
        line = {"color": color, "width": 2.5}
        marker = {"size": 5 if len(numbers) > 1 else 9}
        figure.add_scatter(
            x=numbers, y=values, name=name, mode="lines+markers", line=line, marker=marker, hovertemplate=hover
        )
    figure.update_xaxes(title_text="Epoch", dtick=max(1, math.ceil(len(numbers) / 8)), range=_epoch_range(numbers))
    figure.update_yaxes(tickformat=tickformat, rangemode="tozero" if title == "Loss" else "normal")
    _mark_phases(figure, epochs)
    if title == "Accuracy":
        lowest = min((value for values in series.values() for value in values), default=0.0)
        figure.update_yaxes(range=(max(0.0, lowest - 0.08), 1.02))
        _mark_kept(figure, epochs)
    return Chart(_json(figure))


def _epoch_range(numbers: Sequence[int]) -> tuple[float, float]:
    return (min(numbers) - 0.5, max(numbers) + 0.5) if numbers else (0.0, 1.0)


def _mark_phases(figure: Any, epochs: Sequence[Epoch]) -> None:
    for phase, words_ in (("head", "head only"), ("upper", "upper layers"), ("all", "whole net")):
        numbers = [epoch.epoch for epoch in epochs if epoch.phase == phase]
        if not numbers:
            continue
        low, high = _epoch_range(numbers)
        if phase == "head":
            figure.add_vrect(x0=low, x1=high, fillcolor="var(--shade)", line_width=0, layer="below")
        note = {"text": words_, "showarrow": False, "yref": "paper", "yanchor": "bottom", "font": {"color": MUTED}}
        figure.add_annotation(x=(low + high) / 2, y=1.0, font_size=12, **note)


def _mark_kept(figure: Any, epochs: Sequence[Epoch]) -> None:
    kept = [epoch for epoch in epochs if epoch.kept]
    if not kept:
        return
    best = kept[-1]
    marker = {"symbol": "circle-open", "size": 15, "color": INK, "line": {"width": 2}}
    hover = f"kept: epoch {best.epoch}, {best.val_accuracy:.1%} validation<extra></extra>"
    figure.add_scatter(
        x=[best.epoch], y=[best.val_accuracy], name="kept", mode="markers", marker=marker, hovertemplate=hover
    )


def _points(members: list[Candidate], precision: str, color: str) -> Any:
    import plotly.graph_objects as go

    shown = [candidate for candidate in members if candidate.precision == precision]
    return go.Scatter(
        x=[candidate.cost.macs for candidate in shown],
        y=[candidate.suggested_top1 for candidate in shown],
        customdata=[_costs(candidate) for candidate in shown],
        text=[_hover(candidate) for candidate in shown],
        hovertemplate="%{text}<extra></extra>",
        mode="markers",
        marker={
            "symbol": SYMBOLS["int8" if precision == "int8" else "float"],
            "size": 9 if precision == "int8" else 14,
            "color": color,
            "opacity": [FADED[candidate.status] for candidate in shown],
            "line": {"width": 0 if precision == "int8" else 1.8},
        },
    )


def _ring(taken: Candidate) -> Any:
    import plotly.graph_objects as go

    return go.Scatter(
        x=[taken.cost.macs],
        y=[taken.suggested_top1],
        customdata=[_costs(taken)],
        mode="markers+text",
        name="taken",
        text=["taken"],
        textposition="top center",
        textfont={"color": INK, "size": 13},
        marker={"symbol": "circle-open", "size": 27, "color": INK, "line": {"width": 2.5}},
        hoverinfo="skip",
    )


def _costs(candidate: Candidate) -> tuple[float | None, ...]:
    return (candidate.cost.macs, candidate.size_bytes, candidate.latency_ms)


def _hover(candidate: Candidate) -> str:
    macs, size = words.count(candidate.cost.macs), words.size(candidate.size_bytes)
    time = "" if candidate.latency_ms is None else f" · {words.ms(candidate.latency_ms)}"
    reason = "<br>".join(html.escape(line) for line in textwrap.wrap(candidate.reason, 58))
    return (
        f"<b>{html.escape(str(candidate.spec))}</b> {candidate.precision}<br>{macs} multiply-adds · {size}{time}<br>"
        f"suggested {candidate.suggested_top1:.1f}% · {candidate.status}<br>{reason}"
    )


def _axes(choice: Choice) -> tuple[Axis, ...]:
    limits, known = choice.budget.limits, "predicted" if choice.budget.profile else "measured"
    every = (
        ("Multiply-adds", "Multiply-adds (MACs, log scale)", 0, limits.get("max_macs")),
        ("File size", "File size (bytes, log scale)", 1, limits.get("max_size")),
        ("Latency", f"Median latency (ms, log scale; {known} ones only)", 2, limits.get("max_latency")),
    )
    axes = []
    for name, title, column, limit in every:
        values = [value for c in (*choice.candidates, choice.taken) if (value := _costs(c)[column])]
        if values:
            ends = [*values, limit] if limit else values
            axes.append(Axis(name, title, (math.log10(min(ends)) - 0.12, math.log10(max(ends)) + 0.12), limit))
    return tuple(axes)


def _layout() -> dict[str, Any]:
    axis = {"gridcolor": LINE, "linecolor": LINE, "zeroline": False, "ticks": "outside", "tickcolor": LINE}
    axis |= {"title": {"standoff": 12, "font": {"size": 13}}, "automargin": True}
    return {
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": MUTED, "size": 13},
        "margin": {"l": 56, "r": 12, "t": 26, "b": 48},
        "showlegend": False,
        "hoverlabel": {"bgcolor": "var(--card)", "bordercolor": LINE, "font": {"color": INK}, "align": "left"},
        "hovermode": "closest",
        "xaxis": axis,
        "yaxis": axis,
    }


def _json(figure: Any) -> str:
    # Inside a script element '<' could end it; JSON's own escape is the same text to the parser.
    text = json.dumps(json.loads(figure.to_json()), ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
