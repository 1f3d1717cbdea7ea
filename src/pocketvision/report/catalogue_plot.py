"""Accuracy against multiply-adds for the catalogue (the MobileNets paper's Figure 4), as a page, SVG or PNG."""

import html
import json
from collections.abc import Sequence
from itertools import groupby

from pocketvision.models.figures import CatalogueLine
from pocketvision.report import plots
from pocketvision.report.chart import Png, Point, Series, Svg, draw, look

TITLE = "Published ImageNet top-1 against multiply-adds"
ACROSS = "Multiply-adds of one image (log scale)"
UP = "Top-1"


def render(lines: Sequence[CatalogueLine], suffix: str) -> bytes:
    """Return the content of a plot file; every line needs an accuracy."""
    series = curves(lines)
    if suffix == ".html":
        return _page(series).encode()
    canvas = Svg() if suffix == ".svg" else Png()
    draw(canvas, series, title=TITLE, across=ACROSS, up=UP)
    return canvas.finish()


def curves(lines: Sequence[CatalogueLine]) -> list[Series]:
    """Group lines by net; a curve runs over a net's widths, or, where it has several resolutions, over these for each
    width."""
    found: list[Series] = []
    ordered = sorted(lines, key=lambda line: (line.name, line.groups or 0, line.width, line.macs))
    for (name, groups), group in groupby(ordered, key=lambda line: (line.name, line.groups)):
        members = list(group)
        found.append(
            Series(
                name=f"{name} g={groups}" if groups else name,
                points=tuple(map(_point, members)),
                hover=tuple(map(_hover, members)),
                curves=tuple(curve for curve in _joined(members) if len(curve) > 1),
            )
        )
    return sorted(found, key=lambda one: -max(y for _, y in one.points))


def _joined(members: Sequence[CatalogueLine]) -> list[tuple[Point, ...]]:
    if len({line.resolution for line in members}) == 1:
        return [tuple(map(_point, members))]
    return [tuple(map(_point, group)) for _, group in groupby(members, key=lambda line: line.width)]


def _point(line: CatalogueLine) -> Point:
    return float(line.macs), line.top1 or 0.0


def _hover(line: CatalogueLine) -> str:
    size = f"{line.int8_bytes / 1e6:.2f} MB int8"
    return f"{line.name} {line.width:g} @ {line.resolution}px: {line.top1:g}%, {line.macs / 1e6:,.0f}M, {size}"


def _page(series: Sequence[Series]) -> str:
    traces: list[dict[str, object]] = []
    for number, one in enumerate(series):
        color, shape = look(number)
        traces.append(
            {
                "name": one.name,
                "legendgroup": one.name,
                "x": [x for x, _ in one.points],
                "y": [y for _, y in one.points],
                "text": list(one.hover),
                "mode": "markers",
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {"size": 8, "color": color, "symbol": shape},
            }
        )
        traces += [
            {
                "legendgroup": one.name,
                "showlegend": False,
                "x": [x for x, _ in curve],
                "y": [y for _, y in curve],
                "mode": "lines",
                "hoverinfo": "skip",
                "line": {"width": 1.5, "color": color},
            }
            for curve in one.curves
        ]
    layout = {
        "xaxis": {"type": "log", "title": {"text": ACROSS}, "tickformat": "~s", "gridcolor": "#8884"},
        "yaxis": {"title": {"text": "Top-1 accuracy (%)"}, "gridcolor": "#8884"},
        "hovermode": "closest",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "#808895", "size": 13},
        "legend": {"font": {"size": 12}},
        "margin": {"t": 20, "r": 20},
    }
    data = json.dumps({"traces": traces, "layout": layout}).replace("<", "\\u003c")
    return _PAGE.format(title=html.escape(TITLE), bundle=plots.bundle(), data=data)


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1280px; padding: 24px; }}
h1 {{ font-size: 22px; margin: 0 0 4px; }}
p {{ margin: 0 0 12px; color: #808895; }}
#chart {{ height: 78vh; min-height: 480px; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>Each point is a net at one width and resolution. Point at it for its name; click in the key to hide or show a net,
twice to show it alone.</p>
<div id="chart"></div>
<script>{bundle}</script>
<script>
const chart = {data};
Plotly.newPlot("chart", chart.traces, chart.layout, {{responsive: true, displaylogo: false}});
</script>
</body>
</html>
"""
