"""The charts of the page, drawn by plotly; the only file that imports it.

Colors are written as CSS variables, which the page's script replaces, so that a chart follows light and dark.
"""

import html
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pocketvision.metrics.accuracy import wilson
from pocketvision.metrics.calibration import Bin
from pocketvision.metrics.refusal import Point
from pocketvision.report.candidate_plot import (
    INK,
    LINE,
    MUTED,
    Axis,
    accuracy_axis,
    accuracy_limit,
    axes_of,
    families_of,
    traces,
)
from pocketvision.values import AttributeScore, Choice, Curve, Epoch, Refusal, Score, Trial

CURVE_COLORS = ("var(--c2)", "var(--c1)")
CLASS_COLORS = tuple(f"var(--c{number})" for number in range(1, 9))


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


def candidates(choice: Choice, *, metric: str = "accuracy") -> Chart:
    """Draw accuracy against cost: color by family, marker by precision, frontier and limits, the taken one ringed."""
    import plotly.graph_objects as go

    axes = axes_of(choice)
    figure = go.Figure(data=traces(choice), layout=_layout())
    figure.update_layout(meta={"axes": [asdict(axis) for axis in axes]}, shapes=accuracy_limit(choice))
    figure.update_xaxes(type="log", title_text=axes[0].title, range=axes[0].range, tickformat="~s")
    figure.update_yaxes(**accuracy_axis(choice, metric))
    return Chart(_json(figure), axes, families_of(choice))


def loss_curve(epochs: Sequence[Epoch]) -> Chart:
    """Draw training and validation loss over epochs."""
    series = {"training": [e.train_loss for e in epochs], "validation": [e.val_loss for e in epochs]}
    return _curve(epochs, series, title="Loss")


def accuracy_curve(epochs: Sequence[Epoch], *, placed: bool = False) -> Chart:
    """Draw training and validation accuracy over epochs, the epoch whose weights were kept marked.

    Of boxes, `placed`, draw AP and AP50 on validation: training measures neither.
    """
    if placed:
        both = {"AP": [e.val_macro for e in epochs], "AP50": [e.val_accuracy for e in epochs]}
        return _curve(epochs, both, title="Accuracy")
    series = {"training": [e.train_accuracy for e in epochs], "validation": [e.val_accuracy for e in epochs]}
    return _curve(epochs, series, title="Accuracy")


def precision_recall(curves: Sequence[Curve], parts: Sequence[AttributeScore]) -> Chart:
    """Draw precision against recall of each class, or of the weakest of many, a ring where the file's threshold is."""
    import plotly.graph_objects as go

    scores = {part.name: part for part in parts}
    known = [curve for curve in curves if curve.points]
    known.sort(key=lambda curve: scores[curve.label].average_precision or 0.0)
    drawn = [(curve, scores[curve.label]) for curve in known[: len(CLASS_COLORS)]]
    figure = go.Figure(layout=_layout())
    for (curve, part), color in zip(drawn, CLASS_COLORS, strict=False):
        figure.add_scatter(**_class_curve(curve, color))
        if part.precision is not None and part.recall is not None:
            figure.add_scatter(
                x=[part.recall],
                y=[part.precision],
                mode="markers",
                marker={"symbol": "circle-open", "size": 13, "color": color, "line": {"width": 2}},
                text=[f"{html.escape(part.name)}, as delivered: from a score of {part.threshold:.3g} on"],
                hovertemplate="%{text}<br>%{x:.1%} found, %{y:.1%} of what is found right<extra></extra>",
            )
    figure.update_xaxes(title_text="Recall: share of the true boxes found", tickformat=".0%", range=(0, 1.03))
    figure.update_yaxes(title_text="Precision", tickformat=".0%", range=(0, 1.04))
    key = tuple((curve.label, color) for (curve, _), color in zip(drawn, CLASS_COLORS, strict=False))
    return Chart(_json(figure), key=key)


def _class_curve(curve: Curve, color: str) -> dict[str, Any]:
    points = curve.points
    name = html.escape(curve.label)
    return {
        "x": [point.recall for point in points],
        "y": [point.precision for point in points],
        "text": [f"{name}, from a score of {point.score:.3g} on" for point in points],
        "mode": "lines" if len(points) > 1 else "markers",
        "line": {"color": color, "width": 2.5},
        "marker": {"color": color, "size": 8},
        "hovertemplate": "%{text}<br>%{x:.1%} found, %{y:.1%} of what is found right<extra></extra>",
    }


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


def downloads(trials: Sequence[Trial], compressor: str, *, limit: float | None, metric: str) -> Chart:
    """Draw accuracy against bytes sent, plain int8 as a square, the taken one ringed, a line at the limit."""
    import plotly.graph_objects as go

    figure = go.Figure(layout=_layout())
    hover = "%{text}<br>%{x:,} bytes, %{y:.1%} right<extra></extra>"
    squares = ["square" if one.strength is None else "circle" for one in trials]
    figure.add_scatter(
        **_of_trials(trials),
        mode="lines+markers",
        line={"color": CURVE_COLORS[1], "width": 2.5},
        marker={"size": 9, "symbol": squares},
        hovertemplate=hover,
    )
    ring = {"symbol": "circle-open", "size": 17, "color": INK, "line": {"width": 2}}
    figure.add_scatter(
        **_of_trials([one for one in trials if one.taken]), mode="markers", marker=ring, hovertemplate="taken: " + hover
    )
    sizes = [one.download_bytes for one in trials]
    ends = [math.log10(min(*sizes, limit or math.inf)), math.log10(max(*sizes, limit or 0))]
    title = f"Bytes of the file under {compressor} (log scale)"
    figure.update_xaxes(type="log", title_text=title, range=(ends[0] - 0.05, ends[1] + 0.05), tickformat="~s")
    lowest = min(one.accuracy for one in trials)
    figure.update_yaxes(title_text=f"{metric} on validation", tickformat=".1%", range=(lowest - 0.015, 1.01))
    if limit is not None:
        figure.add_vline(x=limit, line={"color": "var(--fail)", "width": 1.5, "dash": "dot"})
        note = {"text": "limit", "showarrow": False, "yref": "paper", "yanchor": "bottom"}
        figure.add_annotation(x=math.log10(limit), y=1.0, font={"color": "var(--fail)", "size": 12}, **note)
    return Chart(_json(figure))


def _of_trials(trials: Sequence[Trial]) -> dict[str, Any]:
    return {
        "x": [one.download_bytes for one in trials],
        "y": [one.accuracy for one in trials],
        "text": ["plain int8" if one.strength is None else f"strength {one.strength:.3g}" for one in trials],
    }


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
